"""Equation 1, Theorem 1, implicit regularisation, measures: the results of the theory runs."""

import functools

from rethink_tf.analysis.measures import ROWS
from rethink_tf.plotting import theory_figures
from rethink_tf.report import drawing
from rethink_tf.report.collection import MEASURED
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Row, Table
from rethink_tf.theory.norm_choices import EXACT


def _summary_cell(row_runs: RowRuns, select) -> Cell:
    """A quantity of the whole summary, of all seeds."""
    return Cell(tuple(select(run.summary) for run in row_runs.runs), None, 0, row_runs.statuses)


def rademacher(gathered: Gathered, _first: float):
    """Equation 1: the correlation with random signs that each network reaches."""
    rows, series = [], []
    for number, row_runs in enumerate(gathered.rows):
        config = row_runs.plan.config
        values = row_runs.summaries("complexity")
        cells = {"complexity, at least": Cell(values, None, 4, row_runs.statuses)}
        rows.append(row((config["network"]["model"], config["dataset"]), cells, row_runs))
        curves = [
            [tuple(point) for point in draw["by_epoch"]]
            for run in row_runs.runs
            for draw in run.summary["draws"]
        ]
        series.append(Series(config["network"]["model"], curves, (), number))

    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 4.4)
        drawing.draw_series(axes, series)
        axes.set_ylim(0, 1.05)
        drawing.label_axes(axes, "Epoch", "Correlation with the signs")
        drawing.legend(figure, series)
        return figure

    notes = (
        "The paper expects about 1 and gives no number. Ours is a lower bound: the correlation "
        "that training reached, averaged over draws of the signs. It is 1 if every sign is fitted.",
    )
    table = Table("rademacher", "Equation 1", ("network", "data set"), tuple(rows), notes=notes)
    title = "Random signs: correlation reached by epoch"
    return [table], [Figure("rademacher", title, "", draw)]


_FIT = {
    "weights": "weights",
    "weights stated": "weights_stated",
    "width": "width",
    "labels wrong": "errors",
}


def expressivity(gathered: Gathered, _first: float):
    """Theorem 1 and Corollary 1: a row for each number of points and depth."""
    rows, figures = [], []
    for row_runs in gathered.rows:
        fits = row_runs.runs[0].summary["fits"] if row_runs.runs else []
        for place, fit in enumerate(fits):
            cells = {
                title: _summary_cell(
                    row_runs, lambda summary, p=place, key=key: summary["fits"][p][key]
                )
                for title, key in _FIT.items()
            }
            labels = (row_runs.plan.config["dataset"], f"{fit['n']:,}", str(fit["depth"]))
            rows.append(row(labels, cells, row_runs))
        for run in row_runs.runs[:1]:
            title = "Theorem 1 in float64: largest error before rounding against n"
            figures.append(
                _figure(
                    f"expressivity_{row_runs.plan.row}",
                    title,
                    theory_figures.precision,
                    run.summary,
                )
            )
    notes = (
        "Random labels. Weights are counted in the Keras model. The stated numbers are 2n + d of "
        "Theorem 1 (depth 2) and 2n + d + 2(k - 1) for depth k of Corollary 1. Labels are counted "
        "as wrong after rounding.",
    )
    labels = ("data set", "n", "depth")
    return [Table("expressivity", "Theorem 1", labels, tuple(rows), notes=notes)], figures


def implicit(gathered: Gathered, _first: float):
    """SGD and the least norm; norm and test error by preprocessing."""
    rows, figures = [], []
    for row_runs in gathered.rows:
        names = [choice["name"] for run in row_runs.runs[:1] for choice in run.summary["choices"]]
        for place, name in enumerate(names):

            def values(key, scale=1.0, place=place, row_runs=row_runs):
                return tuple(scale * run.summary["choices"][place][key] for run in row_runs.runs)

            cells = {
                "norm": Cell(values("norm"), None, 1),
                "norm, random labels": Cell(values("norm_random"), None, 1),
                "test error (%)": Cell(values("test_error", 100.0), None, 2),
            }
            if max(values("residual"), default=0.0) >= EXACT:
                name += " (does not interpolate)"
            rows.append(row((row_runs.plan.config["dataset"], name), cells, row_runs))
        for run in row_runs.runs[:1]:
            name_of_row = f"implicit_{row_runs.plan.row}"
            data = row_runs.plan.config["dataset"]
            figures += [
                _figure(
                    f"{name_of_row}_sgd",
                    f"{data}: SGD and the solution of least norm",
                    theory_figures.descent,
                    run.summary["sgd"],
                ),
                _figure(
                    f"{name_of_row}_norm",
                    f"{data}: norm and test error of the least-norm solution",
                    functools.partial(theory_figures.norms, exact_below=EXACT),
                    run.summary,
                ),
            ]
    notes = (
        "All are solutions of least norm on the same images, with features scaled to mean squared "
        "length 1. With fewer dimensions than images a solution does not interpolate, and its norm "
        "cannot be compared.",
    )
    labels = ("data set", "preprocessing")
    return [Table("implicit", "Least norm", labels, tuple(rows), notes=notes)], figures


_DECIMALS = {"percent": 2, "count": 0, "plain": 3}


def measures(gathered: Gathered, _first: float):
    """What distinguishes a network that learnt from one that memorised? A column for each."""
    rows = []
    sources = {row_runs.source for row_runs in gathered.rows if row_runs.runs}
    run_ids = tuple(run.run_id for run in gathered.runs)
    for key, (title, kind) in ROWS.items():
        scale = 100.0 if kind == "percent" else 1.0
        cells = {
            row_runs.plan.row: Cell(
                row_runs.summaries(key, scale),
                None,
                _DECIMALS[kind],
                row_runs.statuses,
                row_runs.source == MEASURED,
            )
            for row_runs in gathered.rows
        }
        if any(cell.values for cell in cells.values()):
            rows.append(Row((title.strip(),), cells, " and ".join(sorted(sources)), run_ids))
    notes = ("Measured on the final weights of each run; see rethink_tf/analysis/measures.py.",)
    return [Table("measures", "Measures", ("measure",), tuple(rows), notes=notes)], []


def _figure(name: str, title: str, draw, row_runs) -> Figure:
    return Figure(name, title, "", lambda: draw(row_runs), bands=False)
