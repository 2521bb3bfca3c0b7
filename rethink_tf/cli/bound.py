"""A bound on the test error from how far label noise is fitted: rethink-tf bound RUN"""

import dataclasses
from pathlib import Path

import numpy as np

from rethink_tf import console
from rethink_tf.analysis import noise_bound
from rethink_tf.analysis.noise_bound import NoiseBound
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import Options
from rethink_tf.errors import ExitCode
from rethink_tf.plotting import noise_bound as pictures
from rethink_tf.plotting import style
from rethink_tf.runs import results
from rethink_tf.storage import files, paths

_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """How sure the bound is, and where it is written."""

    delta: float = fields.field(
        noise_bound.DELTA,
        float,
        "probability that the bound of an epoch fails although its assumptions hold",
        group=_GROUP,
        low=0.0,
        high=1.0,
        open_ends="low high",
    )
    out: str = fields.field("bound", str, "folder of the figure and the CSV", group=_GROUP)


LINE = CommandLine(
    "rethink-tf bound",
    """
    Bounds the error of a finished run on new examples, by epoch, from how far the run fits its
    noisy labels (Garg et al., 2021). Uses no test label; the true test error is drawn beside it.
    Needs a run with --corrupt above 0 and below 1. The bound says nothing once the noise is fitted.

    Writes bound.png and bound.csv. docs/guides/noise_bound.md has the formulas and assumptions.
    """,
    (Flags, FlagSet(Options, only=("runs_dir",))),
    positionals="RUN",
    least=1,
    most=1,
    positionals_help="RUN: the folder of a finished run, or its id below --runs_dir",
)


def main(argv: list[str]) -> int:
    """The command: a line for each bound, a figure and a CSV."""
    return LINE.run(argv, _bound)


def _bound(parsed: Parsed) -> int:
    flags = parsed[Flags]
    folder = results.require_folder(parsed.positionals[0], parsed[Options].runs_dir)
    files.require_writable_folder(paths.absolute(flags.out))
    bound = noise_bound.of_run(folder, flags.delta)
    for line in lines(bound):
        console.say(line)
    curves = {
        "test error": bound.test_error,
        f"bound from {bound.counts.changed:,} changed labels": bound.changed,
        f"bound from {bound.counts.replaced:,} replaced labels": bound.replaced,
    }
    picture = pictures.figure(bound.name, bound.epochs, curves, 1 - 1 / bound.counts.classes)
    out = Path(flags.out)
    written = {
        out / "bound.png": style.png(style.pixels_of(picture)),
        out / "bound.csv": noise_bound.csv(bound).encode(),
    }
    with files.storage(out):
        paths.absolute(out).mkdir(parents=True, exist_ok=True)
    for path, content in written.items():
        files.write_atomically(paths.absolute(path), content)
        console.say(str(path))
    return ExitCode.DONE


def lines(bound: NoiseBound) -> list[str]:
    """What is printed of a run's bounds."""
    counts = bound.counts
    said = [
        f"{bound.name}: {counts.replaced:,} labels replaced, {counts.changed:,} of them changed, "
        f"{counts.kept:,} not replaced; each bound holds at one epoch with probability "
        f"{1 - bound.delta:g}"
    ]
    for words, values in (("changed", bound.changed), ("replaced", bound.replaced)):
        best, vacuous = int(values.argmin()), bound.epochs[values >= 1]
        line = (
            f"from the {words} labels: smallest bound {values[best]:.4f} after epoch "
            f"{bound.epochs[best]}, test error there {bound.test_error[best]:.4f}; last bound "
            f"{values[-1]:.4f}, test error {bound.test_error[-1]:.4f}; "
        )
        said.append(line + _vacuous(vacuous, bound.epochs))
    if len(bound.exceeded):
        said.append(
            f"the test error is above a bound after epochs {', '.join(map(str, bound.exceeded))}: "
            "there the assumption fails, or the rare case has happened"
        )
    return said


def _vacuous(vacuous: np.ndarray, epochs: np.ndarray) -> str:
    if not len(vacuous):
        return "never vacuous"
    if len(vacuous) == len(epochs):
        return "vacuous (at least 1) at every epoch"
    return f"vacuous (at least 1) at {len(vacuous)} of {len(epochs)} epochs, first {vacuous[0]}"
