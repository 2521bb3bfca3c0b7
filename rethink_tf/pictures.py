"""The figures of `show`: a grid of examples as the model sees them, and accuracy by epoch.

Matplotlib is imported when something is drawn, never pyplot: no window, no state shared with the
caller, and the reader's own matplotlib settings change nothing. Colours are those of Okabe and Ito;
whatever a colour says, a shape, a line style or a word says too.
"""

import contextlib
import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

DPI, WIDTH = 160, 10.0  # inches: 1600 pixels
RANGE = 2.5  # deviations shown, from black to white
ORANGE, GREY = "#E69F00", "#767676"
CAPTION = f"As the model sees them: standardised, −{RANGE} (black) to +{RANGE} (white) deviations."
CHANGED = "   Boxed: changed labels, true → given."
# key of history.jsonl: words, colour, marker and its size, such that coinciding points all show.
CURVES = {
    "clean_accuracy": ("training, clean examples", "#0072B2", "o", 7.5),
    "corrupted_accuracy": ("training, corrupted examples, labels as given", "#D55E00", "s", 4.5),
    "corrupted_original_accuracy": (
        "training, corrupted examples, original labels", "#009E73", "^", 6.5,
    ),
    "test_accuracy": ("test", "#000000", "D", 4),
}  # fmt: skip
LINE_STYLES = ("-", "--", ":")
MARKERS_A_CURVE = 12


@contextlib.contextmanager
def _own_style():
    import matplotlib.style

    settings = {"font.family": "DejaVu Sans", "font.size": 9, "axes.grid": True}
    settings |= {"grid.color": "#DDDDDD", "axes.axisbelow": True, "axes.titlesize": 10}
    with matplotlib.style.context(["default", settings]):
        yield


def pixels_of(figure) -> np.ndarray:
    """Draws a matplotlib Figure: uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _own_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(picture: np.ndarray) -> bytes:
    """A picture uint8 [height, width, 3] as a PNG file, the same bytes for the same picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


@_own_style()
def sample_grid(
    columns: dict[str, tuple[np.ndarray, np.ndarray]],
    true: np.ndarray,
    class_names: Sequence[str] | None = None,
    *,
    index: np.ndarray | None = None,
    title: str = "",
):
    """A grid of the same n examples (rows) under each corruption (columns), with their labels.

    Args:
        columns: title: (images, given). Images are float [n, H, W, C], standardised, C 1 or 3;
            given are integers [n], the labels to learn.
        true: integer [n], the data set's own labels.
        class_names: of the K classes; default: their numbers.
        index: integer [n], the examples' identities, written beside the rows.
        title: of the whole picture.

    Returns:
        A matplotlib Figure of 10 inches width, with one axes for each picture, row by row.
    """
    from matplotlib.figure import Figure

    def name(label):
        return str(label) if class_names is None else class_names[label]

    def words(given, row):
        before, after = name(int(true[row])), name(int(given[row]))
        return (before, False) if given[row] == true[row] else (f"{before} → {after}", True)

    left, label, side, foot = 0.62, 0.27, 1.27, 0.38
    cell = (WIDTH - left - 0.1) / len(columns)
    side = min(side, 0.94 * cell)
    head = 0.12 + 0.17 * max(t.count("\n") + 1 for t in columns) + (0.3 if title else 0)
    height = head + len(true) * (side + label) + foot
    texts = [[words(given, row) for _, given in columns.values()] for row in range(len(true))]
    longest = max(len(text) for row in texts for text, _ in row)
    size = min(9.0, 0.94 * cell * 72 / (0.66 * longest))  # points; bold glyphs are 0.66 em wide
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    if title:
        figure.text(0.5, 1 - 0.1 / height, title, ha="center", va="top", size=12, weight="bold")
    for row in range(len(true)):
        top = height - head - row * (side + label)
        if index is not None:
            place = 0.1 / WIDTH, (top - label - side / 2) / height
            figure.text(*place, f"index\n{index[row]}", va="center", size=8, color=GREY)
        for column, (heading, (images, _)) in enumerate(columns.items()):
            x = left + column * cell + (cell - side) / 2
            box = (x / WIDTH, (top - label - side) / height, side / WIDTH, side / height)
            axes = figure.add_axes(box, xticks=(), yticks=())
            axes.set_axis_off()
            shown = np.clip(np.asarray(images[row], np.float32) / (2 * RANGE) + 0.5, 0, 1)
            if shown.shape[-1] == 1:
                shown = shown[..., 0].repeat(3).reshape(*shown.shape[:2], 3)
            axes.imshow(shown, interpolation="nearest", aspect="auto")
            text, changed = texts[row][column]
            weight = "bold" if changed else "normal"
            # With y given, matplotlib does not measure ticks that are not there.
            axes.set_title(text, size=size, y=1.0, pad=5, weight=weight)
            if changed:
                axes.title.set_bbox({"facecolor": ORANGE, "edgecolor": "none", "pad": 1.5})
            if row == 0:
                place = (x + side / 2) / WIDTH, (top + 0.06) / height
                figure.text(*place, heading, ha="center", va="bottom", size=10, weight="bold")
    caption = CAPTION + CHANGED * any(changed for row in texts for _, changed in row)
    figure.text(0.5, 0.12 / height, caption, ha="center", va="bottom", size=8.5, color="#404040")
    return figure


@_own_style()
def learning_curves(
    runs: Sequence[tuple[str, list[dict[str, Any]]]],
    num_classes: Sequence[int | None] | None = None,
):
    """Learn, then memorise: training and test accuracy by epoch, of one run or several.

    Up to three runs lie over each other, told apart by line style; more have an axes each.

    Args:
        runs: (name, lines of history.jsonl) of each. Epochs that were not evaluated (null) and
            quantities that the run has not (corrupted examples, at p = 0) are left out.
        num_classes: K of each run's data set, for the line of chance; None where unknown.

    Returns:
        A matplotlib Figure, accuracies in percent.
    """
    from matplotlib.figure import Figure

    num_classes = [None] * len(runs) if num_classes is None else num_classes
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
    used = {}
    for number, (name, lines) in enumerate(runs):
        axes = every[0 if overlaid else number]
        style = LINE_STYLES[number if overlaid else 0]
        used |= _draw_run(axes, lines, style)
        if not overlaid or len(runs) == 1:
            axes.set_title(textwrap.fill(name, 90 if overlaid else 44 - 6 * (across - 2)))
    chances = {1 / k for k in num_classes if k}
    for number, k in enumerate(num_classes):
        if k and (not overlaid or number == num_classes.index(k)):
            axes = every[0 if overlaid else number]
            used["chance"] = axes.axhline(100 / k, color=GREY, linestyle="-.", linewidth=1)
    for number, axes in enumerate(kept):
        _finish_axes(axes, below=number + across >= len(kept), beside=number % across == 0)
    percents = ", ".join(f"{100 * c:.3g}%" for c in sorted(chances))
    entries = {CURVES[key][0]: used[key] for key in CURVES if key in used}
    if "chance" in used:
        entries[f"chance ({percents})"] = used["chance"]
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=3,
        frameon=False,
        title="Accuracy by epoch",
        title_fontproperties={"weight": "bold", "size": 12},
    )
    if overlaid and len(runs) > 1:
        from matplotlib.lines import Line2D

        entries = [
            (Line2D([], [], color="#404040", linestyle=style, linewidth=1.8), name)
            for (name, _), style in zip(runs, LINE_STYLES, strict=False)
        ]
        figure.legend(
            *zip(*entries, strict=True), loc="outside lower center", frameon=False, handlelength=4
        )
    return figure


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
        look = {"color": colour, "marker": marker, "markersize": size, "linewidth": 1.6}
        axes.plot(
            *zip(*points, strict=True),
            linestyle=style,
            # Curves that coincide take turns with their markers.
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
