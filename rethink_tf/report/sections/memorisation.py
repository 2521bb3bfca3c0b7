"""How far examples are known only because they were trained on: scores, and leave-one-out."""

import functools
from typing import Any

import numpy as np

from rethink_tf.analysis.memorisation import LEAST_SCORE, SCORES
from rethink_tf.plotting import memorisation as pictures
from rethink_tf.report.drawing import Figure
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Table
from rethink_tf.runs import results


def _cell(row_runs: RowRuns, keys: tuple[str, ...], scale: float, shown: int) -> Cell:
    """A quantity of the summaries by its keys, outermost first; of all seeds that have it."""
    values = []
    for run in row_runs.runs:
        value: Any = run.summary
        for key in keys:
            value = value[key]
        if value is not None:
            values.append(scale * value)
    return Cell(tuple(values), None, shown, row_runs.statuses)


_SCORED = {
    "accuracy, trained on (%)": (("train_accuracy",), 100.0, 2),
    "accuracy, other training examples (%)": (("other_accuracy",), 100.0, 2),
    "mean score": (("score", "all"), 1.0, 4),
    "mean score, noisy": (("score", "noisy"), 1.0, 4),
    "memorised (%)": (("memorised", "all"), 100.0, 2),
    "correlation of two halves": (("reliability", "halves"), 1.0, 4),
}
_LEFT_OUT = {
    "examples": (("train_examples",), 1.0, 0),
    "leave-one-out error (%)": (("leave_one_out_error",), 100.0, 2),
    "test error (%)": (("test_error",), 100.0, 2),
    "stability, mean": (("stability", "mean"), 1.0, 4),
    "stability, 99th percentile": (("stability", "percentile_99"), 1.0, 4),
    "stability, largest": (("stability", "largest"), 1.0, 4),
    "time (s)": (("seconds", "all"), 1.0, 1),
}


def memorisation(gathered: Gathered, _first: float):
    """A row for each data set and level of noise, and the histogram of its scores."""
    rows, figures = [], []
    for row_runs in gathered.rows:
        config = row_runs.plan.config
        network = config["network"]
        model, data, p = network["model"], network["dataset"], f"{network.get('corrupt', 0.0):g}"
        cells = {name: _cell(row_runs, *column) for name, column in _SCORED.items()}
        rows.append(row((model, data, p, f"{config['models']:,}"), cells, row_runs))
        title = f"Memorisation scores of {model} on {data} at p = {p}"
        figures += _histogram(row_runs, title, SCORES, "score", "memorisation score")
    notes = (
        "The score of an example is the share of the networks trained on it that predict its given "
        "label, minus the same share of the other networks. Memorised means a score of at least "
        f"{LEAST_SCORE:g}. The last column compares the scores from one half of the networks with "
        "those from the other half.",
    )
    labels = ("network", "data set", "p", "networks")
    return [Table("memorisation", "Memorisation scores", labels, tuple(rows), notes=notes)], figures


def leave_one_out(gathered: Gathered, _first: float):
    """A row for each data set and level of noise, and the histogram of the margins without."""
    rows, figures = [], []
    for row_runs in gathered.rows:
        config = row_runs.plan.config
        data, p = config["dataset"], f"{config.get('corrupt', 0.0):g}"
        cells = {name: _cell(row_runs, *column) for name, column in _LEFT_OUT.items()}
        rows.append(row((data, config["features"], p), cells, row_runs))
        title = f"{data} at p = {p}: margin of each example when it is left out"
        figures += _histogram(row_runs, title, results.EXAMPLES, "margin_without", pictures.MARGIN)
    notes = (
        "The kernel interpolant of all examples, and exactly what it would be without each of "
        "them. Stability is the largest change of any test output when an example is left out; "
        "each number is a lower bound of the uniform stability of section 2.2. The time is shorter "
        "if an earlier run kept the factor, the diagonal of the inverse or the test directions.",
    )
    labels = ("data set", "features", "p")
    return [Table("leave_one_out", "Leave-one-out", labels, tuple(rows), notes=notes)], figures


def _histogram(row_runs: RowRuns, title: str, file: str, name: str, label: str) -> list[Figure]:
    """The figure of an array of the first seed's file of examples; none where that is not there."""
    place = row_runs.runs[0].place if row_runs.runs else None
    if place is None or not (place / file).is_file():
        return []
    draw = functools.partial(_draw, place / file, name, label)
    plan = row_runs.plan
    return [Figure(f"{plan.experiment}_{plan.row}", title, "", draw, bands=False)]


def _draw(path, name: str, label: str):
    with np.load(path, allow_pickle=False) as file:
        values, noisy = file[name], file["given"] != file["true"]
    return pictures.histogram(values, noisy, "", label)
