"""Kills real sweeps at random moments and compares what they leave with an undisturbed one.

    python scripts/sweep_test.py [--parts=kill,ray] [--kills=3] [--seed=N]

Twelve short runs (mlp_1x512 on the embedded digits, labels random with probability 0, 0.5, 1, four
seeds) are swept once undisturbed. Then, part `kill`: swept again, killed with SIGKILL at random
moments (the sweep alone, or it and all its runs), and started again by the same command until they
are done. Part `ray`: swept by Ray on a local cluster of two nodes, one of its workers killed.
Weights, history, summary, examples and TensorBoard events of each run must be equal, all but
wall-clock times. Exit code 1 where anything differs. Slow, and no part of the test suite.
"""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from run_outcome import differences, outcome  # noqa: E402

from rethink_tf import console  # noqa: E402
from rethink_tf.cli import sweep  # noqa: E402
from rethink_tf.cli.app import guarded  # noqa: E402
from rethink_tf.config import fields  # noqa: E402
from rethink_tf.config.command_line import CommandLine  # noqa: E402
from rethink_tf.errors import RequestError  # noqa: E402
from rethink_tf.experiments import plan  # noqa: E402

AXES = {"model": "mlp_1x512", "dataset": "digits", "corrupt": "0 0.5 1"}
TRIAL = plan.Experiment(
    "Twelve short runs", ("quickstart.flags",), AXES, {"smoke": {"*": (600, 60, 5)}}
)
COMMAND = ["trial", "--scale=smoke", "--seeds=4", "--threads=1", "--checkpoint_every=5"]
PARTS = ("kill", "ray")
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is tested, and how often."""

    parts: str = fields.field(",".join(PARTS), str, "some of kill,ray", group=_GROUP)
    kills: int = fields.field(3, int, "kills of the sweep", group=_GROUP, low=0, high=1000)
    seed: int | None = fields.field(
        None,
        int,
        "seed of the moments",
        group=_GROUP,
        low=0,
        high=2**32 - 1,
        by="another each time",
    )


LINE = CommandLine(
    "python scripts/sweep_test.py",
    "Kills real sweeps at random moments and compares what they leave with an undisturbed one. "
    "Exit code 1 where anything differs.",
    (Flags,),
)


def start(runs_dir: Path, *more: str) -> subprocess.Popen:
    """The sweep as a process, with its runs in a process group of its own."""
    command = [sys.executable, __file__, "--sweep", *COMMAND, f"--runs_dir={runs_dir}", *more]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )


def finish(runs_dir: Path, *more: str) -> dict[str, dict]:
    """Sweeps to the end; what each run left, by run id."""
    process = start(runs_dir, *more)
    said = process.communicate()[0]
    if process.returncode:
        sys.exit(f"the sweep ended with exit code {process.returncode}:\n{said}")
    print("   ", said.strip().splitlines()[-1], flush=True)
    return {path.name: outcome(path) for path in sorted(runs_dir.glob("*-*"))}


def runs_of(runs_dir: Path) -> list[int]:
    """The processes of the runs below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            b"rethink_tf.experiments.sweep.process" in words
            and f"--runs_dir={runs_dir}".encode() in words
        ):
            found.append(int(entry.name))
    return found


def killed(folder: Path, draws: random.Random, kills: int, seconds: float) -> dict[str, dict]:
    """Sweeps with kills, then to the end."""
    for number in range(kills):
        process = start(folder, "--slots=2")
        after = draws.uniform(3, max(6, 0.8 * seconds))
        try:
            process.wait(after)
            print(f"kill {number + 1}: it had ended before", flush=True)
            continue
        except subprocess.TimeoutExpired:
            pass
        running, whole = len(runs_of(folder)), draws.random() < 0.7
        (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        done = len(list(folder.glob("*/summary.json")))
        what = "the sweep and its runs" if whole else "the sweep alone"
        print(
            f"kill {number + 1}: SIGKILL to {what} after {after:.0f} s, {done} runs done, "
            f"{running} running",
            flush=True,
        )
    return finish(folder, "--slots=2")


def by_ray(folder: Path, draws: random.Random) -> dict[str, dict]:
    """Sweeps by Ray on two nodes, one worker killed while its run trains."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        os.environ["RAY_ADDRESS"] = cluster.address
        process = start(folder, "--executor=ray")
        while not runs_of(folder) and process.poll() is None:
            time.sleep(0.5)
        time.sleep(draws.uniform(1, 15))
        for run in runs_of(folder)[:1]:
            worker = int(Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[1])
            name = Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")[0].decode()
            os.kill(worker, signal.SIGKILL)
            time.sleep(4)
            print(f"killed {name}; its run lives: {Path(f'/proc/{run}').exists()}", flush=True)
        print("   ", process.communicate()[0].strip().replace("\n", "\n    "), flush=True)
        return {path.name: outcome(path) for path in sorted(folder.glob("*-*"))}
    finally:
        cluster.shutdown()


def compare(name: str, whole: dict[str, dict], other: dict[str, dict]) -> bool:
    """Whether all runs of both are equal; says in what they are not."""
    found = {run: differences(whole[run], other[run]) for run in whole if run in other}
    found |= {run: ["that it is missing"] for run in whole.keys() - other.keys()}
    bad = {run: what for run, what in found.items() if what}
    for run, what in bad.items():
        print(f"{name}: {run} DIFFERS in {', '.join(what)}", flush=True)
    print(f"{name}: {len(found) - len(bad)} of {len(whole)} runs equal", flush=True)
    return not bad and len(whole) == 12


def main(argv: list[str]) -> int:
    """The command."""
    parsed = LINE.parse(argv)
    if parsed is None:
        console.say(LINE.help())
        return 0
    options = parsed[Flags]
    parts = set(options.parts.split(","))
    if not parts <= set(PARTS):
        raise RequestError(f"--parts: expected some of kill,ray, received {options.parts}")
    draws, good = random.Random(options.seed), True
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        print("undisturbed:", flush=True)
        whole = finish(Path(folder, "whole"), "--slots=2")
        seconds = time.monotonic() - began
        if "kill" in parts:
            left = killed(Path(folder, "killed"), draws, options.kills, seconds)
            good = compare("killed and started again", whole, left) and good
        if "ray" in parts:
            good = compare("by Ray", whole, by_ray(Path(folder, "ray"), draws)) and good
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sweep"]:
        plan.EXPERIMENTS["trial"] = TRIAL
        sys.exit(guarded(sweep.main, sys.argv[2:]))
    sys.exit(guarded(main, sys.argv[1:]))
