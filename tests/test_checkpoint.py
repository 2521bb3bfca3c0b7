"""Checkpoints: round trip, damage, and runs that go on bit for bit, after SIGKILL too."""

import dataclasses
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rethink_tf
from rethink_tf import checkpoint, config, main, results, resume, train
from rethink_tf.command_line import Options
from rethink_tf.config import RunConfig
from rethink_tf.errors import RequestError, StorageError

ARRAYS = {"weight0000": np.arange(6, dtype=np.float32).reshape(2, 3), "sum": np.array(7)}
ENVIRONMENT = {
    "versions": {"tensorflow": "2.20", "numpy": "2.0"}, "threads": 2, "xla": True, "replicas": 1,
    "labels_hash": "abc",
}  # fmt: skip


def header(epoch, step=0, **changes):
    return {"epoch": epoch, "step": step, "best": {}, "environment": ENVIRONMENT | changes}


def save(folder, epoch, step=0, arrays=ARRAYS, **changes):
    return checkpoint.save(folder, header(epoch, step, **changes), arrays)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[len(content) // 2] ^= 1
    elif how == "magic":
        content[0] ^= 1
    elif how == "version":
        content = content.replace(b"checkpoint 1 ", b"checkpoint 2 ", 1)
    path.write_bytes({"cut": content[:-5], "empty": b"", "line": content[:60]}.get(how, content))


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = save(tmp_path / "new" / "folder", 3, 14)
    assert path.name == "000003-00000014.ckpt"
    found, arrays = checkpoint.read(path)
    assert found == header(3, 14)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert path.read_bytes().startswith(b"rethink_tf checkpoint 1 sha256 ")


def test_the_two_newest_are_kept(tmp_path):
    assert checkpoint.stored(tmp_path / "none") == []
    for epoch, step in ((1, 0), (2, 0), (2, 7), (9, 0), (10, 0)):
        save(tmp_path, epoch, step)
    names = [path.name for path in checkpoint.stored(tmp_path)]
    assert names == ["000009-00000000.ckpt", "000010-00000000.ckpt"]
    assert checkpoint.newest(tmp_path, pytest.fail)[0]["epoch"] == 10
    assert len(list(tmp_path.iterdir())) == 2, "nothing beside them"


@pytest.mark.parametrize("how", ["bit", "magic", "version", "cut", "empty", "line"])
def test_a_damaged_one_is_named_and_the_older_is_used(how, tmp_path):
    save(tmp_path, 1)
    path, said = save(tmp_path, 2), []
    damage(path, how)
    found, _ = checkpoint.newest(tmp_path, said.append)
    assert found["epoch"] == 1
    (line,) = said
    why = "its checksum is wrong" if how in ("bit", "cut", "line") else "not a checkpoint"
    assert line == f"{path}: damaged ({why}); the older checkpoint is used"
    damage(checkpoint.stored(tmp_path)[0], "bit")
    assert checkpoint.newest(tmp_path, said.append) is None and len(said) == 3


def test_nothing_is_unpickled(tmp_path):
    buffer, said = io.BytesIO(), []
    np.savez(buffer, header=np.array(json.dumps(header(5))), w=np.array([{}], object))
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    path = tmp_path / "000005-00000000.ckpt"
    path.write_bytes(b"rethink_tf checkpoint 1 sha256 " + digest + b"\n" + content)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        checkpoint.read(path)
    assert checkpoint.newest(tmp_path, said.append) is None
    assert "damaged (Object arrays" in said[0]


# Where a run goes on


def resolved(**changes):
    kinds = {"model": "mlp_1x512", "dataset": "digits", "examples": 200, "epochs": 2}
    return config.resolve(RunConfig(**(kinds | {"corrupt": 0.5} | changes)))


def find(run_dir, mode="exact", wanted=None, said=None, **changes):
    say = [].append if said is None else said.append
    return resume.find(wanted or resolved(), run_dir, ENVIRONMENT | changes, mode, say)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"threads": 4}, "threads was 2 and is 4"),
        ({"xla": False}, "xla was True and is False"),
        ({"replicas": 2}, "replicas was 1 and is 2"),
        ({"versions": {"tensorflow": "2.21", "numpy": "2.0"}}, "tensorflow was 2.20 and is 2.21"),
        ({"versions": {"tensorflow": "2.20"}}, "numpy was 2.0 and is None"),
    ],
)
def test_another_environment_is_refused_and_can_be_allowed(changes, said, tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 1, 3)
    assert find(tmp_path).header == header(1, 3)
    with pytest.raises(RequestError) as refused:
        find(tmp_path, **changes)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}: its checkpoint cannot be continued exactly: {said}; ")
    assert "--resume=anyway" in message and "--resume=restart" in message and "\n" not in message
    found = find(tmp_path, "anyway", **changes)
    assert (found.header, found.run_dir) == (header(1, 3), tmp_path)
    np.testing.assert_array_equal(found.arrays["weight0000"], ARRAYS["weight0000"])
    assert find(tmp_path, "restart") is find(tmp_path, "restart", **changes) is None


def test_other_labels_are_refused_whatever_is_typed_but_restart(tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 1, 3)
    for mode in ("exact", "anyway"):
        with pytest.raises(RequestError, match="other labels, hash abc, these are xyz; add --resu"):
            find(tmp_path, mode, labels_hash="xyz")
    assert find(tmp_path, "restart", labels_hash="xyz") is None


def test_an_unfinished_run_without_a_checkpoint_starts_over(tmp_path):
    said = []
    assert find(tmp_path, said=said) is None and said == []
    results.start(tmp_path, {})
    assert find(tmp_path, said=said) is None
    assert said == [f"{tmp_path}: an unfinished run without a checkpoint lies here; it starts over"]


def test_the_history_is_cut_to_the_checkpoint_and_must_reach_it(tmp_path):
    results.start(tmp_path, {})
    save(tmp_path / results.CHECKPOINTS, 2)
    found = find(tmp_path)
    results.append_history(tmp_path, {"epoch": 1})
    with pytest.raises(StorageError, match="expected 2 epochs in its history, found 1; add"):
        resume.begin(tmp_path, {}, found, {"argv": ["a"]})
    for epoch in (2, 3):
        results.append_history(tmp_path, {"epoch": epoch})
    assert resume.begin(tmp_path, {}, found, {"argv": ["b"]}) == [{"epoch": 1}, {"epoch": 2}]
    where = {"epoch": 2, "step": 0, "from": tmp_path.name}
    assert results.read_config(tmp_path)["resumed"] == [where | {"argv": ["b"]}]
    assert results.read_history(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


def finished(run_dir, **changes):
    """Writes what `resume` reads of a finished run: its fields and its last checkpoint."""
    wanted = resolved(**changes)
    results.finish(run_dir, {"status": "DONE", "config": dataclasses.asdict(wanted)})
    save(run_dir / results.CHECKPOINTS, wanted.epochs)


def test_the_longest_shorter_run_of_equal_settings_is_taken(tmp_path):
    others = {"a": {"epochs": 4}, "b": {"epochs": 6}, "c": {"epochs": 8, "seed": 1}}
    others |= {"d": {"epochs": 7, "corrupt": 0.4}, "e": {"epochs": 10}, "f": {"epochs": 9}}
    for name in (*others, "damaged", "new"):
        (tmp_path / f"mlp_1x512-{name}").mkdir()
    for name, changes in others.items():
        finished(tmp_path / f"mlp_1x512-{name}", eval_every=2, **changes)
    (tmp_path / "mlp_1x512-damaged" / results.SUMMARY).write_text("{")
    run_dir, said = tmp_path / "mlp_1x512-new", []
    wanted = resolved(epochs=10, eval_every=2)
    results.start(run_dir, {})  # unfinished, without a checkpoint: no reason to start over
    found = find(run_dir, wanted=wanted, said=said)
    # Epoch 9 of f was evaluated as its last, which a fresh run of 10 would not do.
    assert (found.run_dir, found.header["epoch"]) == (tmp_path / "mlp_1x512-b", 6)
    said_once = "mlp_1x512-b: the same run with 6 epochs; this one goes on from it"
    assert [line.endswith(said_once) for line in said] == [True]
    assert find(run_dir, wanted=wanted, said=said, threads=4) is None
    assert said[-1].endswith("mlp_1x512-b: not continued, since threads was 2 and is 4")


# Real runs


def run(run_dir, said=None, **changes):
    say = [].append if said is None else said.append
    return train.run(resolved(**changes), run_dir, options=Options(checkpoint_every=1), say=say)


def timeless(run_dir):
    """History and summary but the wall clock."""
    lines = [*results.read_history(run_dir), results.read_summary(run_dir)]
    return [{k: v for k, v in line.items() if k != "timing"} for line in lines]


def test_more_epochs_go_on_from_the_shorter_run(tensorflow, tmp_path):
    fresh, said = tmp_path / "fresh" / "mlp_1x512-4", []
    run(fresh, epochs=4)
    short, long = tmp_path / "mlp_1x512-2", tmp_path / "mlp_1x512-4"
    run(short, epochs=2)
    kept = timeless(short)
    summary = run(long, said, epochs=4)
    assert f"{short}: the same run with 2 epochs; this one goes on from it" in said
    assert "goes on after epoch 2, step 0 of the next" in said
    assert timeless(long) == timeless(fresh)
    assert summary["epochs"] == 4 and summary["weights_hash"] != kept[-1]["weights_hash"]
    for name in ("fitted_since", "forgotten", "margin", "given"):
        arrays = [np.load(folder / results.EXAMPLES)[name] for folder in (long, fresh)]
        np.testing.assert_array_equal(*arrays)
    assert timeless(short) == kept, "the shorter run stays as it was"


ARGV = ["--model=mlp_1x512", "--dataset=digits", "--examples=200", "--epochs=2", "--corrupt=0.5"]
ARGV += ["--checkpoint_every=1", "--threads=2"]
# Every call of os.fsync and os.replace of a run, in order: a file, its new name, its folder; the
# history is appended to, not replaced.
CALLS = [
    "fsync", "config.json", "fsync", "fsync", "samples.png", "fsync",
    "fsync", "fsync", "000001-00000000.ckpt", "fsync",
    "fsync", "fsync", "000002-00000000.ckpt", "fsync",
    "fsync", "examples.npz", "fsync", "fsync", "summary.json", "fsync",
]  # fmt: skip
# Killed as the n-th call begins: epochs in the history, checkpoints, then "goes on after epoch".
KILLS = {
    7: (1, 0, None),  # the line of epoch 1 is written, not yet synced
    9: (1, 0, None),  # the first checkpoint lies beside, not yet renamed
    13: (2, 1, 1),  # within the second: its epoch stands in the history, not in a checkpoint
    19: (2, 2, 2),  # all but the summary
}
DRIVER = """
import os, signal, sys
calls = 0
def killing(real):
    def call(*args, **kinds):
        global calls
        calls += 1
        if calls == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kinds)
    return call
os.fsync, os.replace = killing(os.fsync), killing(os.replace)
from rethink_tf import main
sys.exit(main.guarded(main.main, sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def uninterrupted(tensorflow, tmp_path_factory):
    """A run to its end, and its calls of os.fsync and os.replace."""
    run_dir, calls = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:
        fsync, replace = os.fsync, os.replace
        patch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))
        patch.setattr(os, "replace", lambda a, b: (calls.append(Path(b).name), replace(a, b)))
        run(run_dir)
    return timeless(run_dir), calls


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One folder of runs for each kill, all at once: most of their time is TensorFlow's start."""
    folders = {n: tmp_path_factory.mktemp(f"killed{n}") for n in KILLS}
    environment = os.environ | {"PYTHONPATH": str(Path(rethink_tf.__file__).parent.parent)}
    processes = {
        n: subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(n), *ARGV, f"--runs_dir={folder}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
        )
        for n, folder in folders.items()
    }  # fmt: skip
    said = {n: process.communicate(timeout=300)[1] for n, process in processes.items()}
    assert {n: p.returncode for n, p in processes.items()} == dict.fromkeys(KILLS, -signal.SIGKILL)
    assert set(said.values()) == {b""}
    return folders


def test_the_calls_of_a_run_are_as_the_kills_assume(uninterrupted):
    assert uninterrupted[1] == CALLS


@pytest.mark.parametrize("n", KILLS)
def test_a_killed_run_goes_on_to_the_same_end(n, uninterrupted, killed, capsys, own_signals):
    epochs, checkpoints, after = KILLS[n]
    (run_dir,) = killed[n].iterdir()
    assert len(results.read_history(run_dir)) == epochs
    assert len(checkpoint.stored(run_dir / results.CHECKPOINTS)) == checkpoints
    assert results.read_summary(run_dir) is None
    if epochs > 1:  # as if killed within a write of the history
        with open(run_dir / results.HISTORY, "a") as file:
            file.write('{"epoch": 3, "lo')
    assert main.guarded(main.main, [*ARGV, f"--runs_dir={killed[n]}"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (f"goes on after epoch {after}, step 0 of the next" in out) == (after is not None)
    assert ("without a checkpoint lies here; it starts over" in out) == (after is None)
    assert timeless(run_dir) == uninterrupted[0]
    stored = checkpoint.stored(run_dir / results.CHECKPOINTS)
    assert set((run_dir / results.CHECKPOINTS).iterdir()) == set(stored), "nothing left beside"
    assert [path.name for path in killed[n].iterdir()] == [run_dir.name]
