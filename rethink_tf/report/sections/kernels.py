"""Table 3 beside the paper's, and the test error against the number of random filters."""

from collections.abc import Sequence

from rethink_tf.config import paper
from rethink_tf.config.paper import paper_table
from rethink_tf.narrowing import present
from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Row, Table

PAPERS_FILTERS = 32_000


def _without_ridge(row_runs: RowRuns | None, key: str) -> tuple[float, ...]:
    """A quantity of the summaries whose solution is of no ridge."""
    if row_runs is None:
        return ()
    return tuple(run.summary[key] for run in row_runs.runs if not run.summary["ridge"])


def _errors(accuracies: Sequence[float]) -> tuple[float, ...]:
    return tuple(100 * (1 - v) for v in accuracies)


def table3(gathered: Gathered, _first: float):
    """Table 3: kernel interpolation; test error and norm without a ridge."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows = []
    for printed in paper_table("table3"):
        row_runs = by_name.get(printed["row"])
        with_ridge = row_runs.summaries("ridge_test_accuracy") if row_runs else ()
        ours = {
            "test error": _errors(_without_ridge(row_runs, "test_accuracy")),
            "test error with l2": _errors(with_ridge),
            "norm": _without_ridge(row_runs, "norm"),
        }
        cells = {}
        for title, values in ours.items():
            number = float(printed[title]) if printed[title] else None
            shown, unit = (0, "") if title == "norm" else (2, " (%)")
            cells[title + unit] = Cell(values, number, shown, row_runs.statuses if row_runs else "")
        if row_runs and printed["row"] == "cifar10_random_conv":
            cells["filters"] = Cell(
                row_runs.summaries("filters"), PAPERS_FILTERS, 0, row_runs.statuses
            )
        labels = (printed["data"], printed["preprocessing"])
        rows.append(row(labels, cells, row_runs) if row_runs else Row(labels, cells))
    notes = (
        "The paper gives 15% for the random conv-net with an l2 penalty, only in its text, and "
        "does not state the penalty. It does not say how its norms combine the classes; our norm "
        "is sqrt(sum over classes of α'Kα). Our results for the random conv-net use the largest "
        "number of filters that was solved, without a penalty if these filters interpolate.",
    )
    table = Table("table3", "Table 3", ("data", "preprocessing"), tuple(rows), notes=notes)
    conv = by_name.get("cifar10_random_conv")
    curves = points(conv)
    counts = {count for curve in curves.values() for count in curve}
    return [table], [_figure(curves, unsolved(conv))] if conv and len(counts) > 1 else []


def points(row_runs: RowRuns | None) -> dict[float, dict[int, tuple[float, ...]]]:
    """Measured test error in percent of every seed, by ridge and number of filters.

    Without what was not solved to `--tolerance`; `unsolved` names it.
    """
    curves: dict[float, dict[int, tuple[float, ...]]] = {}
    for run in row_runs.runs if row_runs else ():
        for solution in run.summary["solutions"]:
            if solution.get("solved") is False:
                continue
            curve = curves.setdefault(solution["ridge"], {})
            count = solution["filters"]
            curve[count] = (*curve.get(count, ()), 100 * solution["test_error"])
    return {ridge: dict(sorted(curve.items())) for ridge, curve in sorted(curves.items())}


def unsolved(row_runs: RowRuns) -> str:
    """A sentence that names the points that are left out; empty where there are none."""
    missing = {
        (one["filters"], one["ridge"])
        for run in row_runs.runs
        for one in run.summary["solutions"]
        if one.get("solved") is False
    }
    if not missing:
        return ""
    named = ", ".join(f"{count:,} filters, ridge {ridge:g}" for count, ridge in sorted(missing))
    return f"Left out, since it was not solved to --tolerance: {named}."


def _figure(curves, caption: str) -> Figure:
    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 4.6)
        for number, (ridge, curve) in enumerate(curves.items()):
            axes.errorbar(
                list(curve),
                [derived.mean(values) for values in curve.values()],
                yerr=[derived.std(values) or 0.0 for values in curve.values()],
                linestyle="",
                marker=drawing.MARKERS[number % len(drawing.MARKERS)],
                markersize=7,
                color=drawing.COLOURS[number % len(drawing.COLOURS)],
                label=f"ours, ridge {ridge:g}",
            )
        printed = paper.TABLE3["cifar10", "random_conv"]
        with_ridge = present(printed.ridge_test_error, "the paper's error with ridge")
        for error, full, text in (
            (printed.test_error, True, "the paper's, no ridge"),
            (with_ridge, False, "the paper's, with ridge"),
        ):
            axes.plot(
                [PAPERS_FILTERS],
                [100 * error],
                linestyle="",
                marker="D",
                markersize=8,
                color=drawing.INK,
                markerfacecolor=drawing.INK if full else "none",
                label=text,
            )
        ticks = sorted({*(count for curve in curves.values() for count in curve), PAPERS_FILTERS})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        drawing.start_at_zero(axes)
        drawing.label_axes(axes, "Random filters", "Test error (%)")
        with drawing.own_style():
            figure.legend(loc="outside lower center", frameon=False, ncols=2)
        return figure

    title = "CIFAR-10, random convolutional features: test error and number of filters"
    return Figure("table3_filters", title, caption, draw)
