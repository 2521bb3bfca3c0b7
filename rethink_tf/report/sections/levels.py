"""Levels of randomisation, and transfer from them to another data set."""

import dataclasses
import functools

from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import (
    percent,
    row,
    row_of_several,
    with_origin,
)
from rethink_tf.report.sections.studies import BY_EPOCH, curves, epochs_cell
from rethink_tf.report.table import Cell, Table

KINDS = {
    "labels": "random labels",
    "gaussian": "Gaussian noise in the pixels",
    "shuffled": "shuffled positions, all alike",
    "random": "shuffled positions, each its own",
}


def level_of(config) -> tuple[str, float]:
    """Kind and degree of a configuration's corruption; `original` at 0 is the start of each kind.

    Args:
        config: resolved.
    """
    if config.corrupt:
        return "labels", config.corrupt
    if config.pixels == "gaussian":
        return "gaussian", config.pixel_mix
    if config.pixels in ("shuffled", "random"):
        return config.pixels, config.shuffle_fraction
    return "original", 0.0


def _order(level: tuple[str, float]) -> tuple[int, float]:
    kind, degree = level
    return (-1 if kind == "original" else list(KINDS).index(kind)), degree


def _by_kind(placed: dict[tuple[str, float], RowRuns]) -> dict[str, list[tuple[float, RowRuns]]]:
    """Kind: (degree, its runs) by degree, the original data first in each."""
    return {
        kind: [
            (p, f)
            for (k, p), f in sorted(placed.items(), key=lambda i: i[0][1])
            if k in (kind, "original")
        ]
        for kind in KINDS
    }


def levels(gathered: Gathered, _first: float):
    """Accuracy at each level of each kind of randomisation, and by epoch."""
    placed = {level_of(row_runs.plan.config): row_runs for row_runs in gathered.rows}
    rows = []
    for (kind, degree), row_runs in sorted(placed.items(), key=lambda item: _order(item[0])):
        cells = {
            "train (%)": percent(row_runs, "train_accuracy"),
            "test (%)": percent(row_runs, "test_accuracy"),
            "best test (%)": percent(row_runs, "best_test_accuracy"),
            "epochs to accuracy ≥ 0.99": epochs_cell(row_runs, derived.accuracy(derived.ACCURACY)),
        }
        rows.append(row((KINDS.get(kind, "original data"), f"{degree:g}"), cells, row_runs))
    there = {kind for kind, _ in placed}
    kinds = {kind: own for kind, own in _by_kind(placed).items() if kind in there}
    name, labels = gathered.name, ("randomised", "level")
    table = Table(name, gathered.title, labels, tuple(rows), notes=_NOTES.get(name, ()))
    if not kinds:  # only the original data
        return [table], []
    title, by_epoch = "Accuracy after the last epoch by level", "Accuracy by epoch, at each level"
    figures = [
        Figure(name, title, "", functools.partial(_draw_levels, kinds)),
        Figure(f"{name}_by_epoch", by_epoch, "", functools.partial(_draw_by_epoch, kinds)),
    ]
    return [table], figures


Kinds = dict[str, list[tuple[float, RowRuns]]]  # kind: (degree, its runs)
_TEST = ("test_accuracy", "test")
_NOTES = {
    "levels_constant": (
        "A constant learning rate of 0.01 and a weight decay of 1e-4. These two settings are "
        "reported of an earlier reproduction; its other settings are not known here. The runs of "
        "“levels” start at 0.1, lower the rate after epochs 150 and 225, and have no weight "
        "decay. All other settings are those of “levels”.",
    ),
    "levels_clean_test": (
        "Trained as the runs of “levels”, but tested on uncorrupted images. In “levels” the test "
        "images are corrupted like the training images.",
    ),
}


def _draw_levels(kinds: Kinds):
    """Accuracy after the last epoch against the degree, a curve for each kind."""
    series = []
    for number, kind in enumerate(KINDS):
        for key, part in (_TEST, ("train_accuracy", "train")):
            own = kinds.get(kind, ())
            seeds = [[(p, v)] for p, f in own for v in f.summaries(key, 100.0)]
            if own:
                name, places = f"{part}, {KINDS[kind]}", tuple(p for p, _ in own)
                dashed = part == "train"
                series.append(Series(name, seeds, (), number, dashed=dashed, places=places))
    figure, (axes,) = drawing.axes_grid(1, 1, 5.0)
    drawing.draw_series(axes, series)
    axes.set_ylim(0, 102)
    axes.set_xlim(-0.02, 1.02)
    drawing.label_axes(axes, "Degree of randomisation", "Accuracy (%)")
    drawing.legend(figure, series, ncols=2)
    return figure


def _draw_by_epoch(kinds: Kinds):
    """Accuracy by epoch: a line of panels for each kind, a curve for each degree."""
    height = 0.6 + 2.1 * len(kinds)
    figure, every = drawing.axes_grid(len(kinds), 2, height, sharex=True, sharey=True)
    degrees = sorted({degree for own in kinds.values() for degree, _ in own})
    for line, (kind, own) in enumerate(kinds.items()):
        for column, (key, part, name) in enumerate(BY_EPOCH):
            axes = every[2 * line + column]
            drawn = [Series(f"{p:g}", curves(f, key, 100.0), (), degrees.index(p)) for p, f in own]
            drawing.draw_series(axes, drawn)
            last = line == len(kinds) - 1
            drawing.label_axes(axes, "Epoch" if last else "", name, f"{part}: {KINDS[kind]}")
            axes.title.set_fontsize(9)
            axes.set_ylim(0, 102)
    named = [Series(f"level {p:g}", [[(0, 0)]], (), n) for n, p in enumerate(degrees)]
    drawing.legend(figure, named, ncols=6)
    return figure


@dataclasses.dataclass(frozen=True)
class Parent:
    """The runs that start from one parent: the learning rates that were tried, and the one chosen.

    Attributes:
        level: kind and degree of the parent's corruption; None for freshly drawn weights.
        epoch: of the parent, after which its weights were taken; 0 of drawn ones.
        at_end: whether that is the parent's last.
        held_out: rate: the runs that are tested on held-out training images.
        tested: rate: the runs that hold out nothing, tested on the test set.
    """

    level: tuple[str, float] | None
    epoch: int
    at_end: bool
    held_out: dict[float, RowRuns]
    tested: dict[float, RowRuns]

    @property
    def tried(self) -> list[float]:
        """The rates that have a run on held-out images; one that diverged is a try as well."""
        return [rate for rate, f in sorted(self.held_out.items()) if f.runs or f.left_out]

    @property
    def rate(self) -> float | None:
        """The rate with the largest held-out accuracy; the smallest of equal ones.

        None until all of them are tried, so that no parent has fewer tries than another.
        """
        means = {
            rate: derived.mean(values)
            for rate, row_runs in sorted(self.held_out.items())
            if (values := row_runs.summaries("test_accuracy"))
        }
        if len(self.tried) < len(self.held_out) or not means:
            return None
        return max(means, key=lambda rate: means[rate])

    @property
    def row_runs(self) -> RowRuns:
        """The runs on the test set at that rate, at the smallest where none is taken."""
        return self.tested[min(self.tested) if self.rate is None else self.rate]

    @property
    def tests(self) -> tuple[float, ...]:
        """Test accuracy of each seed in percent at the rate taken; empty where none is."""
        return () if self.rate is None else self.row_runs.summaries("test_accuracy", 100.0)

    @property
    def rate_text(self) -> str:
        """The rate taken, or how many of the tries there are."""
        if self.rate is not None:
            return f"{self.rate:g}"
        return f"{len(self.tried)} of {len(self.held_out)} tried" if self.tried else DASHES

    @property
    def labels(self) -> tuple[str, str, str]:
        """The parent in words: its data, their level, its weights."""
        if self.level is None:
            return "random weights", DASHES, DASHES
        kind, degree = self.level
        weights = "at its end" if self.at_end else f"after epoch {self.epoch}"
        return KINDS.get(kind, "original data"), f"{degree:g}", weights


def _parents(gathered: Gathered) -> list[Parent]:
    """The parents, in the order of their levels, the later weights first; drawn weights last."""
    by_row: dict[str, list[RowRuns]] = {}
    for row_runs in gathered.rows:
        by_row.setdefault(row_runs.plan.row, []).append(row_runs)
    made = []
    for every in by_row.values():
        own, config = every[0].plan.parent, every[0].plan.config
        tries: tuple[dict[float, RowRuns], ...] = ({}, {})
        for row_runs in every:
            held_out = bool(row_runs.plan.config.held_out)
            tries[held_out][row_runs.plan.config.learning_rate] = row_runs
        level = level_of(own.config) if own else None
        epoch = config.init_epoch or 0
        at_end = own is not None and epoch == own.config.epochs
        made.append(Parent(level, epoch, at_end, tries[True], tries[False]))
    return sorted(made, key=lambda p: (p.level is None, _order(p.level or ORIGINAL), -p.epoch))


def transfer(gathered: Gathered, _first: float):
    """Test accuracy of a new last layer on Fashion-MNIST by what its parent was trained on."""
    parents = _parents(gathered)
    rows, tries = [], []
    for parent in parents:
        row_runs = parent.row_runs
        cells = {
            "train (%)": percent(row_runs, "train_accuracy"),
            "test (%)": percent(row_runs, "test_accuracy"),
            "best test (%)": percent(row_runs, "best_test_accuracy"),
        }
        taken = row((*parent.labels, parent.rate_text), cells, row_runs)
        if parent.rate is None:
            none = dict.fromkeys(cells, Cell())
            taken = dataclasses.replace(taken, cells=none, source="", run_ids=())
        rows.append(taken)
        cells = {
            f"rate {rate:g}": with_origin(percent(one, "test_accuracy"), one)
            for rate, one in sorted(parent.held_out.items())
        }
        tries.append(row_of_several(parent.labels, cells, parent.held_out.values()))
    labels = ("parent's data", "level", "parent's weights")
    notes = (
        "The learning rate of the last layer is the one with the largest accuracy on held-out "
        "training images. The same rates were tried for every parent. The row shows the run with "
        "that rate that is tested on the test set.",
    )
    tables = [
        Table("transfer", "Transfer to Fashion-MNIST", (*labels, "rate"), tuple(rows), notes=notes),
        Table(
            "transfer_rates",
            "Accuracy on held-out training images (%), by the rate of the last layer",
            labels,
            tuple(tries),
        ),
    ]
    by_level = "Test accuracy on Fashion-MNIST by the level of the parent's randomisation"
    by_epoch = "Test accuracy on Fashion-MNIST by the epoch of the parent's weights"
    figures = [
        Figure("transfer", by_level, "", functools.partial(_draw_by_level, parents)),
        Figure("transfer_by_epoch", by_epoch, "", functools.partial(_draw_by_parent, parents)),
    ]
    return tables, figures


DASHES = "–"
ORIGINAL = ("original", 0.0)


def _dashed_line(axes, parents: list[Parent]) -> None:
    """The accuracy on the features of freshly drawn weights, with its name."""
    values = [value for parent in parents if parent.level is None for value in parent.tests]
    if not values:
        return
    axes.axhline(derived.mean(values), color=drawing.INK, linestyle="--", linewidth=1.3)
    place = {"xytext": (3, 3), "textcoords": "offset points", "fontsize": 8}
    xy = (0, derived.mean(values))
    axes.annotate("random weights", xy, xycoords=("axes fraction", "data"), **place)


def _draw_by_level(parents: list[Parent]):
    """Test accuracy against the level, of the parents at their end."""
    ended = {p.level: p for p in parents if p.level is not None and p.at_end}
    series = []
    for number, kind in enumerate(KINDS):
        own = [p for level, p in ended.items() if level[0] in (kind, "original")]
        seeds = [[(p.level[1], value)] for p in own if p.level for value in p.tests]
        places = tuple(sorted(p.level[1] for p in own if p.level))
        series.append(Series(KINDS[kind], seeds, (), number, places=places))
    figure, (axes,) = drawing.axes_grid(1, 1, 5.0)
    drawing.draw_series(axes, series)
    axes.set_xlim(-0.02, 1.02)
    _dashed_line(axes, parents)
    drawing.label_axes(axes, "Level of the parent's randomisation", "Test accuracy (%)")
    drawing.legend(figure, series, ncols=2)
    return figure


def _draw_by_parent(parents: list[Parent]):
    """Test accuracy against the parent's epoch: a panel for each level of which early ones are."""
    early = {p.level for p in parents if p.level is not None and not p.at_end}
    degrees = sorted({degree for kind, degree in early if kind != "original"}, reverse=True)
    figure, every = drawing.axes_grid(1, max(1, len(degrees)), 4.4, sharey=True)
    drawn: list[Series] = []
    for axes, degree in zip(every, degrees or [0.0], strict=True):
        levels_shown = [ORIGINAL, *((kind, degree) for kind in KINDS)]
        series = [
            Series(
                KINDS.get(level[0], "original data"),
                [[(p.epoch, value)] for p in parents if p.level == level for value in p.tests],
                (),
                number,
                places=tuple(p.epoch for p in parents if p.level == level),
            )
            for number, level in enumerate(levels_shown)
            if level in early
        ]
        drawing.draw_series(axes, series)
        _dashed_line(axes, parents)
        name = "" if drawn else "Test accuracy (%)"
        drawing.label_axes(axes, "Epoch of the parent's weights", name, f"level {degree:g}")
        epochs = sorted({p.epoch for p in parents if p.level in levels_shown})
        axes.set_xscale("log")
        axes.set_xticks(epochs, [str(epoch) for epoch in epochs])
        axes.minorticks_off()
        drawn += series
    drawing.legend(figure, drawn)
    return figure
