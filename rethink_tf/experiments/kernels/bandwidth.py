"""The choice of a Gaussian kernel's bandwidth as a run; the test set has no part in it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import Parsed
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import request, solutions
from rethink_tf.experiments.kernels.data import Data
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks
from rethink_tf.storage import content_hash
from rethink_tf.theory.kernels import bandwidth, features, memory

KIND = "bandwidth"
ABOUT = f"""Chooses the bandwidth of the gaussian kernel: for each candidate, solves on a part of
the training set and measures the error on another part. The test set is not used. Writes
RUNS_DIR/<run id>/{results.SUMMARY}."""
EXAMPLES, HELD_OUT = 10_000, 2000
_GROUP = "This command"
_NOT_SOLVED = "             -  (not positive definite in this precision)"


@dataclasses.dataclass(frozen=True)
class Flags:
    """Which bandwidths are tried, on how many examples, and where the run lies."""

    gammas: str | None = fields.field(
        None,
        str,
        "bandwidths to try",
        group=_GROUP,
        by="1/16 to 16, divided by the median squared distance",
    )
    held_out: int | None = fields.field(
        None,
        int,
        "held-out training examples on which the error is measured",
        group=_GROUP,
        low=10,
        high=1_000_000,
        by="2,000, at most a third of the examples",
    )
    runs_dir: str = fields.field("runs", str, tasks.RUNS_DIR, group="Where and how")


LINE = request.line(
    "rethink-tf bandwidth",
    ABOUT,
    Flags,
    {"examples": f"{EXAMPLES:,}, or all where there are fewer"},
    left_out=("gamma",),  # this command searches for it
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a command line asks for.

    Attributes:
        run: the data, resolved, with the number of examples.
        settings: features, solver, and where the data lie.
        gammas: bandwidths to try; None chooses them by the median squared distance.
        ridges: each is tried with each bandwidth.
        held_out: examples to measure on.
    """

    run: RunConfig
    settings: Settings
    gammas: list[float] | None
    ridges: list[float]
    held_out: int

    @property
    def places(self) -> dict[str, Any]:
        """Where the data lie."""
        return {"data_dir": self.settings.data_dir, "cache_dir": self.settings.cache_dir}

    def configuration(self) -> dict[str, Any]:
        """All that can change a number, plain: what names the run."""
        # This command searches for the bandwidth, so any value can stand here.
        values = request.configuration(self.run, dataclasses.replace(self.settings, gamma=1.0))
        del values["gamma"]
        return values | {
            "experiment": KIND,
            "examples": self.run.examples,
            "gammas": self.gammas,
            "held_out": self.held_out,
        }


def plan(parsed: Parsed) -> Choice:
    """What a command line asks for; prints which data set was chosen where none is named.

    Raises:
        RequestError: features or a kernel without a bandwidth; too few examples; data that are
            not there.
    """
    run, settings, asked = request.data_of(parsed), parsed[Settings], parsed[Flags]
    if settings.features in features.STREAMED or settings.kernel == "linear":
        raise RequestError(
            "--features: expected pixels or gabor, and the gaussian kernel; other features and "
            "kernels have no bandwidth"
        )
    ridges = request.numbers("ridge", settings.ridge)
    gammas = request.numbers("gammas", asked.gammas, 1e-12) if asked.gammas else None
    places = {"data_dir": settings.data_dir, "cache_dir": settings.cache_dir}
    run, why = kernel_data.resolved(run, **places, say=console.say)
    count = run.examples
    if count is None:
        count = min(EXAMPLES, kernel_data.size(run, **places))
        run, _ = kernel_data.resolved(dataclasses.replace(run, examples=count), **places)
    held_out = held_out_of(asked.held_out, count)
    if why:
        console.say(why)
    return Choice(run, settings, gammas, ridges, held_out)


def held_out_of(wanted: int | None, count: int) -> int:
    """How many of `count` examples are held out."""
    if wanted is None:
        if count < 30:
            raise RequestError(
                f"--examples: expected at least 30, a third of which is held out, received {count}"
            )
        return min(HELD_OUT, count // 3)
    if wanted >= count:
        raise RequestError(
            f"--held_out: expected less than the {count} examples, received {wanted}"
        )
    return wanted


def carry_out(parsed: Parsed, argv: Sequence[str]) -> int:
    """Chooses the bandwidth that a command line asks for, as a run.

    Args:
        parsed: of `LINE`.
        argv: the command line, recorded.

    Returns:
        The exit code.
    """
    choice = plan(parsed)
    return tasks.carry_out(
        parsed[Flags].runs_dir,
        KIND,
        choice.configuration(),
        lambda _: choose(choice),
        argv=argv,
        threads=choice.settings.threads,
    )


def choose(choice: Choice) -> dict[str, Any]:
    """Tries all bandwidths, prints each, and names the best.

    Returns:
        `tried`: of each pair `gamma`, `ridge`, `error` (a fraction of the held-out part) and
        relative `residual`, these two None where it was not solved; `gamma`, `ridge` and
        `held_out_error` of the best.

    Raises:
        RequestError: it does not fit into memory; none was solved.
    """
    settings, progress = choice.settings, console.StageProgress()
    data = kernel_data.load(choice.run, **choice.places, threads=settings.threads, say=console.say)
    made = _features(choice, data, progress)
    gammas = _gammas(choice, made)
    console.say(f"{'gamma':>10}  {'ridge':>8}  {'held-out error':>14}  {'residual':>8}")
    tried = []
    for gamma, ridge, error, residual in bandwidth.errors(
        made,
        data.train.given,
        data.train.num_classes,
        gammas=gammas,
        ridges=choice.ridges,
        count=choice.held_out,
        seed=choice.run.seed,
        dtype=settings.dtype,
        block=settings.block,
        tolerance=settings.tolerance,
        refinements=settings.refinements,
        progress=progress,
    ):
        row = {"gamma": gamma, "ridge": ridge, "error": error, "residual": residual}
        console.say(_row(row, settings.tolerance))
        tried.append(row)
    best = _best(tried, settings.tolerance)
    return {
        "audit": [dataclasses.asdict(check) for check in data.checks],
        "tried": tried,
        "gamma": best["gamma"],
        "ridge": best["ridge"],
        "held_out_error": best["error"],
    }


def _features(choice: Choice, data: Data, progress) -> np.ndarray:
    """The features of all examples, after the memory that they take was printed and found free."""
    settings, images = choice.settings, data.train.images
    options = solutions.feature_options(settings)
    parts = solutions.memory_of(
        settings, len(images), choice.held_out, images.shape[1:], settings.dtype
    )
    parts["features"] *= 2  # those of all examples, and their copies in the two parts
    free = memory.available()
    console.say(memory.announced(parts, free))
    memory.require(parts, free, "type a smaller --examples")
    return features.FEATURES[settings.features](
        images, **options, progress=lambda share: progress("features", share)
    )


def _gammas(choice: Choice, made: np.ndarray) -> list[float]:
    """The bandwidths to try: those asked for, or around one over the median squared distance."""
    median = bandwidth.median_squared_distance(made)
    if not (choice.gammas or median > 0):
        raise RequestError(
            "--gammas: expected bandwidths, since the median distance of these images is 0, which "
            "gives no default; type --gammas=0.01,0.1,1"
        )
    console.say(
        f"{content_hash.shown(choice.run.dataset)}: {len(made) - choice.held_out:,} examples to "
        f"solve, {choice.held_out:,} of the training set held out; median squared distance "
        f"{median:.4g}"
    )
    return choice.gammas or [factor / median for factor in bandwidth.FACTORS]


def _row(row: dict[str, Any], tolerance: float) -> str:
    """One bandwidth as a line of the table."""
    error, residual = row["error"], row["residual"]
    values = _NOT_SOLVED if error is None else f"{100 * error:>13.2f}%  {residual:>8.1e}"
    if residual is not None and not residual <= tolerance:
        values += "  (not solved to --tolerance)"
    return f"{row['gamma']:>10.4g}  {row['ridge']:>8g}  {values}"


def _best(tried: list[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """The bandwidth of the least error, which is printed."""
    solved = [row for row in tried if row["error"] is not None]
    if not solved:
        raise RequestError("--gammas: none could be solved; type larger ones, or --dtype=float64")
    best = min(solved, key=lambda row: row["error"])
    console.say(
        f"best on the held-out part: --gamma={best['gamma']:.3g} --ridge={best['ridge']:g} "
        f"({100 * best['error']:.2f}%)"
    )
    if best["residual"] > tolerance:
        console.say("it is not solved to --tolerance; try --dtype=float64 or a --ridge")
    return best
