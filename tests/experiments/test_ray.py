"""Sweeps by Ray: the same results as by slots, and what happens to a killed worker's run."""

import _thread
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from quick_command import TRIAL

from rethink_tf.cli import app, sweep
from rethink_tf.errors import RequestError
from rethink_tf.experiments.plan import EXPERIMENTS, planned
from rethink_tf.experiments.sweep import ray as ray_tasks
from rethink_tf.experiments.sweep import scheduler
from rethink_tf.runs import results

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_without_ray_it_is_refused(monkeypatch, capsys, own_signals):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(EXPERIMENTS, "trial", TRIAL)
    assert app.guarded(sweep.main, ["trial", "--executor=ray"]) == 2
    assert re.search(
        r"--executor=ray: Ray is not installed; type pip install -e '\.\[ray\]'",
        capsys.readouterr().err,
    )


class Fake(types.ModuleType):
    """Ray as far as a sweep that has no cluster meets it."""

    class AuthenticationError(Exception):
        pass

    def __init__(self, version="2.60.0", refuses=False):
        super().__init__("ray")
        self.__version__, self.refuses, self.given = version, refuses, None
        self.exceptions = types.SimpleNamespace(AuthenticationError=self.AuthenticationError)
        self.read = os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")

    def is_initialized(self):
        return False

    def init(self, **given):
        if self.refuses:
            raise self.AuthenticationError("no token\nlong story")
        self.given = given

    def cluster_resources(self):
        return {"CPU": 2}

    def nodes(self):
        return [{"Alive": True}]

    def remote(self, **_):
        return lambda function: function


@pytest.fixture
def fake(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    # Set and taken away, so that what is set during the test is taken away after it.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "")
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")

    def put(**settings):
        found = Fake(**settings)
        monkeypatch.setitem(sys.modules, "ray", found)
        return found

    return put


def test_a_cluster_of_this_machine_listens_on_loopback_without_a_dashboard(fake, capsys):
    ray = fake()
    ray_tasks.RayTasks(1, None, 5)
    assert ray.given["address"] is None and ray.given["include_dashboard"] is False
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert capsys.readouterr().err == ""


def test_a_cluster_that_is_joined_is_left_as_it_is(fake, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    ray = fake()
    ray_tasks.RayTasks(1, None, 5)
    assert ray.given["address"] == "10.0.0.1:6379"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ


def test_authentication_that_is_off_is_said(fake, monkeypatch, capsys):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    fake()
    ray_tasks.RayTasks(1, None, 5)
    assert "RAY_AUTH_MODE=disabled: whoever reaches Ray's ports" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["2.58.1", "2.9.3", "1.13.0", "unknown"])
def test_a_version_without_authentication_of_its_own_is_refused(version, fake):
    ray = fake(version=version)
    with pytest.raises(RequestError, match=f"expected Ray 2.59 or later, .* found {version}"):
        ray_tasks.RayTasks(1, None, 5)
    assert ray.given is None


def test_a_missing_token_is_one_line(fake):
    fake(refuses=True)
    with pytest.raises(RequestError, match="--executor=ray: .*no token; .*~/.ray/auth_token"):
        ray_tasks.RayTasks(1, None, 5)


def test_the_package_asks_for_the_version_that_is_required():
    text = (Path(ray_tasks.child.ROOT) / "pyproject.toml").read_text()
    assert f'"ray>={ray_tasks.LOWEST[0]}.{ray_tasks.LOWEST[1]},<3"' in text


def test_a_locked_run_is_tried_again(monkeypatch, tmp_path):
    codes = [5, 5, 0]

    class Ended:
        def poll(self):
            self.returncode = codes.pop(0)
            return self.returncode

    monkeypatch.setattr(ray_tasks.child, "start", lambda *_, **__: Ended())
    monkeypatch.setattr(ray_tasks.time, "sleep", lambda _: None)
    assert ray_tasks.carry_out("quick_command", [], str(tmp_path / "log"), 1, ".", "no") == 0
    assert codes == []
    monkeypatch.setattr(ray_tasks, "_LOCKED_FOR", -1.0)
    codes.append(5)
    assert ray_tasks.carry_out("quick_command", [], str(tmp_path / "log"), 1, ".", "no") == 5


def test_a_run_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(ray_tasks, "PATIENCE", 0.2)
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    code += "print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.read(1) == b"\n", "it is deaf by now"
    assert ray_tasks._stopped(process) == -signal.SIGKILL


@pytest.mark.parametrize("how", ["exception", "marker"])
def test_a_cancelled_task_stops_its_run(how, monkeypatch, tmp_path, own_signals):
    marker = tmp_path / "stop"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    trial = dataclasses.replace(TRIAL, axes={"do": "slow"})
    monkeypatch.setitem(EXPERIMENTS, "trial", trial)
    (plan,) = planned("trial")
    run_dir = tmp_path / plan.run_id

    def cancel():
        while not (run_dir / results.CONFIG).exists():
            time.sleep(0.02)
        _thread.interrupt_main() if how == "exception" else marker.touch()

    threading.Thread(target=cancel, daemon=True).start()
    argv = [*plan.argv, f"--runs_dir={tmp_path}", "--threads=1"]
    given = ("quick_command", argv, str(tmp_path / "log"), 1, str(tmp_path), str(marker))
    if how == "exception":
        with pytest.raises(KeyboardInterrupt):
            ray_tasks.carry_out(*given)
    else:
        assert ray_tasks.carry_out(*given) == 143
        (run_dir / results.CONFIG).unlink()
        assert ray_tasks.carry_out(*given) == 130
        assert not (run_dir / results.CONFIG).exists()  # it was not started
    assert (run_dir / "stopped").read_text() == str(int(signal.SIGTERM))


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, each with a CPU."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SUPPORT))
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        found = Cluster()
        for _ in range(2):
            found.add_node(num_cpus=1, object_store_memory=80_000_000)
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
        found.shutdown()


def test_a_killed_worker_is_retried_and_all_ends_as_by_slots(
    cluster, tmp_path, monkeypatch, capsys, own_signals
):
    trial = dataclasses.replace(TRIAL, axes={"do": "slow finish fail"})
    monkeypatch.setitem(EXPERIMENTS, "trial", trial)
    monkeypatch.setattr(scheduler, "TICK", 0.05)
    kills = []

    def kill_once(self, jobs):
        """Kills the worker of the run that would take a minute, as soon as it has begun."""
        for path in self.runs_dir.glob("*/config.json"):
            if not kills:
                worker = next(
                    parent for parent, run in workers(self.runs_dir) if "--do=slow" in run
                )
                kills.append((worker, path.parent))
                os.kill(worker, signal.SIGKILL)

    monkeypatch.setattr("rethink_tf.experiments.sweep.display.Plain.tick", kill_once)
    argv = ["trial", f"--runs_dir={tmp_path}/ray", "--executor=ray"]
    assert app.guarded(sweep.main, argv) == 6
    out = capsys.readouterr().out
    assert "Ray, 2 nodes, 2 CPUs; 1 thread a run" in out
    assert "[1/3] queued   trial quickstart do=slow seed 0" in out
    assert "3 runs: 2 done, 1 failed, 0 left" in out and "    the last line" in out
    ((_worker, run_dir),) = kills
    assert (run_dir / "stopped").read_text() == str(int(signal.SIGTERM))
    assert "killed by signal" not in out
    monkeypatch.setitem(EXPERIMENTS, "trial", TRIAL)
    argv = ["trial", f"--runs_dir={tmp_path}/slots", "--slots=1", "--threads=1"]
    assert app.guarded(sweep.main, argv) == 0
    (by_slots,) = (tmp_path / "slots").glob("quick-*")
    assert timeless(tmp_path / "ray" / by_slots.name) == timeless(by_slots)


def test_an_interrupt_reaches_the_runs_on_all_nodes(
    cluster, tmp_path, monkeypatch, capsys, own_signals
):
    trial = dataclasses.replace(TRIAL, axes={"do": "slow"})
    monkeypatch.setitem(EXPERIMENTS, "trial", trial)
    monkeypatch.setattr(scheduler, "TICK", 0.05)

    def interrupt(_view, _jobs):
        if len(list(tmp_path.glob("*/config.json"))) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("rethink_tf.experiments.sweep.display.Plain.tick", interrupt)
    argv = ["trial", f"--runs_dir={tmp_path}", "--executor=ray", "--seeds=2"]
    assert app.guarded(sweep.main, argv) == 130
    assert not list(tmp_path.glob(".sweep/stop-*"))
    stopped = [path.read_text() for path in tmp_path.glob("*/stopped")]
    assert stopped == [str(int(signal.SIGTERM))] * 2
    assert "2 runs: 0 done, 0 failed, 2 left" in capsys.readouterr().out


def timeless(run_dir):
    """A summary but the cores, which Ray does not pin, and the digests of it."""
    summary = results.read_summary(run_dir)
    del summary["given"]["cores"], summary["sha256"]
    return summary


def workers(runs_dir):
    """(parent, command line) of each run below a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, UnicodeDecodeError):
            continue
        if (
            "rethink_tf.experiments.sweep.process" in command
            and f"--runs_dir={runs_dir}" in command
        ):
            yield parent, command
