"""Kills real runs at random moments until they are done, and compares them with undisturbed ones.

    python scripts/kill_test.py --data_dir=DATA --models=mlp_1x512,inception --kills=5

Each model is trained once undisturbed, and once killed by SIGKILL, SIGTERM or SIGINT and started
again by the same command until it is done. Weights, history, summary, examples and TensorBoard
events must be equal (all but wall-clock times), and SIGTERM and SIGINT answered within two seconds
with exit codes 143 and 130. Flags that are not listed below, such as --dropout=0.5 or --devices=2,
are rethink_tf.main's. Exit code 1 where anything differs or was late, 2 for a wrong request.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from run_outcome import differences, outcome  # noqa: E402

from rethink_tf.config.run_config import PRECISIONS  # noqa: E402
from rethink_tf.data import registry as datasets  # noqa: E402
from rethink_tf.models import MODELS  # noqa: E402
from rethink_tf.runs import results  # noqa: E402

ANSWER_SECONDS = 2.0
IMPORT_SECONDS = 2.0  # before, Python itself may end by the signal: the command has not begun
SIGNALS = {s.name.removeprefix("SIG"): s for s in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)}


@dataclass(frozen=True)
class Kill:
    """What happened at one kill.

    Attributes:
        signal: that was sent.
        after: seconds from the start of the process.
        epochs: in the history when it was sent; None where the process had ended before.
        code: exit code; negative where the signal ended the process by itself.
        answer: seconds until the process was gone.
        said: what it said on stderr.
        finished: whether its summary was written when it was sent: Python itself may end by the
            signal then, and nothing is left to be said.
    """

    signal: signal.Signals
    after: float
    epochs: int | None
    code: int
    answer: float
    said: str
    finished: bool = False

    @property
    def fault(self) -> str | None:
        """What is wrong with it, or None."""
        if self.code == 0:  # done before, or just then
            return None
        last = (self.said.strip().splitlines() or ["nothing on stderr"])[-1]
        if self.epochs is None:
            return f"ended by itself: {last}"
        by_itself = self.signal == signal.SIGKILL or self.after < IMPORT_SECONDS or self.finished
        if self.code != 128 + self.signal and not (by_itself and self.code == -self.signal):
            return f"expected exit code {128 + self.signal}: {last}"
        if self.code > 0 and "Traceback" in self.said:
            return "a traceback"
        if self.signal != signal.SIGKILL and self.answer > ANSWER_SECONDS:
            return f"expected an answer within {ANSWER_SECONDS:g} s"
        return None

    def __str__(self):
        text = f"{self.signal.name} after {self.after:.1f} s"
        if self.epochs is not None:
            text += f", {self.epochs} epochs written"
        text += f": exit code {self.code}"
        if self.epochs is not None:
            text += f" in {self.answer:.2f} s"
        return text + (f"  FAULT: {self.fault}" if self.fault else "")


class RunFailedError(Exception):
    """A run that was left alone ended with another exit code than 0."""


def start(command: list[str], runs_dir: Path) -> subprocess.Popen:
    """A run as a process of its own, whose stderr can be read."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [*command, f"--runs_dir={runs_dir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def finish(command: list[str], runs_dir: Path) -> dict:
    """Runs a command to its end and returns what its one run left."""
    process = start(command, runs_dir)
    said = process.communicate()[1]
    if process.returncode:
        raise RunFailedError((said.strip().splitlines() or ["it said nothing"])[-1])
    (run_dir,) = runs_dir.iterdir()
    return outcome(run_dir)


def training_from(runs_dir: Path) -> float:
    """When, by the clock, a run's first epoch began."""
    (run_dir,) = runs_dir.iterdir()
    timing = results.read_history(run_dir)[0]["timing"]
    return timing["finished"] - timing["train_seconds"] - timing["eval_seconds"]


def kill(command: list[str], runs_dir: Path, chosen: signal.Signals, after: float) -> Kill:
    """Starts a run, sends the signal after so many seconds, and waits for its end."""
    process = start(command, runs_dir)
    try:
        process.wait(after)
        epochs = None
    except subprocess.TimeoutExpired:
        epochs = sum(len(results.read_history(path)) for path in runs_dir.glob("*/"))
    finished = any(runs_dir.glob(f"*/{results.SUMMARY}"))
    sent = time.monotonic()
    process.send_signal(chosen)
    said = process.communicate()[1]
    return Kill(chosen, after, epochs, process.returncode, time.monotonic() - sent, said, finished)


def try_run(name: str, command: list[str], folder: Path, draws, kills: int, signals) -> bool:
    """Trains one configuration undisturbed and killed; whether all was equal and in time.

    Args:
        name: of the run, for the lines.
        command: that trains it, without --runs_dir.
        folder: that exists and is empty.
        draws: a random.Random.
        kills: how many.
        signals: those to choose from.

    Raises:
        RunFailedError: the undisturbed run failed.
    """
    began = time.time()
    whole = finish(command, folder / "whole")
    seconds = time.time() - began
    trains = training_from(folder / "whole") - began
    print(f"{name}: undisturbed in {seconds:.1f} s, weights {whole['weights hash']}", flush=True)
    good, folders = True, 0
    for i in range(1, kills + 1):
        runs_dir = folder / f"killed{folders}"
        # Most of a short run is its start; two of three kills are to hit what comes after.
        after = draws.uniform(draws.choice((0, trains, trains)), seconds)
        happened = kill(command, runs_dir, draws.choice(signals), after)
        print(f"{name}, kill {i} of {kills}: {happened}", flush=True)
        good = good and happened.fault is None
        if happened.code == 0 or i == kills:  # done, or to be left alone until it is
            good = _ends_equal(name, whole, command, runs_dir) and good
            folders += 1
    return good


def _ends_equal(name: str, whole: dict, command: list[str], runs_dir: Path) -> bool:
    try:
        killed = finish(command, runs_dir)
    except RunFailedError as error:
        print(f"{name}: FAULT: it cannot be finished: {error}", flush=True)
        return False
    found = differences(whole, killed)
    verdict = f"DIFFERS in {', '.join(found)}" if found else "equal"
    print(f"{name}: {verdict}, weights {killed['weights hash']}", flush=True)
    return not found


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"kill_test: {message}", file=sys.stderr)
        sys.exit(2)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; exits with code 2 and one line where it is wrong."""
    parser = _Parser(
        "kill_test.py",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lists = {"models": tuple(MODELS), "precision": PRECISIONS, "signals": tuple(SIGNALS)}
    numbers = {  # lowest, default, help
        "kills": (1, 5, "of each model and precision"),
        "epochs": (1, 3, "of each run"),
        "examples": (10, 1000, "of each run"),
        "seed": (0, None, "of moments and signals; default: another each time"),
    }
    for name, known in lists.items():
        default = "float32" if name == "precision" else ",".join(known)
        help = f"some of {','.join(known)} [{default}]"
        parser.add_argument(f"--{name}", default=default, metavar="X,Y", help=help)
    for name, (_, default, help) in numbers.items():
        shown = "" if default is None else f" [{default}]"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=help + shown)
    help = "folder with a TFDS cifar10; default: the embedded digits"
    parser.add_argument("--data_dir", type=Path, metavar="FOLDER", help=help)
    options, more = parser.parse_known_args(argv)
    options.more = more
    for name, known in lists.items():
        setattr(options, name, getattr(options, name).split(","))
        for value in getattr(options, name):
            if value not in known:
                parser.error(f"--{name}: expected some of {','.join(known)}, received {value!r}")
    for name, (low, _, _) in numbers.items():
        value = getattr(options, name)
        if value is not None and value < low:
            parser.error(f"--{name}: expected at least {low}, received {value}")
    if options.data_dir and not datasets.is_on_disk("cifar10", options.data_dir):
        parser.error(f"--data_dir: expected a TFDS cifar10 in {options.data_dir}")
    return options


def main(argv: list[str]) -> int:
    """Trains, kills, compares, prints; returns the exit code."""
    options = parse(argv)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(2**32)
    print(f"moments and signals are drawn with --seed={options.seed}", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        flags = [f"--epochs={options.epochs}", f"--examples={options.examples}"]
        flags += [f"--cache_dir={scratch}/cache", "--checkpoint_every=1", "--corrupt=0.5"]
        flags += ["--dataset=digits"]
        if options.data_dir:
            flags[-1:] = ["--dataset=cifar10", f"--data_dir={options.data_dir}"]
        for model in options.models:
            for precision in options.precision:
                name = f"{model} {precision}"
                folder = Path(scratch) / name.replace(" ", "-")
                folder.mkdir()
                command = [sys.executable, "-m", "rethink_tf.main", f"--model={model}"]
                command += [f"--precision={precision}", *flags, *options.more]
                draws = random.Random(f"{options.seed} {name}")
                chosen = [SIGNALS[s] for s in options.signals]
                try:
                    good = try_run(name, command, folder, draws, options.kills, chosen) and good
                except RunFailedError as error:
                    print(f"kill_test: {name}: {error}", file=sys.stderr)
                    return 2
    print("all equal and in time" if good else "NOT all equal and in time")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
