"""Memorisation scores: how far networks know an example only because they were trained on it."""

import functools
from typing import Any

import numpy as np

from rethink_tf.analysis.memorisation import LEAST_SCORE, SCORES
from rethink_tf.plotting import memorisation as pictures
from rethink_tf.report.drawing import Figure
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Table


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


_COLUMNS = {
    "accuracy, trained on (%)": (("train_accuracy",), 100.0, 2),
    "accuracy, other training examples (%)": (("other_accuracy",), 100.0, 2),
    "mean score": (("score", "all"), 1.0, 4),
    "mean score, noisy": (("score", "noisy"), 1.0, 4),
    "memorised (%)": (("memorised", "all"), 100.0, 2),
    "correlation of two halves": (("reliability", "halves"), 1.0, 4),
}


def memorisation(gathered: Gathered, _first: float):
    """A row for each data set and level of noise, and the histogram of its scores."""
    rows, figures = [], []
    for row_runs in gathered.rows:
        config = row_runs.plan.config
        network = config["network"]
        model, data, p = network["model"], network["dataset"], f"{network.get('corrupt', 0.0):g}"
        cells = {name: _cell(row_runs, *column) for name, column in _COLUMNS.items()}
        rows.append(row((model, data, p, f"{config['models']:,}"), cells, row_runs))
        for run in row_runs.runs[:1]:
            if run.place is not None and (run.place / SCORES).is_file():
                title = f"Memorisation scores of {model} on {data} at p = {p}"
                draw = functools.partial(_draw, run.place / SCORES)
                figures.append(Figure(f"memorisation_{row_runs.plan.row}", title, "", draw))
    notes = (
        "The score of an example is the share of the networks trained on it that predict its given "
        "label, minus the same share of the other networks. Memorised means a score of at least "
        f"{LEAST_SCORE:g}. The last column compares the scores from one half of the networks with "
        "those from the other half. Figures show the first seed.",
    )
    labels = ("network", "data set", "p", "networks")
    return [Table("memorisation", "Memorisation scores", labels, tuple(rows), notes=notes)], figures


def _draw(path):
    with np.load(path, allow_pickle=False) as file:
        score, noisy = file["score"], file["given"] != file["true"]
    return pictures.histogram(score, noisy, "", "memorisation score")
