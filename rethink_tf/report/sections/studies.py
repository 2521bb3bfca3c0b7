"""The studies beyond the paper: capacity, explicit regularisation, the wide ResNet."""

import functools

from rethink_tf.data.registry import DATASETS
from rethink_tf.report import derived, drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import (
    YES_NO,
    decay_text,
    gain,
    percent,
    row,
    row_of_several,
)
from rethink_tf.report.table import Cell, Row, Table


def curves(row_runs, key: str, scale: float = 1.0):
    """The points by epoch of each seed."""
    return [derived.points(run.history(), key, scale) for run in row_runs.runs]


def loss_cell(row_runs, key: str) -> Cell:
    """A loss of the summaries, in nats."""
    return Cell(row_runs.summaries(key), None, 3, row_runs.statuses)


def epochs_cell(row_runs, threshold: derived.Threshold) -> Cell:
    """Epochs to a threshold."""
    ours = tuple(derived.reached(run.history(), threshold) for run in row_runs.runs)
    return Cell(ours, None, 0, row_runs.statuses)


def jumps_cell(row_runs, key: str) -> Cell:
    """How much an accuracy jumps from epoch to epoch (`derived.jumps`), in points.

    Not of a shipped history of more than 100 epochs: it has some of them, which are farther apart.
    """
    histories = (run.history() for run in row_runs.runs)
    whole = (lines for lines in histories if len(lines) and len(lines) == lines[-1]["epoch"])
    values = (derived.jumps(derived.points(history, key, 100.0)) for history in whole)
    return Cell(tuple(v for v in values if v is not None), None, 2, row_runs.statuses)


def _size(config) -> int:
    """How many images are trained on."""
    return config.examples or DATASETS[config.dataset].num_train


def capacity(gathered: Gathered, _first: float):
    """Do larger networks memorise sooner? ResNets on Fashion-MNIST."""
    rows: list[Row] = []
    every = sorted(gathered.rows, key=lambda f: _depth(f.plan.config.model))
    for row_runs in every:
        config = row_runs.plan.config
        cells = {
            "train (%)": percent(row_runs, "train_accuracy"),
            "test (%)": percent(row_runs, "test_accuracy"),
            "train loss": loss_cell(row_runs, "train_loss"),
            "test loss": loss_cell(row_runs, "test_loss"),
            "epochs to accuracy ≥ 0.99": epochs_cell(row_runs, derived.accuracy(derived.ACCURACY)),
            "jumps, training (points)": jumps_cell(row_runs, "accuracy"),
            "jumps, test (points)": jumps_cell(row_runs, "test_accuracy"),
        }
        labels = (config.model, _labels_of(config), f"{_size(config):,}")
        rows.append(row(labels, cells, row_runs))
    models = list(dict.fromkeys(row_runs.plan.config.model for row_runs in every))
    notes = (
        "Jumps: the mean distance between an epoch's accuracy and the mean of its two neighbours, "
        "0 for a curve that rises evenly. For training it is the running accuracy. All of "
        f"Fashion-MNIST means {DATASETS['fashion_mnist'].num_train:,} images, all of CIFAR-10 "
        f"{DATASETS['cifar10'].num_train:,}.",
    )
    labels = ("network", "labels", "training images")
    table = Table("capacity", "Capacity", labels, tuple(rows), notes=notes)
    title = "Memorisation by the size of the network"
    figures = [Figure("capacity", title, "", functools.partial(_draw_sizes, every, models))]
    for model in models:
        own = [row_runs for row_runs in every if row_runs.plan.config.model == model]
        if any(row_runs.runs for row_runs in own):
            title = f"{model}: accuracy and cross-entropy, true and random labels"
            draw = functools.partial(_draw_network, own)
            figures.append(Figure(f"capacity_{model}", title, "", draw))
    return [table], figures


def _labels_of(config) -> str:
    return "random" if config.corrupt else "true"


def _draw_sizes(every: list[RowRuns], models: list[str]):
    """Running accuracy by epoch: a panel for each number of images and kind of labels."""
    panels: dict[tuple[int, str], list[Series]] = {}
    for row_runs in every:
        config = row_runs.plan.config
        series = Series(
            config.model, curves(row_runs, "accuracy", 100.0), (), models.index(config.model)
        )
        panels.setdefault((_size(config), _labels_of(config)), []).append(series)
    figure, grid = drawing.axes_grid(-(-len(panels) // 2) or 1, 2, 6.0, sharey=True)
    for axes, ((size, kind), drawn) in zip(grid, sorted(panels.items()), strict=False):
        drawing.draw_series(axes, drawn)
        title = f"{kind} labels, {size:,} images"
        drawing.label_axes(axes, "Epoch", "Running accuracy (%)", title)
        axes.set_ylim(0, 102)
    drawing.remove_rest(grid, len(panels))
    drawing.legend(figure, [one for drawn in panels.values() for one in drawn])
    return figure


# What each panel shows: its title, the key of the history, its scale and the name of its axis.
_OF_A_NETWORK = (
    ("training accuracy", "accuracy", 100.0, "Running accuracy (%)"),
    ("test accuracy", "test_accuracy", 100.0, "Accuracy (%)"),
    ("training cross-entropy", "loss", 1.0, "Running loss (nats)"),
    ("test cross-entropy", "test_loss", 1.0, "Loss (nats)"),
)


def _draw_network(own: list[RowRuns]):
    """One network: accuracy above and cross-entropy below, training to the left, test right."""
    own = sorted(own, key=lambda f: (_size(f.plan.config), f.plan.config.corrupt))
    sizes = sorted({_size(row_runs.plan.config) for row_runs in own})
    figure, grid = drawing.axes_grid(2, 2, 6.0)
    series: list[Series] = []
    for axes, (title, key, scale, name) in zip(grid, _OF_A_NETWORK, strict=True):
        series = []
        for row_runs in own:
            config = row_runs.plan.config
            colour = 2 * sizes.index(_size(config)) + bool(config.corrupt)
            label = f"{_labels_of(config)} labels, {_size(config):,} images"
            dashed = bool(config.corrupt)
            series.append(Series(label, curves(row_runs, key, scale), (), colour, dashed))
        drawing.draw_series(axes, series)
        drawing.label_axes(axes, "Epoch", name, title)
        if scale == 1.0:
            drawing.start_at_zero(axes)
        else:
            axes.set_ylim(0, 102)
    drawing.legend(figure, series, ncols=2)
    return figure


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


Panel = dict[str, dict[str, RowRuns]]  # kind of data: setting: its runs


def regularisation(gathered: Gathered, _first: float):
    """Weight decay and dropout, on and off, in two networks."""
    rows: list[Row] = []
    panels: dict[tuple[str, str], Panel] = {}
    for row_runs in gathered.rows:
        config = row_runs.plan.config
        kind = next(k for k in reversed(_DATA) if f"_{k}_" in f"_{row_runs.plan.row}_")
        data_name = _DATA[kind]
        labels = (
            config.model,
            config.dataset,
            data_name,
            decay_text(config),
            YES_NO[bool(config.dropout)],
        )
        cells = {
            "train (%)": percent(row_runs, "train_accuracy"),
            "test (%)": percent(row_runs, "test_accuracy"),
            "best test (%)": percent(row_runs, "best_test_accuracy"),
        }
        rows.append(row(labels, cells, row_runs))
        panel = panels.setdefault((config.dataset, config.model), {}).setdefault(data_name, {})
        panel[_setting(config)] = row_runs
    labels = ("network", "data set", "data", "weight decay", "dropout")
    table = Table("regularisation", "Explicit regularisation", labels, tuple(rows))
    title = "Training (hollow) and test accuracy with explicit regularisation"
    draw = functools.partial(_draw_ends, panels)
    figures = [Figure("regularisation", title, "", draw)]
    for (dataset, model), kinds in sorted(panels.items()):
        if any(row_runs.runs for settings in kinds.values() for row_runs in settings.values()):
            name = f"regularisation_{model}_{dataset}"
            title = f"{model} on {dataset}: accuracy by epoch under each condition"
            figures.append(Figure(name, title, "", functools.partial(_draw_conditions, kinds)))
    return [table, _gains(panels)], figures


def _gains(panels: dict[tuple[str, str], Panel]) -> Table:
    """What the architecture gains, what the regularisers gain: a row for each kind of data."""
    rows = []
    models = sorted({model for _, model in panels}, key=_depth)
    for dataset in sorted({dataset for dataset, _ in panels}):
        for data_name in _DATA.values():
            own = {model: panels.get((dataset, model), {}).get(data_name, {}) for model in models}
            if not any(own.values()):
                continue
            cells: dict[str, Cell] = {}
            used: list[RowRuns | None] = []
            for model, settings in own.items():
                for setting in _SETTINGS[1:]:
                    pair = settings.get(setting), settings.get("plain")
                    cells[f"{setting}, {model}"] = gain(*pair, "test_accuracy")
                    used += pair
            if len(models) == 2:
                for setting in ("plain", "both"):
                    pair = own[models[1]].get(setting), own[models[0]].get(setting)
                    name = f"{models[1]} in place of {models[0]}, {setting}"
                    cells[name] = gain(*pair, "test_accuracy")
                    used += pair
            rows.append(row_of_several((dataset, data_name), cells, used))
    title = "What the architecture gains, what the regularisers gain"
    notes = (
        "Difference in test accuracy (points) to the same network without regularisers, and "
        "between the two networks, with the seeds that both runs have.",
    )
    labels = ("data set", "data")
    return Table("regularisation_gains", title, labels, tuple(rows), notes=notes)


def _draw_ends(panels: dict[tuple[str, str], Panel]):
    """Accuracy after the last epoch, a panel for each network and data set."""
    lines = -(-len(panels) // 2) or 1
    figure, every = drawing.axes_grid(lines, 2, 1.0 + 2.7 * lines, sharey=True)
    for axes, ((dataset, model), kinds) in zip(every, sorted(panels.items()), strict=False):
        dots = _dots(kinds)
        if not dots:
            drawing.note(axes, "no run yet")
        counts: dict[str, dict[float, int]] = {}
        for x, values, number, hollow in dots:
            _dot(axes, x, values, number, hollow)
            counts.setdefault(drawing.COLOURS[number], {})[x] = len(values)
        drawing.state_counts(axes, [(ink, sorted(at.items())) for ink, at in counts.items()])
        axes.set_xticks(range(4), _SETTINGS)
        axes.set_xlim(-0.5, 3.5)
        axes.set_ylim(0, 104)
        drawing.label_axes(axes, "", "Accuracy (%)", f"{model}, {dataset}")
    drawing.remove_rest(every, len(panels))
    series = [
        Series(f"{part}, {data_name}", [[(0, 0)]], (), number, dashed=part == "train")
        for number, data_name in enumerate(_DATA.values())
        for part in ("train", "test")
    ]
    drawing.legend(figure, series)
    return figure


# What panels by epoch show: the key of the history, its part of the data, the name of the axis.
BY_EPOCH = (
    ("accuracy", "training", "Running accuracy (%)"),
    ("test_accuracy", "test", "Accuracy (%)"),
)


def _draw_conditions(kinds: Panel):
    """Accuracy by epoch: a line of panels for each kind of data, a curve for each setting."""
    shown = [data_name for data_name in _DATA.values() if data_name in kinds]
    height = 0.6 + 2.2 * len(shown)
    figure, grid = drawing.axes_grid(len(shown), 2, height, sharex=True, sharey=True)
    for line, data_name in enumerate(shown):
        for column, (key, part, name) in enumerate(BY_EPOCH):
            axes, settings = grid[2 * line + column], kinds[data_name]
            series = [
                Series(one, curves(settings[one], key, 100.0), (), _SETTINGS.index(one))
                for one in _SETTINGS
                if one in settings
            ]
            drawing.draw_series(axes, series)
            last = line == len(shown) - 1
            drawing.label_axes(axes, "Epoch" if last else "", name, f"{part}: {data_name}")
            axes.set_ylim(0, 102)
    named = [Series(name, [[(0, 0)]], (), n) for n, name in enumerate(_SETTINGS)]
    drawing.legend(figure, named, ncols=4)
    return figure


def _dots(kinds: Panel) -> list[tuple[float, tuple[float, ...], int, bool]]:
    """The points of a panel: place, values of the seeds, number of the data, whether hollow."""
    dots = []
    for data_name, settings in kinds.items():
        number = list(_DATA.values()).index(data_name)
        for key, hollow in (("train_accuracy", True), ("test_accuracy", False)):
            for place, setting in enumerate(_SETTINGS):
                values = settings[setting].summaries(key, 100.0) if setting in settings else ()
                if values:
                    dots.append((place + 0.18 * (number - 1), values, number, hollow))
    return dots


def _dot(axes, x: float, values, colour: int, hollow: bool) -> None:
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
    for row_runs in sorted(gathered.rows, key=lambda f: _place(f.plan.config)):
        config = row_runs.plan.config
        train, test = _DEMONSTRATION.get((config.dataset, config.corrupt), (None, None))
        cells = {
            "train (%)": percent(row_runs, "train_accuracy", train),
            "test (%)": percent(row_runs, "test_accuracy", test),
            "train loss": loss_cell(row_runs, "train_loss"),
            "test loss": loss_cell(row_runs, "test_loss"),
        }
        rows.append(row((config.dataset, f"{config.corrupt:g}"), cells, row_runs))
        panels[_place(config)] = row_runs

    notes = (
        "Here “paper” means the first author's later demonstration (CIFAR-10, true and random "
        "labels).",
    )
    table = Table("wrn", "WRN-28-1", ("data set", "p"), tuple(rows), notes=notes)
    title = "WRN-28-1: training and test loss at each level of label corruption"
    return [table], [Figure("wrn", title, "", functools.partial(_draw_losses, panels))]


_LOSSES = (("train_loss", "training loss"), ("test_loss", "test loss"))


def _draw_losses(panels: dict[tuple[str, float], RowRuns]):
    """Loss by epoch: training to the left, test right, a line of panels for each data set."""
    datasets = sorted({dataset for dataset, _ in panels})
    levels = sorted({p for _, p in panels})
    figure, every = drawing.axes_grid(len(datasets), 2, 0.6 + 2.5 * len(datasets))
    for line, dataset in enumerate(datasets):
        for column, (key, title) in enumerate(_LOSSES):
            axes = every[2 * line + column]
            series = [
                Series(f"p = {p:g}", curves(row_runs, key), (), levels.index(p))
                for (own, p), row_runs in sorted(panels.items())
                if own == dataset
            ]
            drawing.draw_series(axes, series)
            name = "" if column else "Loss (nats)"
            drawing.label_axes(axes, "Epoch", name, f"{title}, {dataset}")
            drawing.start_at_zero(axes)
    named = [Series(f"p = {p:g}", [[(0, 0)]], (), n) for n, p in enumerate(levels)]
    drawing.legend(figure, named)
    return figure


def _place(config) -> tuple[str, float]:
    return config.dataset, config.corrupt
