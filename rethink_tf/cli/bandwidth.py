"""Chooses a kernel's bandwidth: `rethink-tf bandwidth`."""

import dataclasses
from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments.kernels import (
    data as kernel_data,
)
from rethink_tf.experiments.kernels import request as kernel_settings
from rethink_tf.experiments.kernels import (
    solutions as kernel_solutions,
)
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.storage import content_hash, files
from rethink_tf.theory.kernels import bandwidth, features, memory

ABOUT = """Tries bandwidths of the gaussian kernel: solves on a part of the training set, measures
on another part of it, and names the best. The test set has no part in it."""
EXAMPLES, HELD_OUT = 10_000, 2000
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """Which bandwidths are tried, and on how many examples."""

    gammas: str | None = fields.field(
        None,
        str,
        "bandwidths to try",
        group=_GROUP,
        by="1/16 to 16 over the median squared distance",
    )
    held_out: int | None = fields.field(
        None,
        int,
        "training examples to measure on",
        group=_GROUP,
        low=10,
        high=1_000_000,
        by="2,000, at most a third of the examples",
    )
    json: str | None = fields.field(
        None,
        str,
        "file for what was tried",
        group=_GROUP,
        by="none",
    )


NONE = "             -  (not positive definite in this precision)"


LINE = kernel_settings.line(
    "rethink-tf bandwidth",
    ABOUT,
    Flags,
    {"examples": f"{EXAMPLES:,}, or all where there are fewer"},
)


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    parsed = LINE.parse(argv)
    if parsed is None:
        console.say(LINE.help())
        return ExitCode.DONE
    run, settings, asked = kernel_settings.data_of(parsed), parsed[Settings], parsed[Flags]
    if settings.features in features.STREAMED or settings.kernel == "linear":
        raise RequestError(
            "--features: expected pixels or gabor, and the gaussian kernel; others have no "
            "bandwidth to choose"
        )
    ridges = kernel_settings.numbers("ridge", settings.ridge)
    gammas = kernel_settings.numbers("gammas", asked.gammas, 1e-12) if asked.gammas else None
    places = {"data_dir": settings.data_dir, "cache_dir": settings.cache_dir}
    run, why = kernel_data.resolved(run, **places, say=console.say)
    count = run.examples
    if count is None:
        count = min(EXAMPLES, kernel_data.size(run, **places))
        run, _ = kernel_data.resolved(dataclasses.replace(run, examples=count), **places)
    held_out = _held_out(asked.held_out, count)
    if asked.json is not None:
        files.require_writable(Path(asked.json))
    if why:
        console.say(why)
    data = kernel_data.load(run, **places, threads=settings.threads, say=console.say)
    options = kernel_solutions.feature_options(settings)
    shape = data.train.images.shape[1:]
    parts = kernel_solutions.memory_of(settings, count, held_out, shape, settings.dtype)
    parts["features"] *= 2  # of all, and of its two parts
    free = memory.available()
    console.say(memory.announced(parts, free))
    memory.require(parts, free, "type a smaller --examples")
    progress = console.StageProgress()
    made = features.FEATURES[settings.features](
        data.train.images, **options, progress=lambda share: progress("features", share)
    )
    median = bandwidth.median_squared_distance(made)
    if not (gammas or median > 0):
        raise RequestError(
            "--gammas: expected some, since the median distance of these images is 0; type them"
        )
    gammas = gammas or [factor / median for factor in bandwidth.FACTORS]
    console.say(
        f"{content_hash.shown(run.dataset)}: {count - held_out:,} examples to solve, {held_out:,} "
        f"of the training set held out; median squared distance {median:.4g}"
    )
    console.say(f"{'gamma':>10}  {'ridge':>8}  {'held-out error':>14}  {'residual':>8}")
    rows: list[dict[str, Any]] = []
    for gamma, ridge, error, residual in bandwidth.errors(
        made,
        data.train.given,
        data.train.num_classes,
        gammas=gammas,
        ridges=ridges,
        count=held_out,
        seed=run.seed,
        dtype=settings.dtype,
        block=settings.block,
        tolerance=settings.tolerance,
        refinements=settings.refinements,
        progress=progress,
    ):
        rows.append({"gamma": gamma, "ridge": ridge, "error": error, "residual": residual})
        values = f"{100 * error:>13.2f}%  {residual:>8.1e}" if error is not None else NONE
        if residual is not None and not residual <= settings.tolerance:
            values += "  (not solved to --tolerance)"
        console.say(f"{gamma:>10.4g}  {ridge:>8g}  {values}")
    solved = [row for row in rows if row["error"] is not None]
    if not solved:
        raise RequestError("--gammas: expected larger ones, or --dtype=float64: none was solved")
    best = min(solved, key=lambda row: row["error"])
    console.say(
        f"best on the held-out part: --gamma={best['gamma']:.3g} --ridge={best['ridge']:g} "
        f"({100 * best['error']:.2f}%)"
    )
    if best["residual"] > settings.tolerance:
        console.say("this one is not solved to --tolerance: --dtype=float64 or a --ridge may do")
    if asked.json is not None:
        about = {name: getattr(run, name) for name in kernel_settings.OF_A_RUN}
        record = {
            "data": about,
            "settings": dataclasses.asdict(settings),
            "gammas": asked.gammas,
            "held_out": held_out,
            "tried": rows,
        }
        files.write_json(Path(asked.json), record)
    return ExitCode.DONE


def _held_out(wanted: int | None, count: int) -> int:
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
