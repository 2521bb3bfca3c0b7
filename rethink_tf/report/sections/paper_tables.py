"""Tables 1, 2 and 4, paper beside ours."""

import dataclasses
from collections.abc import Iterable

from rethink_tf.config import paper
from rethink_tf.config.paper import paper_table
from rethink_tf.experiments import plan
from rethink_tf.report import derived
from rethink_tf.report.collection import MEASURED
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.table import Cell, Row, Table

YES_NO = {True: "yes", False: "no"}
LABELS = {0.0: "true", 1.0: "random"}


def percent(row_runs: RowRuns, key: str, printed: float | str | None = None) -> Cell:
    """A fraction of the summaries in percent; `printed` is the paper's, in percent."""
    return Cell(row_runs.summaries(key, 100.0), printed, 2, row_runs.statuses)


def with_origin(cell: Cell, row_runs: RowRuns) -> Cell:
    """A cell of `row_of_several` with marks for shipped runs and for runs unlike their row."""
    shipped = row_runs.source == MEASURED
    return dataclasses.replace(cell, unlike=row_runs.unlike, marked=shipped)


def row(labels, cells: dict[str, Cell], row_runs: RowRuns) -> Row:
    """A row made of an experiment's runs."""
    run_ids = tuple(run.run_id for run in row_runs.runs)
    folder = plan.EXPERIMENTS[row_runs.plan.experiment].rows[0].partition("/")[0]
    flagfile = f"flags/{folder}/{row_runs.plan.row}.flags"
    cells = {
        name: dataclasses.replace(cell, unlike=row_runs.unlike) for name, cell in cells.items()
    }
    return Row(tuple(labels), cells, row_runs.source, run_ids, flagfile)


def gain(
    one: RowRuns | None, other: RowRuns | None, key: str, printed: float | None = None
) -> Cell:
    """The difference of two rows in percentage points, over the seeds that both have.

    Args:
        one, other: None of a row that is not there.
        key: a fraction of the summaries.
        printed: the paper's difference, in points.
    """
    by_seed = [
        {plan.setting(run.config, "seed"): 100 * run.summary[key] for run in row_runs.runs}
        if row_runs
        else {}
        for row_runs in (one, other)
    ]
    pair = [row_runs for row_runs in (one, other) if row_runs]
    unlike = "; ".join(dict.fromkeys(row_runs.unlike for row_runs in pair if row_runs.unlike))
    shipped = any(row_runs.source == MEASURED for row_runs in pair)
    return Cell(derived.gains(*by_seed), printed, 2, unlike=unlike, marked=shipped)


def row_of_several(labels, cells: dict[str, Cell], made_of: Iterable[RowRuns | None]) -> Row:
    """A row made from the runs of several rows; it names them if it has a number.

    Cells are marked one by one only where some runs are shipped and others are not.
    """
    if not any(cell.values for cell in cells.values()):
        return Row(tuple(labels), cells)
    there = [row_runs for row_runs in made_of if row_runs is not None and row_runs.runs]
    run_ids = tuple(dict.fromkeys(run.run_id for row_runs in there for run in row_runs.runs))
    sources = {row_runs.source for row_runs in there}
    if len(sources) > 1:
        return Row(tuple(labels), cells, "", run_ids)
    cells = {name: dataclasses.replace(cell, marked=False) for name, cell in cells.items()}
    return Row(tuple(labels), cells, sources.pop(), run_ids)


def decay_text(config) -> str:
    """Weight decay with its coefficient, since the paper states none."""
    return f"{config.weight_decay:g}" if config.weight_decay else "no"


def table1(gathered: Gathered, _first: float):
    """Table 1: training and test accuracy on CIFAR-10."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows = []
    for name, printed in paper.TABLE1.items():
        if name not in by_name:
            continue
        row_runs = by_name[name]
        labels = (
            printed.model,
            f"{printed.parameters:,}",
            YES_NO[printed.augment == "crop"],
            decay_text(row_runs.plan.config),
            LABELS[printed.corrupt],
        )
        cells = {
            "train (%)": percent(row_runs, "train_accuracy", 100 * printed.train_accuracy),
            "test (%)": percent(row_runs, "test_accuracy", 100 * printed.test_accuracy),
        }
        rows.append(row(labels, cells, row_runs))
    labels = ("model", "parameters", "random crop", "weight decay", "labels")
    notes = (
        "Weight decay is λ in λ/2 |w|². The paper states no λ; ours is this project's choice. "
        "Accuracies are those after the last epoch, on every example of the set.",
    )
    tables = [Table("table1", "Table 1", labels, tuple(rows), notes=notes)]
    return [*tables, _derived("table1", _TABLE1_GAINS, by_name, _table1_test)], []


# What the paper compares in its text: (what gains, row with it, row without it).
_TABLE1_GAINS = (
    ("batch normalisation", "inception_true", "inception_no_bn_true"),
    ("batch normalisation, with weight decay", "inception_true_wd", "inception_no_bn_true_wd"),
    ("random crop, Inception", "inception_true_crop", "inception_true"),
    ("weight decay, Inception", "inception_true_wd", "inception_true"),
    ("crop and weight decay, Inception", "inception_true_crop_wd", "inception_true"),
    ("crop and weight decay, AlexNet", "alexnet_true_crop_wd", "alexnet_true"),
    ("Inception in place of AlexNet, both without", "inception_true", "alexnet_true"),
)
_TABLE2_GAINS = (
    ("augmentation, dropout and weight decay", "true_aug_dropout_wd", "true"),
    ("augmentation", "true_aug", "true"),
    ("weight decay", "true_wd", "true"),
)


def _table1_test(name: str) -> float:
    return 100 * paper.TABLE1[name].test_accuracy


def _table2_test(name: str) -> float:
    return 100 * paper.TABLE2[name].test_accuracy


def _derived(name: str, lines, by_name: dict[str, RowRuns], printed) -> Table:
    """The differences of test accuracy between rows of a table, the paper's beside ours.

    Args:
        name: of the table.
        lines: (what, row with it, row without it).
        by_name: the runs of each row.
        printed: the paper's test accuracy of a row, in percent.
    """
    rows = []
    for what, one, other in lines:
        pair = by_name.get(one), by_name.get(other)
        cell = gain(*pair, "test_accuracy", printed(one) - printed(other))
        rows.append(row_of_several((what,), {"gain in test accuracy (points)": cell}, pair))
    notes = (
        "Computed from the rows above, with the seeds that both rows have. The paper says that "
        "batch normalisation gains 3 to 4 points."
        if name == "table1"
        else "Computed from the rows above, with the seeds that both rows have. The paper gives "
        "the first line in its text, as a loss of 18 points without regularisers.",
    )
    title = f"Derived from Table {name[-1]}"
    return Table(f"{name}_derived", title, ("what gains",), tuple(rows), notes=notes)


_TABLE2 = {
    "train top-1": "train_accuracy",
    "train top-5": "train_top5_accuracy",
    "test top-1": "test_accuracy",
    "test top-5": "test_top5_accuracy",
    "best test top-1": "best_test_accuracy",
    "best test top-5": "best_test_top5_accuracy",
}


def table2(gathered: Gathered, _first: float):
    """Table 2: ImageNet; the paper's numbers stand there without any run, too."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows = []
    for printed in paper_table("table2"):
        row_runs = by_name.get(printed["row"])
        cells = {}
        for title, key in _TABLE2.items():
            number = float(printed[title]) if printed[title] else None
            ours = row_runs.summaries(key, 100.0) if row_runs else ()
            cells[f"{title} (%)"] = Cell(ours, number, 2, row_runs.statuses if row_runs else "")
        row_labels = tuple(
            printed[name] or "–" for name in ("labels", "augment", "dropout", "weight decay")
        )
        rows.append(row(row_labels, cells, row_runs) if row_runs else Row(row_labels, cells))
    labels = ("labels", "augmentation", "dropout", "weight decay")
    notes = (
        "The paper's 90.60 (true labels, weight decay alone) is probably a misprint: the top-5 "
        "accuracy of this row is 100.0, and the curve in Figure 2a ends at 99.6.",
    )
    tables = [Table("table2", "Table 2", labels, tuple(rows), notes=notes)]
    return [*tables, _derived("table2", _TABLE2_GAINS, by_name, _table2_test)], []


_REGULARISERS = {
    "crop": "random cropping",
    "flip_rotate": "augmentation (flip, rotation)",
}


def table4(gathered: Gathered, _first: float):
    """Table 4: running accuracy on random labels, as the paper measures it, and the exact one."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    rows = []
    for name, printed in paper.TABLE4.items():
        if name not in by_name:
            continue
        row_runs = by_name[name]
        config = row_runs.plan.config
        regulariser = _REGULARISERS.get(config.augment, f"weight decay {config.weight_decay:g}")
        number = paper.FAILED if printed.accuracy is None else 100 * printed.accuracy
        cells = {
            "running accuracy (%)": percent(row_runs, "accuracy", number),
            "exact, at the end (%)": percent(row_runs, "train_accuracy"),
            "test (%)": percent(row_runs, "test_accuracy"),
        }
        rows.append(row((printed.model, regulariser), cells, row_runs))
    notes = (
        "Random labels of CIFAR-10. Running accuracy is the mean over the last epoch's own "
        "(augmented) batches, as in the paper. The exact accuracy is that of the whole set without "
        "augmentation.",
    )
    return [Table("table4", "Table 4", ("model", "regulariser"), tuple(rows), notes=notes)], []
