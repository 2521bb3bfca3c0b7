"""Runs as tasks of a Ray cluster, which share the file system of the runs and of the data.

Ray's worker starts the run as a subprocess and waits for it. A worker that is killed takes its run
with it (after saving, where the node is still there), and Ray gives the task to another worker.
A cluster that is started here listens on loopback alone and asks for Ray's token.
Imports Ray only where it is used; imports no TensorFlow.
"""

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from rethink_tf.console import counted, warn
from rethink_tf.errors import ExitCode, RequestError, StorageError
from rethink_tf.experiments.sweep import process as child
from rethink_tf.experiments.sweep.local import PATIENCE
from rethink_tf.storage import files

RETRIES = 3
# From this version on, a cluster that `init` starts uses token authentication by default.
LOWEST = (2, 59)
# Binds Ray's servers to 127.0.0.1, as Ray itself does on Windows and macOS.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_LOCKED_FOR = 60.0  # seconds that the run of a killed worker may still hold its lock while it saves


def carry_out(
    module: str, argv: Sequence[str], log: str, threads: int, folder: str, stop: str
) -> int:
    """Within a worker: one run from start to end; returns its exit code.

    As soon as there is a file `stop`, the run is stopped by SIGTERM, or not started. (SIGINT does
    not reach what Ray's workers start.)
    """
    until = time.monotonic() + _LOCKED_FOR
    while not os.path.exists(stop):
        try:
            process = child.start(module, argv, Path(log), threads=threads, folder=folder)
        except StorageError as error:
            return int(error.exit_code)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if os.path.exists(stop):
                    return _stopped(process)
        except BaseException:  # Ray cancelled the task
            _stopped(process)
            raise
        if process.returncode != ExitCode.IN_USE or time.monotonic() > until:
            return process.returncode
        time.sleep(1)
    return int(ExitCode.INTERRUPTED)


def _stopped(process: subprocess.Popen) -> int:
    """The exit code of a run after SIGTERM; one that does not end is killed, not left behind."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _require_version(version: str) -> None:
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < LOWEST:
        lowest = ".".join(map(str, LOWEST))
        raise RequestError(
            f"--executor=ray: expected Ray {lowest} or later, whose token authentication is on by "
            f"itself, found {version}; type pip install -U -e '.[ray]'"
        )


class RayTasks:
    """Starts runs as Ray tasks; see `scheduler` for what an executor is."""

    queues = True

    def __init__(self, threads: int, gpus: float | None, most: int):
        """Joins the cluster of RAY_ADDRESS, or starts one on this machine, on loopback alone.

        Args:
            threads: CPUs of each run.
            gpus: GPUs of each run, 0.25 for four on one; None: one where the cluster has any.
            most: how many tasks are handed to Ray at once.
        """
        address = os.environ.get("RAY_ADDRESS")
        if not address:
            for name, value in _LOOPBACK.items():
                os.environ.setdefault(name, value)  # Ray reads it when it is imported
        try:
            import ray
        except ModuleNotFoundError:
            raise RequestError(
                "--executor=ray: Ray is not installed; type pip install -e '.[ray]'"
            ) from None
        _require_version(ray.__version__)
        self.ray, self.most, self.threads = ray, most, threads
        self.owner = not ray.is_initialized()
        if self.owner:
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    configure_logging=False,
                    include_dashboard=False,
                )
            except ray.exceptions.AuthenticationError as error:
                line = str(error).splitlines()[0]
                raise RequestError(
                    f"--executor=ray: the cluster refuses this process: {line}; every machine "
                    "needs the cluster's token in ~/.ray/auth_token and RAY_AUTH_MODE=token"
                ) from None
            except (ConnectionError, ValueError, RuntimeError) as error:
                line = str(error).splitlines()[0]
                raise RequestError(f"--executor=ray: cannot join RAY_ADDRESS: {line}") from None
        if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
            warn("RAY_AUTH_MODE=disabled: whoever reaches Ray's ports can run code as this user")
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        fraction = float(has_gpus) if gpus is None else gpus
        options = {"max_retries": RETRIES, "num_cpus": threads, "num_gpus": fraction}
        # Workers import the same package as this process, even if it is not installed.
        path = os.pathsep.join(filter(None, (str(child.ROOT), os.environ.get("PYTHONPATH"))))
        environment = {"env_vars": {"PYTHONPATH": path}}
        self.task = ray.remote(**options, runtime_env=environment)(carry_out)
        self.running: dict = {}
        self.token = uuid.uuid4().hex
        nodes = sum(node["Alive"] for node in ray.nodes())
        cpus = ray.cluster_resources().get("CPU", 0)
        self.count = max(1, int(cpus // threads))
        share = f" and {fraction:g} GPU{'s'[: fraction != 1]}" if fraction else ""
        there = f"{counted(nodes, 'node')}, {counted(int(cpus), 'CPU')}"
        self.description = f"Ray, {there}; {counted(threads, 'thread')}{share} a run"

    def free(self) -> int:
        """How many more runs Ray is given now; it queues what does not fit."""
        return self.most - len(self.running)

    def start(self, job, argv: Sequence[str], threads: int, log: Path) -> None:
        """Hands a run to Ray."""
        log = log.absolute()
        self.marker = log.with_name(f"stop-{self.token}")
        module, *asked = job.plan.command
        given = (module, [*asked, *argv], str(log), threads, os.getcwd(), str(self.marker))
        reference = self.task.remote(*given)
        self.running[reference] = job

    def poll(self) -> list[tuple]:
        """(job, exit code) of each run that has ended since; below 0: it was killed too often."""
        if not self.running:
            return []
        ready, _ = self.ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        ended = []
        for reference in ready:
            job = self.running.pop(reference)
            try:
                code = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError:
                code = int(ExitCode.BUG)
            except self.ray.exceptions.RayError:
                code = -signal.SIGKILL
            ended.append((job, code))
        return ended

    def stop(self, _signum: int) -> None:
        """Stops all runs, which save; those that are queued are not started."""
        if not self.running:
            return
        with files.storage(self.marker):
            self.marker.parent.mkdir(parents=True, exist_ok=True)
            self.marker.touch()
        every = len(self.running)
        _, late = self.ray.wait(list(self.running), num_returns=every, timeout=PATIENCE)
        for reference in late:  # kills the worker; its run then gets SIGTERM
            self.ray.cancel(reference, force=True)
        self.running.clear()
        self.marker.unlink(missing_ok=True)

    def pid(self, _job) -> None:
        """Not known here: the process may be on another machine."""

    def close(self) -> None:
        """Leaves the cluster, or ends the one of this machine."""
        if self.owner:
            self.ray.shutdown()
