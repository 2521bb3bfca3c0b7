"""The command of leave-one-out of the kernel interpolant: `rethink-tf leave-one-out`."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import __version__, console, environment
from rethink_tf.audit import label_checks
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.run_config import RunConfig
from rethink_tf.console import StageProgress
from rethink_tf.corruptions import checksum
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels import command
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import request as kernel_settings
from rethink_tf.experiments.kernels import solutions as kernel_solutions
from rethink_tf.experiments.kernels.command import Where
from rethink_tf.experiments.kernels.data import Data
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.plotting import memorisation as pictures
from rethink_tf.plotting import style
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks
from rethink_tf.storage import content_hash, files, paths
from rethink_tf.theory.kernels import cholesky, device_tiles, gram, memory, minimum_norm
from rethink_tf.theory.kernels import features as kernel_features
from rethink_tf.theory.kernels import leave_one_out as left_out
from rethink_tf.theory.kernels.gram import Kernel
from rethink_tf.theory.kernels.leave_one_out import LeftOut

KIND = "leave-one-out"
IN_MEMORY = ("pixels", "gabor")
OF_THE_KERNEL = (
    "features",
    "kernel",
    "gamma",
    "ridge",
    "orientations",
    "frequencies",
    "gabor_cell",
    "dtype",
    "tolerance",
    "refinements",
    "block",
    "backend",
    "data_dir",
    "cache_dir",
    "threads",
)
SHOWN = 40  # images in the figure of the most memorised examples
# Relative error of the diagonal of the inverse in float32 above which it is called inexact.
DIAGONAL_TOLERANCE = 1e-2


LINE = CommandLine(
    "rethink-tf leave-one-out",
    "Computes, exactly and for all training examples at once, what the kernel interpolant predicts "
    "for an example when it is solved without that example. Prints the leave-one-out error, the "
    "share of memorised examples, and how much the test predictions change when one example is "
    "left out. Takes one --ridge, and of --features pixels or gabor. --cache_dir keeps the factor "
    "and the diagonal of the inverse: an interrupted run resumes, and other labels need only one "
    f"solve. Writes RUNS_DIR/<run id>/{results.SUMMARY}, {results.EXAMPLES} and figures.",
    (
        FlagSet(RunConfig, kernel_settings.OF_A_RUN, {"input_size": "whole images"}),
        FlagSet(Settings, OF_THE_KERNEL, {"ridge": "0"}),
        Where,
    ),
)


def _ridge(settings: Settings) -> float:
    """The one ridge of a command line.

    Raises:
        RequestError: features that are never all in memory, or several ridges.
    """
    if settings.features not in IN_MEMORY:
        raise RequestError(
            f"--features: expected one of {', '.join(IN_MEMORY)}, received {settings.features}"
        )
    ridges = kernel_settings.numbers("ridge", settings.ridge)
    if len(ridges) > 1:
        raise RequestError(f"--ridge: expected one number, received {settings.ridge}")
    kernel_solutions.feature_options(settings)  # refuses values that are not numbers
    return ridges[0]


def identify(argv: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain configuration, run id)."""
    return command.identify(LINE, KIND, argv, _ridge)


def carry_out(parsed: Parsed, argv: Sequence[str]) -> int:
    """Does what a command line asks for as a run.

    Args:
        parsed: of `LINE`.
        argv: the command line, recorded.

    Returns:
        The exit code.
    """
    settings = parsed[Settings]
    ridge = _ridge(settings)
    run, values = command.data_and_values(parsed)
    name, gamma, source = kernel_settings.kernel_of(settings, run.dataset)

    def compute(folder: Path) -> dict[str, Any]:
        places = {"data_dir": settings.data_dir, "cache_dir": settings.cache_dir}
        data = kernel_data.load(run, **places, threads=settings.threads, say=console.say)
        kernel = Kernel(name, gamma)
        console.say(
            f"{content_hash.shown(run.dataset)}: {data.train.num_examples:,} examples, each left "
            f"out once; {settings.features}, {name} kernel"
            + (f", gamma {gamma:g} ({source})" if gamma else "")
        )
        began = time.monotonic()
        found = _left_out(settings, data, kernel, ridge)
        record = _record(data, settings, kernel, source, found)
        record["seconds"] |= {"all": time.monotonic() - began}
        _say(record)
        _write(folder, data, found)
        return record

    def kept() -> str:
        if settings.cache_dir is None:
            return command.NOTHING_KEPT
        return f"the parts that were done are in {settings.cache_dir}; the same command resumes"

    with tasks.telling_what_is_kept(kept):
        return tasks.carry_out(
            parsed[Where].runs_dir, KIND, values, compute, argv=argv, threads=settings.threads
        )


def _left_out(settings: Settings, data: Data, kernel: Kernel, ridge: float) -> LeftOut:
    """Makes the features, refuses what does not fit into memory, and computes."""
    train, test = data.train, data.test
    options = kernel_solutions.feature_options(settings)
    d = kernel_features.dimensions(settings.features, train.images.shape[1:], **options)
    needed = left_out.memory_of(
        train.num_examples, test.num_examples, d, settings.dtype, settings.block
    )
    free = memory.available()
    console.say(memory.announced(needed, free))
    memory.require(needed, free, "type a smaller --examples")
    progress = StageProgress()
    made = kernel_features.FEATURES[settings.features]
    x, at = (
        made(
            table.images,
            **options,
            progress=lambda share, words=words: progress(f"features of the {words} images", share),
        )
        for words, table in (("training", train), ("test", test))
    )
    device = kernel_solutions.device_of(settings)
    eliminate, product = cholesky.eliminate_on_host, gram.product_on_host
    if device is not None:
        eliminate, product, _ = device_tiles.start(device)
        console.say(f"multiplying with TensorFlow on {device}")
    return left_out.leave_one_out(
        x,
        at,
        minimum_norm.one_hot(train.given, train.num_classes),
        kernel,
        ridge=ridge,
        dtype=settings.dtype,
        block=settings.block,
        tolerance=settings.tolerance,
        refinements=settings.refinements,
        cache=None if settings.cache_dir is None else paths.cache_directory(settings.cache_dir),
        eliminate=eliminate,
        product=product,
        report=console.say,
        progress=progress,
    )


def _record(data: Data, settings: Settings, kernel: Kernel, source: str, found: LeftOut):
    """What the summary says. Errors are fractions."""
    train, test, solution = data.train, data.test, found.solution
    chosen = left_out.memorised(found, train.given)
    noisy = train.given != train.true
    parts = {"clean": ~noisy, "noisy": noisy}
    record = {
        "version": __version__,
        "kernel": kernel.name,
        "gamma": kernel.gamma,
        "gamma_from": source,
        "ridge": solution.ridge,
        "threads": settings.threads or environment.cores(),
        "train_examples": train.num_examples,
        "test_examples": test.num_examples,
        "labels_hash": checksum.labels_hash(train.index, train.given),
        "changed_fraction": kernel_data.changed_fraction(train),
        "train_error": minimum_norm.errors(found.fitted, train.given),
        "leave_one_out_error": minimum_norm.errors(found.predicted, train.given),
        "test_error": minimum_norm.errors(solution.predicted, test.true),
        "chance_error": 1 - 1 / train.num_classes,
        "memorised": float(chosen.mean()),
        "memorised_by": {
            name: float(chosen[part].mean()) if part.any() else None for name, part in parts.items()
        },
        "margin_without_median": float(np.median(left_out.margins(found.predicted, train.given))),
        "stability": left_out.stability(found),
        "equal_examples": [train.index[group].tolist() for group in found.groups],
        "residuals": solution.residuals,
        "solved": solution.residuals[-1] <= settings.tolerance,
        "shift": solution.shift,
        "diagonal_error": found.diagonal_error,
        "exact": solution.shift == 0 and found.diagonal_error <= DIAGONAL_TOLERANCE,
        "seconds": dict(found.seconds),
        "peak_bytes": memory.peak(),
        "audit": [dataclasses.asdict(check) for check in data.checks],
    }
    if data.run.corrupt == 1 and data.run.label_noise == "uniform":
        predicted = solution.predicted.argmax(axis=1)
        check = label_checks.after_training(test.true, predicted, train.num_classes)
        record["audit"].append(dataclasses.asdict(check))
        if check.passed is False:
            record |= {"status": results.INVALID, "reason": check.detail}
    return record


def _say(record: dict[str, Any]) -> None:
    """The record in lines."""
    percent = {name: f"{100 * record[name]:.2f}%" for name in record if name.endswith("_error")}
    console.say(
        f"leave-one-out error {percent['leave_one_out_error']}; train error "
        f"{percent['train_error']}, test error {percent['test_error']}, chance "
        f"{percent['chance_error']}; {100 * record['changed_fraction']:.2f}% of the labels changed"
    )
    by = ", ".join(
        f"{100 * share:.2f}% of the {name}"
        for name, share in record["memorised_by"].items()
        if share is not None
    )
    console.say(
        "memorised (fitted with the example, not without it): "
        f"{100 * record['memorised']:.2f}% ({by})"
    )
    values = record["stability"]
    console.say(
        "if one example is left out, a test prediction changes by at most "
        f"{values['largest']:.4g} (largest over examples), {values['percentile_99']:.4g} (99th "
        f"percentile), {values['mean']:.4g} (mean): lower bounds of the uniform stability"
    )
    if groups := record["equal_examples"]:
        several = [f"{', '.join(map(str, group))}" for group in groups]
        shown = "; ".join(several[:5]) + ("; ..." if len(several) > 5 else "")
        console.say(
            f"{console.counted(len(groups), 'group')} of equal images, by index: {shown}"
            + ("; each group is one point with the mean label" if record["ridge"] == 0 else "")
        )
    console.say(
        f"relative residual {record['residuals'][-1]:.1e}, diagonal of the inverse within "
        f"{record['diagonal_error']:.1e} at {left_out.PROBES} examples"
    )
    if not record["solved"]:
        console.say(
            "NOT SOLVED to --tolerance; try more --refinements, --dtype=float64 or a --ridge"
        )
    if not record["exact"]:
        console.say(
            "NOT EXACT: a shift was added for the factor, or the diagonal has a large rounding "
            "error; type --dtype=float64 or a --ridge"
        )
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in record["seconds"].items())
    console.say(f"{seconds}; peak memory {memory.amount(record['peak_bytes'])}")
    if record.get("status") == results.INVALID:
        console.say(f"INVALID: random labels, but the test error is not chance: {record['reason']}")


def _write(folder: Path, data: Data, found: LeftOut) -> None:
    """Writes the arrays of every example, and the figures."""
    train = data.train
    without = left_out.margins(found.predicted, train.given)
    chosen = left_out.memorised(found, train.given)
    results.save_examples(
        folder,
        index=train.index,
        true=train.true,
        given=train.given,
        margin=left_out.margins(found.fitted, train.given),
        margin_without=without,
        predicted_without=found.predicted.argmax(axis=1),
        memorised=chosen,
        stability=found.stability,
    )
    noisy = train.given != train.true
    name = content_hash.shown(data.run.dataset)
    order = np.flatnonzero(chosen)[np.argsort(without[chosen], kind="stable")][:SHOWN]
    predicted = found.predicted.argmax(axis=1)
    words = [
        f"index {train.index[i]}\n{train.given[i]}, without {predicted[i]}\nmargin {without[i]:.2f}"
        for i in order
    ]
    figures = {
        "margins": pictures.histogram(
            without,
            noisy,
            f"{name}: margin of each example when it is left out",
            pictures.MARGIN,
        )
    }
    if len(order):
        figures["most_memorised"] = pictures.images(
            np.asarray(train.images[order]).clip(0, 255).astype(np.uint8),
            words,
            f"{name}: memorised examples with the lowest margins (wrong when left out)",
        )
    for title, figure in figures.items():
        path = folder / f"{title}.png"
        files.write_atomically(path, style.png(style.pixels_of(figure)))
        console.say(str(path))
