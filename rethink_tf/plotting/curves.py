"""The figures of `show` by epoch: learn-then-memorise accuracies, and training loss (Figure 1a)."""

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

from rethink_tf.plotting.style import COLOURS, DPI, GREY, WIDTH, own_style

# key of history.jsonl: title, colour, marker and its size. Coinciding points stay visible.
CURVES = {
    "clean_accuracy": ("training, clean examples", "#0072B2", "o", 7.5),
    "corrupted_accuracy": ("training, noisy examples, labels as given", "#D55E00", "s", 4.5),
    "corrupted_original_accuracy": (
        "training, noisy examples, true labels",
        "#009E73",
        "^",
        6.5,
    ),
    "test_accuracy": ("test", "#000000", "D", 4),
}
LINE_STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
MARKERS_A_CURVE = 12


def _literal(name: str) -> str:
    """A folder's name as text for matplotlib, to which $ is mathematics and _ hides a label."""
    name = name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


@own_style()
def learning_curves(
    runs: Sequence[tuple[str, list[dict[str, Any]]]],
    num_classes: Sequence[int | None] | None = None,
):
    """Learn, then memorise: training and test accuracy by epoch, of one run or several.

    Up to three runs share axes, with different line styles; more runs have separate axes.

    Args:
        runs: (name, lines of history.jsonl) of each. Epochs that were not evaluated (null) and
            quantities that the run does not have (corrupted examples at p = 0) are left out.
        num_classes: K of each run's data set, for the line of chance; None where unknown.

    Returns:
        A matplotlib Figure, accuracies in percent.
    """
    from matplotlib.figure import Figure

    num_classes = [None] * len(runs) if num_classes is None else num_classes
    runs = [(_literal(name), lines) for name, lines in runs]
    overlaid = len(runs) <= len(LINE_STYLES)
    across = 1 if overlaid else 2 if len(runs) == 4 else 3
    down = 1 if overlaid else -(-len(runs) // across)
    height = 6.0 if overlaid else 1.1 + 2.7 * down
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    every = list(grid.flat)
    kept = every[: 1 if overlaid else len(runs)]
    for axes in every[len(kept) :]:
        axes.remove()
    used: dict[str, Any] = {}
    for number, (name, lines) in enumerate(runs):
        axes = every[0 if overlaid else number]
        style = LINE_STYLES[number if overlaid else 0]
        used |= _draw_run(axes, lines, style)
        if not overlaid or len(runs) == 1:
            axes.set_title(textwrap.fill(name, 90 if overlaid else 44 - 6 * (across - 2)))
    for number, k in enumerate(num_classes):
        if k and (not overlaid or number == num_classes.index(k)):
            axes = every[0 if overlaid else number]
            used["chance"] = axes.axhline(100 / k, color=GREY, linestyle="-.", linewidth=1)
    for number, axes in enumerate(kept):
        _finish_axes(axes, below=number + across >= len(kept), beside=number % across == 0)
    _add_legends(figure, used, num_classes, [name for name, _ in runs] if overlaid else [])
    return figure


def _add_legends(figure, used: dict[str, Any], num_classes, overlaid: list[str]) -> None:
    """The quantities above the axes; below them the runs that lie over each other."""
    from matplotlib.lines import Line2D

    entries = {CURVES[key][0]: used[key] for key in CURVES if key in used}
    if "chance" in used:
        chances = sorted({1 / classes for classes in num_classes if classes})
        entries[f"chance ({', '.join(f'{100 * c:.3g}%' for c in chances)})"] = used["chance"]
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=3,
        frameon=False,
        title="Accuracy by epoch",
        title_fontproperties={"weight": "bold", "size": 12},
    )
    if len(overlaid) > 1:
        styles = LINE_STYLES[: len(overlaid)]
        figure.legend(
            [Line2D([], [], color="#404040", linestyle=style, linewidth=1.8) for style in styles],
            overlaid,
            loc="outside lower center",
            frameon=False,
            handlelength=4,
        )


def _draw_run(axes, lines, style) -> dict:
    """Draws a run's quantities; returns an artist for the legend by key."""
    from matplotlib.lines import Line2D

    drawn = {}
    for place, (key, (_, colour, marker, size)) in enumerate(CURVES.items()):
        points = [(line["epoch"], 100 * line[key]) for line in lines if line.get(key) is not None]
        if not points:
            continue
        many = len(points) > MARKERS_A_CURVE
        step = max(len(CURVES), -(-len(points) // MARKERS_A_CURVE)) if many else 1
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": size,
            "linewidth": 1.6,
        }
        axes.plot(
            *zip(*points, strict=True),
            linestyle=style,
            # Curves that coincide put their markers at different epochs.
            markevery=(place * step // len(CURVES), step),
            label=key,
            clip_on=False,
            **look,
        )
        drawn[key] = Line2D([], [], linestyle="-", **look)
    return drawn


def _finish_axes(axes, *, below, beside):
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(-2, 102)
    axes.set_yticks(range(0, 101, 20))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    last = max((max(c.get_xdata()) for c in axes.lines if c.get_label() in CURVES), default=1)
    axes.set_xlim(0, last * 1.02 + 0.2)
    axes.set_xlabel("Epoch" if below else "")
    axes.set_ylabel("Accuracy (%)" if beside else "")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


@own_style()
def loss_curves(runs: Sequence[tuple[str, list[dict[str, Any]]]]):
    """Running training loss by epoch of several runs in one axes: the paper's Figure 1a.

    Args:
        runs: (name, lines of history.jsonl) of each.

    Returns:
        A matplotlib Figure, loss in nats.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for number, (name, lines) in enumerate(runs):
        losses: Any = [line.get("loss") for line in lines]  # None is a gap
        axes.plot(
            [line["epoch"] for line in lines],
            losses,
            color=COLOURS[number % len(COLOURS)],
            marker="osD^vPX"[number % 7],
            markevery=(2 * number, max(1, len(lines) // 8)),
            linestyle=LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)],
            label=_literal(name),
        )
    axes.set(xlabel="Epoch", ylabel="Running training loss (nats)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.suptitle("Training loss by epoch", weight="bold", size=12)
    figure.legend(loc="outside lower center", frameon=False, handlelength=3)
    return figure
