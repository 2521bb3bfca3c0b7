"""The kernel interpolants of Table 3 as runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rethink_tf import __version__, console, environment
from rethink_tf.audit import label_checks
from rethink_tf.config import paper
from rethink_tf.config.command_line import Parsed
from rethink_tf.console import StageProgress
from rethink_tf.corruptions import checksum
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels import command
from rethink_tf.experiments.kernels import (
    data as kernel_data,
)
from rethink_tf.experiments.kernels import (
    request as kernel_settings,
)
from rethink_tf.experiments.kernels import (
    solutions as kernel_solutions,
)
from rethink_tf.experiments.kernels import (
    summary as kernel_summary,
)
from rethink_tf.experiments.kernels.command import Where
from rethink_tf.experiments.kernels.data import Data
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks
from rethink_tf.storage import content_hash, files, paths
from rethink_tf.theory.kernels import memory, minimum_norm
from rethink_tf.theory.kernels.gram import Kernel
from rethink_tf.theory.kernels.minimum_norm import Solution

KIND, SOLUTIONS = "kernels", "solutions.json"
# Solutions that agree in all of these may be in one file.
OF_A_SOLUTION = ("version", "data", "settings", "features_library", "gamma", "labels_hash")
ABOUT = """Solves K alpha = y for the kernel of a training set, one-hot targets and no ridge: the
interpolant of minimum norm (section 5 of the paper, Table 3). Prints test error, residual and
norms. K is never held as a whole. With --cache_dir an interrupted solve resumes."""


LINE = kernel_settings.line("rethink-tf kernels", ABOUT, Where)


def identify(argv: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain configuration, run id)."""
    return command.identify(LINE, KIND, argv)


def carry_out(parsed: Parsed, argv: Sequence[str]) -> int:
    """Solves what a command line asks for as a run.

    Args:
        parsed: of `LINE`.
        argv: the command line, recorded.

    Returns:
        The exit code.
    """
    settings, runs_dir = parsed[Settings], parsed[Where].runs_dir
    kernel_solutions.steps(settings)  # refuses values that are not numbers before any data is read
    kernel_solutions.feature_options(settings)
    run, values = command.data_and_values(parsed)
    shown = Path(runs_dir, tasks.run_id(KIND, values), SOLUTIONS)

    def compute(folder: Path) -> dict[str, Any]:
        path = folder / SOLUTIONS
        record = _solve(run, settings, path, shown)
        finish(record, path)
        return kernel_summary.summary_of(record)

    with tasks.telling_what_is_kept(lambda: _kept(settings, shown)):
        return tasks.carry_out(runs_dir, KIND, values, compute, argv=argv, threads=settings.threads)


def _kept(settings: Settings, solutions: Path) -> str:
    """What an interrupted solve leaves, and how to resume."""
    kept = [f"what was solved is in {solutions}"] if solutions.is_file() else []
    if settings.cache_dir is not None:
        folder = paths.cache_directory(settings.cache_dir)
        blocks = [*folder.glob("factor-*/row_*"), *folder.glob("gram-*/filters_*")]
        what = "what was kept of kernel matrices is" if blocks else "nothing was kept yet"
        kept.append(f"{what} in {settings.cache_dir}")
    return "; ".join([*kept, "the same command resumes"]) if kept else command.NOTHING_KEPT


def _solve(run, settings: Settings, path: Path, shown: Path) -> dict[str, Any]:
    """Solves what is asked for and prints it; returns the record, which is kept in `path`."""
    name, gamma, source = kernel_settings.kernel_of(settings, run.dataset)
    kernel = Kernel(name, gamma)
    where = {"data_dir": settings.data_dir, "cache_dir": settings.cache_dir}
    data = kernel_data.load(run, **where, threads=settings.threads, say=console.say)
    n = data.train.num_examples
    kernel_line = f"gaussian kernel, gamma {gamma:g} ({source})" if gamma else "linear kernel"
    console.say(
        f"{content_hash.shown(run.dataset)}: {n:,} examples to interpolate, "
        f"{data.test.num_examples:,} to test on; {settings.features}, {kernel_line}"
    )
    console.say(
        f"{100 * kernel_data.changed_fraction(data.train):.2f}% of the labels changed; audit: "
        f"{len(data.checks)} checks passed"
    )
    equal, contradicting = kernel_data.equal_images(data.train)
    if equal:
        console.say(
            f"{equal} images equal an earlier one; {contradicting} of these have another label"
            f"{' and cannot be interpolated' if contradicting else ''}"
        )
    record = _record(run, settings, kernel, source, data)
    record |= {"equal_images": equal, "contradicting_images": contradicting}
    wanted = kernel_solutions.steps(settings)
    record["solutions"] = _solved_before(path, record)
    solved = {(values["filters"], values["ridge"]): values for values in record["solutions"]}
    for step in [step for step in wanted if step in solved]:
        console.say(f"from {shown}:")
        say_solution(solved[step])
    wanted = [step for step in wanted if step not in solved]
    wanted = kernel_solutions.possible(settings, kernel, wanted, n, data.train.images.shape[1:])
    if wanted:
        kernel_solutions.require_memory(settings, data)
    progress = StageProgress()
    for filters, solution in kernel_solutions.solutions(settings, data, kernel, wanted, progress):
        record["solutions"].append(described(solution, data, filters, settings.tolerance))
        files.write_json(path, record)
        say_solution(record["solutions"][-1])
    say_paper(run, settings)
    return record


def _record(run, settings: Settings, kernel: Kernel, source: str, data) -> dict[str, Any]:
    return {
        "version": __version__,
        "data": {name: getattr(run, name) for name in kernel_settings.OF_A_RUN},
        "settings": {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in kernel_settings.FREE
        },
        "features_library": kernel_solutions.features_library(settings),
        "threads": settings.threads or environment.cores(),
        "kernel": kernel.name,
        "gamma": kernel.gamma,
        "gamma_from": source,
        "examples": data.train.num_examples,
        "test_examples": data.test.num_examples,
        "labels_hash": checksum.labels_hash(data.train.index, data.train.given),
        "changed_fraction": kernel_data.changed_fraction(data.train),
        "audit": [dataclasses.asdict(check) for check in data.checks],
        "solutions": [],
    }


def _solved_before(path: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The solutions that an interrupted run left, if they are of the same data and settings."""
    old = files.read_json(path) or {}
    differ = [key for key in OF_A_SOLUTION if old.get(key) != record[key]]
    if old and differ:
        name, wanted, received = _first_difference(differ[0], record[differ[0]], old.get(differ[0]))
        raise RequestError(
            f"{path}: expected results of the same {name}, {wanted!s:.60}; "
            f"received {received!s:.60}; delete the file"
        )
    return old.get("solutions", [])


def _first_difference(name: str, wanted: Any, received: Any) -> tuple[str, Any, Any]:
    """The first entry in which two values differ, if both are dictionaries; else the values."""
    if not isinstance(wanted, dict) or not isinstance(received, dict):
        return name, wanted, received
    missing = object()
    either = {**wanted, **received}
    key = next(k for k in either if wanted.get(k, missing) != received.get(k, missing))
    return f"{name} {key}", wanted.get(key), received.get(key)


def described(solution: Solution, data: Data, filters: int, tolerance: float) -> dict[str, Any]:
    """All that a solution says, as JSON has it. Errors are fractions."""
    values = {
        "filters": filters,
        "ridge": solution.ridge,
        "train_error": minimum_norm.errors(solution.fitted, data.train.given),
        "test_error": minimum_norm.errors(solution.predicted, data.test.true),
        "norms": minimum_norm.norms(solution),
        "residuals": solution.residuals,
        "solved": solution.residuals[-1] <= tolerance,
        "shift": solution.shift,
        "seconds": solution.seconds,
        "gflops": solution.new_flops / solution.seconds["factor"] / 1e9,
        "peak_bytes": memory.peak(),
    }
    if data.run.corrupt == 1 and data.run.label_noise == "uniform":
        predicted = solution.predicted.argmax(axis=1)
        check = label_checks.after_training(data.test.true, predicted, data.train.num_classes)
        values["test_at_chance"] = dataclasses.asdict(check)
    return values


def say_solution(values: dict[str, Any]) -> None:
    """One solution in lines."""
    seconds, norms = values["seconds"], values["norms"]
    rate = f" at {values['gflops']:.3g} GFLOP/s" if values["gflops"] > 0 else " (kept before)"
    filters = f"{values['filters']:,} filters, " if values["filters"] else ""
    console.say(
        f"{filters}ridge {values['ridge']:g}: train error {100 * values['train_error']:.2f}%, "
        f"test error {100 * values['test_error']:.2f}%"
    )
    console.say(
        "  l2 norm: "
        + ", ".join(
            f"{key.replace('_', ' ')} {norms[key]:.4g}"
            for key in ("all_classes", "class_mean", "class_largest", "coefficients")
        )
    )
    first, *refined = (f"{r:.1e}" for r in values["residuals"])
    line = f"  relative residual {first}"
    if refined:
        *steps, last = refined
        line += f", after each refinement {', '.join(steps)}, recomputed at the end {last}"
    console.say(line)
    if not values["solved"]:
        console.say(
            "  NOT SOLVED to --tolerance; try more --refinements, --dtype=float64 or a --ridge"
        )
    if values["shift"]:
        console.say(
            "  K is not positive definite in the factor's precision: for the factor, up to "
            f"{values['shift']:.1e} was added to a diagonal block; refinement works on the system "
            "without this shift"
        )
    console.say(
        f"  factor {_short(seconds['factor'])}{rate}, refinement "
        f"{_short(seconds['refine'])}, test set {_short(seconds['predict'])}; "
        f"peak memory {memory.amount(values['peak_bytes'])}"
    )


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else console.duration(seconds)


def say_paper(run, settings: Settings) -> None:
    """The paper's numbers, where this is a row of its Table 3 at whatever scale."""
    row = paper.TABLE3.get((run.dataset, settings.features))
    if row is None or run.corrupt or run.labels_from or run.pixels != "original":
        return
    more = "" if row.norm is None else f", l2 norm {row.norm:g}"
    if settings.features == "random_conv" and row.ridge_test_error is not None:
        more = f" ({100 * row.ridge_test_error:g}% with ridge), at 32,000 filters"
    scale = "" if run.examples is None else ", on all examples"
    console.say(f"paper, Table 3: test error {100 * row.test_error:g}%{more}{scale}")


def finish(record: dict[str, Any], path: Path) -> None:
    """Writes the record with its status: INVALID where random labels were predicted."""
    checks = [values.get("test_at_chance") for values in record["solutions"]]
    failed = [check["detail"] for check in checks if check and check["passed"] is False]
    record["status"] = results.INVALID if failed else results.DONE
    files.write_json(path, record)
    if failed:
        console.say(f"INVALID: random labels, but the test error is not chance: {failed[0]}")
