"""The studies beyond the paper: capacity, explicit regularisation, the wide ResNet."""

from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Found, Gathered
from rethink_tf.report.sections.paper_tables import YES_NO, decay_words, percent, row
from rethink_tf.report.table import Cell, Row, Table


def curves(found, key: str, scale: float = 1.0):
    """The points by epoch of each seed."""
    return [derived.points(run.history(), key, scale) for run in found.runs]


def loss_cell(found, key: str) -> Cell:
    """A loss of the summaries, in nats."""
    return Cell(found.summaries(key), None, 3, found.words)


def epochs_cell(found, threshold: derived.Threshold) -> Cell:
    """Epochs to a threshold."""
    ours = tuple(derived.reached(run.history(), threshold) for run in found.runs)
    return Cell(ours, None, 0, found.words)


def capacity(gathered: Gathered, _first: float):
    """Do larger networks memorise sooner? ResNets on Fashion-MNIST."""
    rows: list[Row] = []
    panels: dict[tuple[str, str], list[Series]] = {}
    models = sorted({f.plan.config.model for f in gathered.found}, key=_depth)
    for found in sorted(gathered.found, key=lambda f: _depth(f.plan.config.model)):
        config = found.plan.config
        words = "random" if config.corrupt else "true"
        size = "all" if config.examples is None else f"{config.examples:,}"
        cells = {
            "train (%)": percent(found, "train_accuracy"),
            "test (%)": percent(found, "test_accuracy"),
            "train loss": loss_cell(found, "train_loss"),
            "test loss": loss_cell(found, "test_loss"),
            "epochs to accuracy ≥ 0.99": epochs_cell(found, derived.accuracy(derived.ACCURACY)),
        }
        rows.append(row((config.model, words, size), cells, found))
        number = models.index(config.model)
        panel = panels.setdefault((size, words), [])
        panel.append(Series(config.model, curves(found, "accuracy", 100.0), (), number))

    def draw():
        figure, every = drawing.axes_grid(2, 2, 6.0, sharey=True)
        for axes, ((size, words), series) in zip(every, sorted(panels.items()), strict=False):
            drawing.draw_series(axes, series)
            drawing.label_axes(
                axes, "Epoch", "Running accuracy (%)", f"{words} labels, {size} examples"
            )
            axes.set_ylim(0, 102)
        drawing.remove_rest(every, len(panels))
        drawing.legend(figure, [one for series in panels.values() for one in series])
        return figure

    labels = ("network", "labels", "examples")
    table = Table("capacity", "Capacity", labels, tuple(rows))
    return [table], [Figure("capacity", "Memorisation by the size of the network", "", draw)]


def _depth(model: str) -> tuple[int, str]:
    digits = "".join(c for c in model if c.isdigit())
    return int(digits or 0), model


_DATA = {"true": "true labels", "random_labels": "random labels", "random_pixels": "random pixels"}
_SETTINGS = ("plain", "weight decay", "dropout", "both")


def _setting(config) -> str:
    both = bool(config.weight_decay), bool(config.dropout)
    return {(False, False): "plain", (True, False): "weight decay", (False, True): "dropout"}.get(
        both, "both"
    )


def regularisation(gathered: Gathered, _first: float):
    """Weight decay and dropout, on and off."""
    rows: list[Row] = []
    panels: dict[tuple[str, str], dict[str, dict[str, Found]]] = {}
    for found in gathered.found:
        config = found.plan.config
        kind = next(k for k in reversed(_DATA) if f"_{k}_" in f"_{found.plan.row}_")
        words = _DATA[kind]
        labels = (
            config.model,
            config.dataset,
            words,
            decay_words(config),
            YES_NO[bool(config.dropout)],
        )
        cells = {
            "train (%)": percent(found, "train_accuracy"),
            "test (%)": percent(found, "test_accuracy"),
            "best test (%)": percent(found, "best_test_accuracy"),
        }
        rows.append(row(labels, cells, found))
        panel = panels.setdefault((config.dataset, config.model), {}).setdefault(words, {})
        panel[_setting(config)] = found

    def draw():
        figure, every = drawing.axes_grid(-(-len(panels) // 2) or 1, 2, 6.4, sharey=True)
        for axes, ((dataset, model), kinds) in zip(every, sorted(panels.items()), strict=False):
            drawn = False
            for words, settings in kinds.items():
                number = list(_DATA.values()).index(words)
                for key, hollow in (("train_accuracy", True), ("test_accuracy", False)):
                    for place, setting in enumerate(_SETTINGS):
                        if setting in settings:
                            values = settings[setting].summaries(key, 100.0)
                            drawn = drawn or bool(values)
                            _dot(axes, place + 0.18 * (number - 1), values, number, hollow)
            if not drawn:
                drawing.note(axes, "no run yet")
            axes.set_xticks(range(4), _SETTINGS)
            axes.set_ylim(0, 104)
            drawing.label_axes(axes, "", "Accuracy (%)", f"{model}, {dataset}")
        drawing.remove_rest(every, len(panels))
        series = [
            Series(f"{part}, {words}", [[(0, 0)]], (), number, dashed=part == "train")
            for number, words in enumerate(_DATA.values())
            for part in ("train", "test")
        ]
        drawing.legend(figure, series)
        return figure

    labels = ("network", "data set", "data", "weight decay", "dropout")
    table = Table("regularisation", "Explicit regularisation", labels, tuple(rows))
    title = "Training (hollow) and test accuracy with explicit regularisation"
    return [table], [Figure("regularisation", title, "", draw)]


def _dot(axes, x: float, values, colour: int, hollow: bool) -> None:
    if values:
        axes.errorbar(
            [x],
            [derived.mean(values)],
            yerr=[derived.std(values) or 0.0],
            color=drawing.COLOURS[colour],
            marker=drawing.MARKERS[colour],
            markersize=7,
            markerfacecolor="none" if hollow else drawing.COLOURS[colour],
        )


# (data set, corruption): train and test accuracy of the first author's demonstration, in percent.
_DEMONSTRATION = {("cifar10", 0.0): (100.0, 86.4), ("cifar10", 1.0): (100.0, 9.99)}


def wrn(gathered: Gathered, _first: float):
    """WRN-28-1 of the first author's later demonstration: training and test loss together."""
    rows, panels = [], {}
    for found in sorted(gathered.found, key=lambda f: _place(f.plan.config)):
        config = found.plan.config
        train, test = _DEMONSTRATION.get((config.dataset, config.corrupt), (None, None))
        cells = {
            "train (%)": percent(found, "train_accuracy", train),
            "test (%)": percent(found, "test_accuracy", test),
            "train loss": loss_cell(found, "train_loss"),
            "test loss": loss_cell(found, "test_loss"),
        }
        rows.append(row((config.dataset, f"{config.corrupt:g}"), cells, found))
        panels[_place(config)] = found

    def draw():
        figure, every = drawing.axes_grid(2, 3, 5.6)
        for axes, ((dataset, p), found) in zip(every, sorted(panels.items()), strict=False):
            series = [
                Series("training loss", curves(found, "train_loss"), (), 0),
                Series("test loss", curves(found, "test_loss"), (), 1),
            ]
            drawing.draw_series(axes, series)
            drawing.label_axes(axes, "Epoch", "Loss (nats)", f"{dataset}, p = {p:g}")
            axes.set_ylim(bottom=0)
        drawing.remove_rest(every, len(panels))
        named = [Series(w, [[(0, 0)]], (), n) for n, w in enumerate(("training loss", "test loss"))]
        drawing.legend(figure, named)
        return figure

    notes = (
        "“Paper” is here the first author's later demonstration (CIFAR-10, true and random "
        "labels), not the paper.",
    )
    table = Table("wrn", "WRN-28-1", ("data set", "p"), tuple(rows), notes=notes)
    return [table], [Figure("wrn", "WRN-28-1: training and test loss", "", draw)]


def _place(config) -> tuple[str, float]:
    return config.dataset, config.corrupt
