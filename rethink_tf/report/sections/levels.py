"""Levels of randomisation, and what of them transfers to another data set."""

from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Found, Gathered
from rethink_tf.report.sections.paper_tables import percent, row
from rethink_tf.report.sections.studies import curves, epochs_cell
from rethink_tf.report.table import Table

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


def _by_kind(placed: dict[tuple[str, float], Found]) -> dict[str, list[tuple[float, Found]]]:
    """Kind: (degree, found) by degree, the original data first in each."""
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
    placed = {level_of(found.plan.config): found for found in gathered.found}
    rows = []
    for (kind, degree), found in sorted(placed.items(), key=lambda item: _order(item[0])):
        cells = {
            "train (%)": percent(found, "train_accuracy"),
            "test (%)": percent(found, "test_accuracy"),
            "best test (%)": percent(found, "best_test_accuracy"),
            "epochs to accuracy ≥ 0.99": epochs_cell(found, derived.accuracy(derived.ACCURACY)),
        }
        rows.append(row((KINDS.get(kind, "original data"), f"{degree:g}"), cells, found))
    kinds = _by_kind(placed)

    def draw():
        series = []
        for number, (kind, found) in enumerate(kinds.items()):
            for key, words in (("test_accuracy", "test"), ("train_accuracy", "train")):
                seeds = [[(p, v)] for p, f in found for v in f.summaries(key, 100.0)]
                name = f"{words}, {KINDS[kind]}"
                series.append(Series(name, seeds, (), number, dashed=words == "train"))
        figure, (axes,) = drawing.axes_grid(1, 1, 5.0)
        drawing.draw_series(axes, series)
        axes.set_ylim(0, 102)
        axes.set_xlim(-0.02, 1.02)
        drawing.label_axes(axes, "Degree of randomisation", "Accuracy (%)")
        drawing.legend(figure, series, ncols=2)
        return figure

    def draw_by_epoch():
        figure, every = drawing.axes_grid(len(kinds), 2, 9.0, sharex=True, sharey=True)
        degrees = sorted({degree for _, degree in placed})
        for line, (kind, found) in enumerate(kinds.items()):
            for column, (key, words) in enumerate((("accuracy", "training"), _TEST)):
                axes = every[2 * line + column]
                drawn = [
                    Series(f"{p:g}", curves(f, key, 100.0), (), degrees.index(p)) for p, f in found
                ]
                drawing.draw_series(axes, drawn)
                last = line == len(kinds) - 1
                drawing.label_axes(axes, "Epoch" if last else "", "" if column else "Accuracy (%)")
                axes.set_title(f"{words}: {KINDS[kind]}", fontsize=9)
                axes.set_ylim(0, 102)
        named = [Series(f"level {p:g}", [[(0, 0)]], (), n) for n, p in enumerate(degrees)]
        drawing.legend(figure, named, ncols=6)
        return figure

    labels = ("randomised", "level")
    table = Table("levels", "Levels of randomisation", labels, tuple(rows))
    figures = [
        Figure("levels", "Accuracy after the last epoch by level", "", draw),
        Figure("levels_by_epoch", "Accuracy by epoch, at each level", "", draw_by_epoch),
    ]
    return [table], figures


_TEST = ("test_accuracy", "test")


def transfer(gathered: Gathered, _first: float):
    """Test accuracy of a new last layer on Fashion-MNIST by what its parent was trained on."""
    placed: dict[tuple[str, float], Found] = {}
    early: dict[tuple[str, float], Found] = {}
    placed_rows, weights = [], None
    for found in gathered.found:
        parent = found.plan.parent
        cells = {
            "train (%)": percent(found, "train_accuracy"),
            "test (%)": percent(found, "test_accuracy"),
            "best test (%)": percent(found, "best_test_accuracy"),
        }
        if parent is None:
            weights = found
            placed_rows.append(
                ((99, 0.0, 0), row(("random weights", DASHES, DASHES), cells, found))
            )
            continue
        level, epoch = level_of(parent.config), found.plan.config.init_epoch
        at_end = epoch == parent.config.epochs
        (placed if at_end else early)[level] = found
        words = KINDS.get(level[0], "original data")
        labels = (words, f"{level[1]:g}", "at its end" if at_end else f"after epoch {epoch}")
        placed_rows.append(((*_order(level), not at_end), row(labels, cells, found)))
    rows = [line for _, line in sorted(placed_rows, key=lambda item: item[0])]

    def draw():
        series = []
        for number, (kind, found) in enumerate(_by_kind(placed).items()):
            series.append(Series(KINDS[kind], _tests(found), (), number))
        for number, (kind, found) in enumerate(_by_kind(early).items()):
            if any(p for p, _ in found):
                name = f"{KINDS[kind]}, parent stopped early"
                series.append(Series(name, _tests(found), (), number, dashed=True))
        figure, (axes,) = drawing.axes_grid(1, 1, 5.0)
        drawing.draw_series(axes, series)
        values = weights.summaries("test_accuracy", 100.0) if weights else ()
        if values:
            axes.axhline(derived.mean(values), color=drawing.INK, linestyle="--", linewidth=1.3)
            axes.annotate(
                "random weights",
                (0, derived.mean(values)),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xlim(-0.02, 1.02)
        drawing.label_axes(axes, "Level of the parent's randomisation", "Test accuracy (%)")
        drawing.legend(figure, series, ncols=2)
        return figure

    labels = ("parent's data", "level", "parent's weights")
    table = Table("transfer", "Transfer to Fashion-MNIST", labels, tuple(rows))
    title = "Test accuracy on Fashion-MNIST by the level of the parent's randomisation"
    return [table], [Figure("transfer", title, "", draw)]


DASHES = "–"


def _tests(found):
    return [[(p, v)] for p, f in found for v in f.summaries("test_accuracy", 100.0)]
