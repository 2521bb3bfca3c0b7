"""Figures 1a, 1b and 1c: learning curves, relative convergence time and test error."""

import functools

from rethink_tf.analysis import corrupted_test
from rethink_tf.console import counted
from rethink_tf.report import derived, drawing
from rethink_tf.report.collection import MEASURED
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.gather import Gathered, RowRuns
from rethink_tf.report.sections.paper_tables import row
from rethink_tf.report.table import Cell, Table

# row: its column in the paper's data
_FIGURE1A = {
    "true_labels": "true labels",
    "shuffled_pixels": "shuffled pixels",
    "gaussian": "gaussian",
    "random_pixels": "random pixels",
    "random_labels": "random labels",
}
_FIGURE1BC = {"inception": "Inception", "alexnet": "AlexNet", "mlp_1x512": "MLP 1x512"}


def figure1a(gathered: Gathered, first: float):
    """Training loss by epoch under five corruptions, and when it fell below thresholds."""
    by_name = {row_runs.plan.row: row_runs for row_runs in gathered.rows}
    named = {name: by_name[name] for name in _FIGURE1A if name in by_name}
    rows, series = [], []
    for number, (name, row_runs) in enumerate(named.items()):
        column = _FIGURE1A[name]
        text = column.replace("gaussian", "Gaussian pixels")
        histories = [run.history() for run in row_runs.runs]
        cells = {}
        for threshold in derived.thresholds(first):
            printed = None
            if threshold.falling:
                printed = derived.paper_epochs(column, threshold.value)
            ours = tuple(derived.reached(lines, threshold) for lines in histories)
            cells[f"epochs to {threshold.title}"] = Cell(ours, printed, 0, row_runs.statuses)
        rows.append(row((text,), cells, row_runs))
        curves = [derived.points(lines, "loss") for lines in histories]
        series.append(
            Series(
                column.replace("gaussian", "Gaussian pixels"),
                curves,
                derived.paper_curve("fig1a", column),
                number,
            )
        )

    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 4.6)
        drawing.draw_series(axes, series)
        axes.set_ylim(0, 2.6)
        axes.set_xlim(0, 70)
        drawing.label_axes(axes, "Epoch", "Running training loss (nats)")
        drawing.legend(figure, series)
        return figure

    table = Table("figure1a", "Figure 1a in numbers", ("data",), tuple(rows))
    title = "Figure 1a: training loss of the small Inception on CIFAR-10"
    return [table], [Figure("figure1a", title, "", draw)]


def _place(row_runs: RowRuns) -> tuple[str, str]:
    """The row and the level of corruption of a place on the axes."""
    return row_runs.plan.row, str(row_runs.plan.axes["corrupt"])


def _by_model(gathered: Gathered) -> dict[str, dict[float, RowRuns]]:
    """Model: corruption: the runs."""
    models: dict[str, dict[float, RowRuns]] = {}
    for name in _FIGURE1BC:
        for row_runs in gathered.rows:
            if row_runs.plan.row == name:
                models.setdefault(name, {})[float(row_runs.plan.axes["corrupt"])] = row_runs
    return models


def relative_times(epochs: dict[float, list[int | None]]) -> dict[float, tuple[float | None, ...]]:
    """Epochs to a threshold, of each seed by corruption, over the mean of those at p = 0.

    None where a run did not reach it; all None where no run at p = 0 did.
    """
    base = [e for e in epochs.get(0.0, ()) if e is not None]
    if not base or len(base) < len(epochs[0.0]):
        return {p: (None,) * len(seeds) for p, seeds in epochs.items()}
    unit = derived.mean(base)
    return {p: tuple(None if e is None else e / unit for e in seeds) for p, seeds in epochs.items()}


def figure1b(gathered: Gathered, first: float):
    """Relative convergence time against label corruption, at several thresholds."""
    shown = derived.thresholds(first)
    main, rest = [], []
    series: dict[derived.Threshold, list[Series]] = {threshold: [] for threshold in shown}
    missed: dict[derived.Threshold, dict[str, list[str]]] = {
        threshold: {} for threshold in shown
    }  # reason: networks without a time
    for number, (model, levels) in enumerate(_by_model(gathered).items()):
        histories = {p: [run.history() for run in f.runs] for p, f in levels.items()}
        printed = dict(derived.paper_curve("fig1b", _FIGURE1BC[model]))
        epochs, times, base = {}, {}, levels.get(0.0)
        based = bool(histories.get(0.0))
        for threshold in shown:
            epochs[threshold] = {
                p: [derived.reached(lines, threshold) for lines in seeds]
                for p, seeds in histories.items()
            }
            times[threshold] = relative_times(epochs[threshold])
            seeds = [
                [(p, v)] for p, values in times[threshold].items() for v in values if v is not None
            ]
            values = [v for seeds in times[threshold].values() for v in seeds]
            if values and not based:
                missed[threshold].setdefault(NO_BASE, []).append(model)
            elif None in values:
                text = _missed_runs(model, values)
                missed[threshold].setdefault("not reached", []).append(text)
            papers = sorted(printed.items()) if _is_papers(threshold) else ()
            series[threshold].append(Series(model, seeds, papers, number, places=tuple(levels)))
        for p, row_runs in levels.items():
            labels = (model, f"{p:g}")
            cells = {
                f"epochs to {shown[0].title}": Cell(
                    tuple(epochs[shown[0]][p]), None, 1, row_runs.statuses
                ),
                "relative time": _relative(
                    row_runs,
                    times[shown[0]][p],
                    base,
                    printed[p] if _is_papers(shown[0]) else None,
                ),
            }
            main.append(row(labels, cells, row_runs))
            cells = {t.title: _relative(row_runs, times[t][p], base) for t in shown[1:]}
            rest.append(row(labels, cells, row_runs))

    labels = ("model", "p")
    notes = (
        "Times are relative to the mean epoch for true labels (p = 0) at the same threshold. The "
        "paper states no threshold. At 0.05, the curves of its Figure 1a give the times of its "
        "Figure 1b. “Not reached”: the threshold was not reached within the run's epochs, or not "
        "at p = 0.",
    )
    tables = [
        Table("figure1b", "Figure 1b in numbers", labels, tuple(main), notes=notes),
        Table("figure1b_thresholds", "Relative time at other thresholds", labels, tuple(rest)),
    ]
    title = "Figure 1b: relative convergence time against label corruption"
    draw = functools.partial(_draw_relative_times, series, missed)
    return tables, [Figure("figure1b", title, "", draw)]


def _draw_relative_times(
    series: dict[derived.Threshold, list[Series]],
    missed: dict[derived.Threshold, dict[str, list[str]]],
):
    """A panel for each threshold, with a note on the runs that it cannot show."""
    figure, every = drawing.axes_grid(2, -(-len(series) // 2), 6.0)
    for axes, threshold in zip(every, series, strict=False):
        reasons = missed[threshold].items()
        note = "\n".join(line for why, runs in reasons for line in (f"{why}:", *runs))
        drawing.draw_series(axes, series[threshold], empty="" if note else "no run yet")
        drawing.label_axes(axes, "Label corruption p", "Relative time", threshold.title)
        top = max(2.1, axes.get_ylim()[1])
        room = 0.09 * (note.count("\n") + 1) if note else 0  # share of the height above the curves
        axes.set_ylim(0.9, 0.9 + (top - 0.9) / (1 - room))
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks((0, 0.2, 0.4, 0.6, 0.8, 1), ("0", ".2", ".4", ".6", ".8", "1"))
        if note:
            drawing.note(axes, note)
    drawing.remove_rest(every, len(series))
    drawing.legend(figure, [one for panel in series.values() for one in panel], ncols=4)
    return figure


NO_BASE = "no run at p = 0"


def _relative(row_runs: RowRuns, times, base: RowRuns | None, printed: float | None = None) -> Cell:
    """Relative times; where there is no run of true labels, that in place of "not reached".

    Those of the folder's runs are marked where the runs of true labels, `base`, are shipped.
    """
    if base is None or not base.runs:
        return Cell((), printed, 2, NO_BASE if row_runs.runs else row_runs.statuses)
    mixed = base.source == MEASURED and row_runs.source != MEASURED
    return Cell(times, printed, 2, row_runs.statuses, mixed)


def _missed_runs(model: str, values: list[float | None]) -> str:
    """How many of a network's runs have no relative time."""
    count = sum(value is None for value in values)
    return f"{model}, {count} of {counted(len(values), 'run')}"


def _is_papers(threshold: derived.Threshold) -> bool:
    return threshold == derived.loss(derived.LOSSES[0])


CLASSES = 10  # in CIFAR-10
# Columns: the error on corrupted test labels.
EXPECTED, MEASURED_TOO = "expected error", "measured error"


def _on_corrupted(row_runs: RowRuns) -> tuple[float, ...]:
    """Errors measured on corrupted test labels, of the runs for which they were."""
    errors = []
    for run in row_runs.runs:
        error = run.summary.get("corrupted_test_error")  # a shipped run has it in its summary
        if run.corrupted_test is not None:
            error = run.corrupted_test.mean
        if error is not None:
            errors.append(error)
    return tuple(errors)


def _draw_figure1c(
    untouched: list[Series], corrupted: list[Series], measured: list[tuple[float, float]]
):
    """Test errors beside those on corrupted test labels, among which `measured` are crosses."""
    figure, every = drawing.axes_grid(1, 2, 4.6, sharey=True)
    titles = "Ours on true test labels", "Ours on corrupted test labels, expected"
    for axes, series, title in zip(every, (untouched, corrupted), titles, strict=True):
        drawing.draw_series(axes, series)
        axes.axhline(0.9, color=drawing.COLOURS[9], linewidth=1, linestyle="-.", zorder=1)
        axes.annotate("chance", (0.0, 0.9), xytext=(0, 3), textcoords="offset points", fontsize=8)
        axes.set_ylim(0, 1)
        axes.set_xlim(-0.02, 1.02)
        drawing.label_axes(axes, "Label corruption p", "Test error", title)
    if measured:
        every[1].plot(*zip(*measured, strict=True), "kx", markersize=7, zorder=4, alpha=0.9)
        drawing.record(every[1], MEASURED_TOO, measured)
        drawing.note(every[1], "×: measured")
    every[1].set_ylabel("")
    drawing.legend(figure, untouched)
    return figure


def figure1c(gathered: Gathered, _first: float):
    """Test error after the last epoch against label corruption."""
    rows, corrupted_rows = [], []
    untouched, corrupted = [], []
    measured: list[tuple[float, float]] = []
    on_corrupted = {_place(row_runs): _on_corrupted(row_runs) for row_runs in gathered.rows}
    for number, (model, levels) in enumerate(_by_model(gathered).items()):
        curve = derived.paper_curve("fig1c", _FIGURE1BC[model])
        printed, seeds, computed = dict(curve), [], []
        for p, row_runs in levels.items():
            errors = tuple(1 - v for v in row_runs.summaries("test_accuracy"))
            likewise = tuple(corrupted_test.expected_error(e, p, CLASSES) for e in errors)
            best = tuple(1 - v for v in row_runs.summaries("best_test_accuracy"))
            cells = {
                "test error": Cell(errors, printed[p], 3, row_runs.statuses),
                "least test error of evaluated epochs": Cell(best, None, 3, row_runs.statuses),
            }
            rows.append(row((model, f"{p:g}"), cells, row_runs))
            cells = {EXPECTED: Cell(likewise, printed[p], 3, row_runs.statuses)}
            if any(on_corrupted.values()):
                cells[MEASURED_TOO] = Cell(on_corrupted[_place(row_runs)], printed[p], 3)
            measured += [(p, error) for error in on_corrupted[_place(row_runs)]]
            corrupted_rows.append(row((model, f"{p:g}"), cells, row_runs))
            seeds += [[(p, error)] for error in errors]
            computed += [[(p, error)] for error in likewise]
        places = tuple(levels)
        untouched.append(Series(model, seeds, curve, number, places=places))
        corrupted.append(Series(model, computed, curve, number, places=places))

    def draw():
        return _draw_figure1c(untouched, corrupted, measured)

    notes: tuple[str, ...] = (
        "Here each test label too is replaced with probability p by a uniform class. The expected "
        "error is computed from the error e on true test labels: 1 - (1 - p)(1 - e) - p / 10. The "
        "paper does not say which of the two errors its Figure 1c shows.",
    )
    if measured:
        notes += (
            "The measured error is that of the network of the last epoch, a mean over draws of the "
            "labels by rethink-tf corrupted-test.",
        )
    labels = ("model", "p")
    tables = [
        Table("figure1c", "Figure 1c in numbers: true test labels", labels, tuple(rows)),
        Table(
            "figure1c_corrupted",
            "Figure 1c in numbers: corrupted test labels",
            labels,
            tuple(corrupted_rows),
            notes=notes,
        ),
    ]
    gaps = any(drawing.has_gap(one) for one in untouched)
    caption = (
        "Lines join neighbouring levels of p; between others a run is missing." if gaps else ""
    )
    title = "Figure 1c: test error against label corruption"
    return tables, [Figure("figure1c", title, caption, draw)]
