"""Equation 1, Theorem 1, implicit regularisation, measures: what the runs of the theory found."""

import functools

from rethink_tf.analysis.measures import ROWS
from rethink_tf.plotting import theory_figures
from rethink_tf.report import drawing
from rethink_tf.report.collection import MEASURED
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Found, Gathered
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Row, Table
from rethink_tf.theory.norm_choices import EXACT


def _summary_cell(found: Found, select) -> Cell:
    """A quantity of the whole summary, of all seeds."""
    return Cell(tuple(select(run.summary) for run in found.runs), None, 0, found.words)


def rademacher(gathered: Gathered, _first: float):
    """Equation 1: the correlation with random signs that each network reaches."""
    rows, series = [], []
    for number, found in enumerate(gathered.found):
        config = found.plan.config
        values = found.summaries("complexity")
        cells = {"complexity, at least": Cell(values, None, 4, found.words)}
        rows.append(row((config["network"]["model"], config["dataset"]), cells, found))
        curves = [
            [tuple(point) for point in draw["by_epoch"]]
            for run in found.runs
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
    for found in gathered.found:
        fits = found.runs[0].summary["fits"] if found.runs else []
        for place, fit in enumerate(fits):
            cells = {
                title: _summary_cell(
                    found, lambda summary, p=place, key=key: summary["fits"][p][key]
                )
                for title, key in _FIT.items()
            }
            labels = (found.plan.config["dataset"], f"{fit['n']:,}", str(fit["depth"]))
            rows.append(row(labels, cells, found))
        for run in found.runs[:1]:
            title = "Theorem 1 in float64: largest error before rounding against n"
            figures.append(
                _figure(
                    f"expressivity_{found.plan.row}", title, theory_figures.precision, run.summary
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
    for found in gathered.found:
        names = [choice["name"] for run in found.runs[:1] for choice in run.summary["choices"]]
        for place, name in enumerate(names):

            def values(key, scale=1.0, place=place, found=found):
                return tuple(scale * run.summary["choices"][place][key] for run in found.runs)

            cells = {
                "norm": Cell(values("norm"), None, 1),
                "norm, random labels": Cell(values("norm_random"), None, 1),
                "test error (%)": Cell(values("test_error", 100.0), None, 2),
            }
            if max(values("residual"), default=0.0) >= EXACT:
                name += " (does not interpolate)"
            rows.append(row((found.plan.config["dataset"], name), cells, found))
        for run in found.runs[:1]:
            of = f"implicit_{found.plan.row}"
            data = found.plan.config["dataset"]
            figures += [
                _figure(
                    f"{of}_sgd",
                    f"{data}: SGD and the solution of least norm",
                    theory_figures.descent,
                    run.summary["sgd"],
                ),
                _figure(
                    f"{of}_norm",
                    f"{data}: norm and test error of the least-norm solution",
                    functools.partial(theory_figures.norms, exact_below=EXACT),
                    run.summary,
                ),
            ]
    notes = (
        "All are solutions of least norm on the same images, with features scaled to mean squared "
        "length 1. With fewer dimensions than images a solution does not interpolate, and its norm "
        "cannot be compared. Figures show the first seed.",
    )
    labels = ("data set", "preprocessing")
    return [Table("implicit", "Least norm", labels, tuple(rows), notes=notes)], figures


_DECIMALS = {"percent": 2, "count": 0, "plain": 3}


def measures(gathered: Gathered, _first: float):
    """What distinguishes a network that learnt from one that memorised? A column for each."""
    rows = []
    sources = {found.source for found in gathered.found if found.runs}
    run_ids = tuple(run.run_id for run in gathered.runs)
    for key, (words, kind) in ROWS.items():
        scale = 100.0 if kind == "percent" else 1.0
        cells = {
            found.plan.row: Cell(
                found.summaries(key, scale),
                None,
                _DECIMALS[kind],
                found.words,
                found.source == MEASURED,
            )
            for found in gathered.found
        }
        if any(cell.values for cell in cells.values()):
            rows.append(Row((words.strip(),), cells, " and ".join(sorted(sources)), run_ids))
    notes = ("Measured on the final weights of each run; see rethink_tf/analysis/measures.py.",)
    return [Table("measures", "Measures", ("measure",), tuple(rows), notes=notes)], []


def _figure(name: str, title: str, draw, found) -> Figure:
    return Figure(name, title, "", lambda: draw(found))
