"""Figures 2a and 2b: implicit regularisation, with early stopping as cumulative best accuracy."""

from rethink_tf.config.paper import paper_table
from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Gathered
from rethink_tf.report.sections.paper_tables import percent, row
from rethink_tf.report.table import Table

_FIGURE2A = {
    "aug_dropout_wd": "augmentation, dropout, weight decay",
    "wd": "weight decay",
    "plain": "none",
}


def _curves(row_runs, key):
    return [derived.points(run.history(), key, 100.0) for run in row_runs.runs]


def _best(row_runs):
    """Cumulative best test accuracy of each seed, in percent."""
    curves = _curves(row_runs, "test_accuracy")
    best = (derived.best_so_far([y for _, y in points]) for points in curves)
    return [
        [(x, b) for (x, _), b in zip(points, values, strict=True)]
        for points, values in zip(curves, best, strict=True)
    ]


def _shade(axes, row_runs, colour: int) -> None:
    """Shades what early stopping would gain: between test accuracy and its best so far."""
    tests = derived.band(_curves(row_runs, "test_accuracy"))
    bests = derived.band(_best(row_runs))
    if tests:
        axes.fill_between(
            [p[0] for p in tests],
            [p[1] for p in tests],
            [p[1] for p in bests],
            color=drawing.COLOURS[colour],
            alpha=0.25,
            linewidth=0,
        )


def figure2a(gathered: Gathered, _first: float):
    """ImageNet: training and test accuracy with regularisers on and off."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows, series = [], []
    for number, printed in enumerate(paper_table("fig2a")):
        row_runs = by_name.get(printed["row"])
        if row_runs is None:
            continue
        last, best = (
            float(printed[k]) * 100 if printed[k] else None for k in ("test", "best test")
        )
        condition = _FIGURE2A[printed["row"]]
        cells = {
            "test (%)": percent(row_runs, "test_accuracy", last),
            "best test (%)": percent(row_runs, "best_test_accuracy", best),
            "train (%)": percent(row_runs, "train_accuracy"),
        }
        rows.append(row((condition,), cells, row_runs))
        series.append(Series(f"test, {condition}", _curves(row_runs, "test_accuracy"), (), number))
        train = _curves(row_runs, "train_accuracy")
        series.append(Series(f"train, {condition}", train, (), number, dashed=True))

    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 4.8)
        drawing.draw_series(axes, series)
        for number, printed in enumerate(paper_table("fig2a")):
            if printed["row"] in by_name:
                _shade(axes, by_name[printed["row"]], number)
                axes.axhline(
                    100 * float(printed["test"]),
                    color=drawing.COLOURS[number],
                    alpha=0.55,
                    linestyle=(0, (1, 1.2)),
                    linewidth=2.4,
                    zorder=1.5,
                )
        axes.set_ylim(0, 102)
        drawing.label_axes(axes, "Epoch", "Top-1 accuracy (%)")
        drawing.legend(figure, series, ncols=2)
        return figure

    notes = (
        "Dotted: the last values of the paper's curves, which are all that is known. Shaded: the "
        "gap to the best test accuracy so far, which early stopping would gain.",
    )
    table = Table("figure2a", "Figure 2a in numbers", ("regularisers",), tuple(rows), notes=notes)
    return [table], [Figure("figure2a", "Figure 2a: ImageNet", "", draw)]


_FIGURE2B = {
    "inception": ("Inception", "test Inception", "train Inception"),
    "inception_no_bn": ("Inception without batch norm", "test Inception w/o BN", None),
}


def figure2b(gathered: Gathered, _first: float):
    """CIFAR-10: the small Inception with and without batch normalisation."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows, series, named = [], [], []
    for number, (name, (condition, test, train)) in enumerate(_FIGURE2B.items()):
        if name not in by_name:
            continue
        row_runs = by_name[name]
        named.append((number, row_runs))
        tests = [(x, 100 * y) for x, y in derived.paper_curve("fig2b", test)]
        cells = {
            "test (%)": percent(row_runs, "test_accuracy", tests[-1][1]),
            "best test (%)": percent(row_runs, "best_test_accuracy", max(y for _, y in tests)),
            "train (%)": percent(row_runs, "train_accuracy"),
        }
        rows.append(row((condition,), cells, row_runs))
        series.append(
            Series(f"test, {condition}", _curves(row_runs, "test_accuracy"), tests, number)
        )
        trains = [(x, 100 * y) for x, y in derived.paper_curve("fig2b", train)] if train else ()
        curves = _curves(row_runs, "train_accuracy")
        series.append(Series(f"train, {condition}", curves, trains, number, dashed=True))

    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 4.8)
        drawing.draw_series(axes, series)
        for number, row_runs in named:
            _shade(axes, row_runs, number)
        axes.set_ylim(top=101)
        drawing.label_axes(axes, "Epoch", "Accuracy (%)")
        drawing.legend(figure, series, ncols=2)
        return figure

    notes = (
        "The paper's numbers are read from its curves, which end at epoch 51 and differ from its "
        "Table 1. Shaded: the gap to the best test accuracy so far.",
    )
    table = Table("figure2b", "Figure 2b in numbers", ("network",), tuple(rows), notes=notes)
    title = "Figure 2b: batch normalisation and early stopping on CIFAR-10"
    return [table], [Figure("figure2b", title, "", draw)]
