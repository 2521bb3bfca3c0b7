"""Several processes of one run: what describes them, and two that really train over loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from own_process import found_by
from short_runs import timeless

from rethink_tf.errors import RequestError
from rethink_tf.runs import results
from rethink_tf.storage import lock as run_lock
from rethink_tf.training.devices import workers
from rethink_tf.training.devices.workers import Workers

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "multi_worker.sh"
FLAGS = ["--model=mlp_1x512", "--dataset=digits", "--corrupt=0.5", "--examples=203"]
FLAGS += ["--epochs=12", "--eval_every=1", "--checkpoint_every=0"]


def environment(tmp_path):
    paths = {"PYTHONPATH": str(REPOSITORY), "PYTHON": sys.executable, "THREADS": "1"}
    return {**os.environ, **paths, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def start(tmp_path, *flags):
    return subprocess.Popen(
        [str(SCRIPT), *FLAGS, f"--runs_dir={tmp_path}/runs", *flags],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two_workers(tmp_path, *flags):
    """(exit code of the chief, stdout of both, stderr of both)."""
    process = start(tmp_path, *flags)
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    return process.returncode, out, err


def without_workers(folder):
    """The same run on one replica and on two, by a process of its own with two logical CPUs."""
    from rethink_tf.config import flags, run_config
    from rethink_tf.training import run as train
    from rethink_tf.training.devices import setup as devices
    from rethink_tf.training.recording import samples

    devices.start(1, devices=2)
    samples.record_samples = lambda *_: None
    wanted = run_config.resolve(flags.parse(FLAGS)[0])
    for strategy in ("one_device", "mirrored"):
        options = flags.Options(strategy=strategy, threads=1)
        train.run(wanted, folder / strategy, options=options, say=lambda _: None)
    print("null")


def run_dir(tmp_path):
    (found,) = (tmp_path / "runs").iterdir()
    return found


def untimed(tmp_path):
    return timeless(run_dir(tmp_path))


class Paired(Workers):
    """One of two processes that are threads, so that no cluster is needed."""

    shared: ClassVar[dict] = {}
    barrier = threading.Barrier(2)

    def __init__(self, rank):
        super().__init__()
        self.rank, self.count = rank, 2

    def _sum(self, values):
        self.shared[self.rank] = np.asarray(values)
        self.barrier.wait()
        total = self.shared[0] + self.shared[1]
        self.barrier.wait()
        return total


@pytest.mark.parametrize(
    "texts, expected",
    [
        ((None, None), None),
        (("what the first found", None), "what the first found"),
        ((None, "what the second found \u2013 \u00e9"), "what the second found \u2013 \u00e9"),
        (("a", "a longer one that is not told"), "a"),
    ],
)
def test_the_first_text_of_all_processes_is_told_to_all(texts, expected):
    pair = [Paired(0), Paired(1)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda own, text: own.first_text(text), pair, texts))
    assert found == [expected, expected]
    assert Workers().first_text(texts[0]) == texts[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run by two workers, not disturbed, with its output."""
    folder = tmp_path_factory.mktemp("two")
    return folder, *two_workers(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the runs `one_device` and `mirrored`, of one process each."""
    folder = tmp_path_factory.mktemp("alone")
    found_by("without_workers", __file__, folder)
    return folder


def test_private_workers_have_a_network_with_loopback_alone(tmp_path):
    """In place of a worker: the interfaces that it sees, and whether loopback is up."""
    unshare = ["unshare", "--user", "--map-root-user", "--net", "true"]
    try:
        allowed = subprocess.run(unshare, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this machine lets nobody make a network of their own")
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
    code += "socket.create_connection(s.getsockname()); print(socket.if_nameindex())"
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/bash
if [[ $1 == - ]]; then exec {sys.executable} "$@"; fi
exec {sys.executable} -c "{code}"
""")
    python.chmod(0o755)
    env = environment(tmp_path) | {"PYTHON": str(python), "PRIVATE": "1"}
    ended = subprocess.run([SCRIPT], env=env, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    # Two processes print at the same time: the ends of their lines may come in any order.
    assert ended.stdout.replace("\n", "") == "[(1, 'lo')]" * 2


def test_what_private_is_not(tmp_path):
    env = environment(tmp_path) | {"PRIVATE": "yes"}
    ended = subprocess.run([SCRIPT], env=env, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (2, "PRIVATE: expected 0 or 1, received yes\n")


@pytest.mark.slow
def test_two_workers_train_one_run(whole, alone):
    folder, code, out, err = whole
    assert (code, err) == (0, "")
    assert out.count("for the other workers") == 2
    assert out.count("epoch      loss") == 1  # the chief alone speaks of the run
    two, one = untimed(folder), timeless(alone / "one_device")
    assert (two[-1]["replicas"], two[-1]["workers"]) == (2, 2)
    assert (one[-1]["replicas"], one[-1]["workers"]) == (1, 1)
    for key in ("labels_hash", "changed_fraction", "label_checksum", "run_id", "status"):
        assert two[-1][key] == one[-1][key]
    # Sums in another order differ by 1e-8 at first and by 1e-7 after all epochs.
    for line, other in zip(two, one, strict=True):
        for key in ("loss", "train_loss", "test_loss"):
            assert line[key] == pytest.approx(other[key], rel=2e-6)
        for key in ("accuracy", "train_accuracy", "test_accuracy"):
            assert line[key] == other[key]


@pytest.mark.slow
def test_two_workers_equal_two_replicas_of_one_process_bit_for_bit(whole, alone):
    workers, mirrored = untimed(whole[0]), timeless(alone / "mirrored")
    assert (mirrored[-1]["replicas"], mirrored[-1]["workers"]) == (2, 1)
    assert workers == [*mirrored[:-1], mirrored[-1] | {"workers": 2}]
    with np.load(run_dir(whole[0]) / results.EXAMPLES) as one:
        with np.load(alone / "mirrored" / results.EXAMPLES) as other:
            assert {k: v.tobytes() for k, v in one.items()} == {
                k: v.tobytes() for k, v in other.items()
            }


@pytest.mark.slow
def test_the_chief_alone_writes(whole):
    folder = run_dir(whole[0])
    assert len(results.read_history(folder)) == 12
    events = [path.parent.name for path in folder.rglob("events.*")]
    assert sorted(events) == sorted(set(events))
    assert len(list((folder / results.CHECKPOINTS).iterdir())) == 1
    assert [path.name for path in (whole[0] / "runs").iterdir()] == [folder.name]


@pytest.mark.slow
def test_a_finished_run_answers_all_workers(whole):
    code, out, err = two_workers(whole[0])
    assert (code, err) == (0, "")
    assert out.count("finished already") == 1


@pytest.mark.slow
def test_what_refuses_the_chief_ends_all_workers(tmp_path, whole):
    folder = tmp_path / "runs" / run_dir(whole[0]).name
    with run_lock.locked(folder):
        (folder / "kept").touch()
        code, _, err = two_workers(tmp_path)
    assert code == 5
    lines = err.splitlines()
    assert len(lines) == 2 and all("in use by process" in line for line in lines)


def wait_for_epoch(tmp_path, epoch, process):
    started = time.monotonic()
    while time.monotonic() - started < 600 and process.poll() is None:
        folders = list((tmp_path / "runs").glob("*"))
        if folders and len(results.read_history(folders[0])) >= epoch:
            return
        time.sleep(0.05)
    raise AssertionError(f"epoch {epoch} was not reached: {process.communicate()}")


def children(process):
    """The workers' process numbers, the chief's last (the script starts it last)."""
    listed = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "rethink_tf.main"], capture_output=True, text=True
    )
    return sorted(int(line) for line in listed.stdout.split())


LONG = ("--epochs=400", "--eval_every=400", "--checkpoint_every=1")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["chief", "other"])
def test_a_worker_that_dies_ends_the_others_and_the_run_goes_on(tmp_path, who):
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, 3, process)
    other, chief = children(process)
    os.kill(chief if who == "chief" else other, signal.SIGKILL)
    _, err = process.communicate(timeout=300)  # or the other one waits for ever
    # TensorFlow's thread pools may be collected while the process ends, which Python prints.
    ignored = r"Exception ignored in: <function Pool\.__del__.*?(?=^\S*rethink_tf|\Z)"
    assert "Traceback" not in re.sub(ignored, "", err, flags=re.DOTALL | re.MULTILINE)
    said = [line for line in err.splitlines() if "another worker was lost" in line]
    assert len(said) == 1
    assert process.returncode == (137 if who == "chief" else 143)
    kept = len(results.read_history(run_dir(tmp_path)))
    assert kept >= 3
    process = start(tmp_path, *LONG)
    wait_for_epoch(tmp_path, kept + 2, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert "resumes after epoch" in out
    assert process.returncode == 143 and err.count("saved; the same command") == 2


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_and_resumes_bit_for_bit(whole, tmp_path):
    process = start(tmp_path)
    wait_for_epoch(tmp_path, 2, process)
    os.kill(children(process)[0], signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143 and err.count("saved; the same command") == 2
    assert results.read_summary(run_dir(tmp_path)) is None
    assert two_workers(tmp_path)[0] == 0
    assert untimed(tmp_path) == untimed(whole[0])


def test_one_process_asks_itself():
    alone = Workers()
    assert (alone.chief, alone.rank, alone.count) == (True, 0, 1)
    assert alone.gather(7) == [7]
    assert alone.ask_chief(lambda: b"said") == b"said"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(RequestError, match="TF_CONFIG: expected"):
        workers.cluster()


def test_no_cluster_is_refused(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RequestError, match="expected TF_CONFIG, or Slurm's environment"):
        workers.cluster()


def test_a_cluster_from_slurm(monkeypatch, tensorflow):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    for name, value in {
        "PROCID": "2",
        "STEP_NODELIST": "node[01-03]",
        "STEP_NUM_TASKS": "3",
        "STEP_TASKS_PER_NODE": "1(x3)",
        "JOB_ID": "40007",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert json.loads(json.dumps(workers.cluster())) == {
        "cluster": {"worker": ["node01:20007", "node02:20007", "node03:20007"]},
        "task": {"type": "worker", "index": 2},
    }
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "5")
    with pytest.raises(RequestError, match="Slurm's environment: Requested 5 tasks but only 3"):
        workers.cluster()
