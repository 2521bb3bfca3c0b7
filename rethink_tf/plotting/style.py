"""The figure of examples as the model sees them, and the style that all figures share.

Matplotlib is imported when something is drawn, never pyplot: no window, no state shared with the
caller, and the reader's own matplotlib settings change nothing. Colours are those of Okabe and Ito;
whatever a colour says, a shape, a line style or a word says too.
"""

import contextlib
import io
import warnings
from collections.abc import Sequence

import numpy as np

from rethink_tf.printable import printable

DPI, WIDTH = 160, 10.0  # inches: 1600 pixels
RANGE = 2.5  # standard deviations from grey to black and to white
LONGEST = 16  # characters of a class name that are shown
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
ORANGE, GREY = COLOURS[-1], "#767676"
CAPTION = f"Model inputs: −{RANGE} (black) to +{RANGE} (white) standard deviations."
CAPTION_PLAIN = "Model inputs: pixels from 0 (black) to 255 (white)."
CHANGED = "   Boxed: changed labels, true → given."


@contextlib.contextmanager
def own_style():
    """The look of all pictures, whatever the reader's own matplotlib settings are."""
    import matplotlib.style

    settings = {"font.family": "DejaVu Sans", "font.size": 9, "axes.grid": True}
    settings |= {"grid.color": "#DDDDDD", "axes.axisbelow": True, "axes.titlesize": 10}
    with matplotlib.style.context(["default", settings]):
        yield


def pixels_of(figure) -> np.ndarray:
    """Draws a matplotlib Figure: uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with own_style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for a glyph that the font lacks, and for a crowded figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(picture: np.ndarray) -> bytes:
    """A picture uint8 [height, width, 3] as a PNG file, the same bytes for the same picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


@own_style()
def sample_grid(
    columns: dict[str, tuple[np.ndarray, np.ndarray]],
    true: np.ndarray,
    class_names: Sequence[str] | None = None,
    *,
    index: np.ndarray | None = None,
    title: str = "",
    plain: bool = False,
):
    """A grid of the same n examples (rows) under each corruption (columns), with their labels.

    Args:
        columns: title: (images, given). Images are float [n, H, W, C], preprocessed, C 1 or 3;
            given are integers [n], the labels to learn.
        true: integer [n], the data set's own labels.
        class_names: of the K classes; default: their numbers.
        index: integer [n], the examples' identities, written beside the rows.
        title: of the whole picture.
        plain: whether images are pixels from 0 to 255, not preprocessed.

    Returns:
        A matplotlib Figure of 10 inches width, with one axes for each picture, row by row.
    """
    from matplotlib.figure import Figure

    left, label, side, foot = 0.62, 0.27, 1.27, 0.38
    cell = (WIDTH - left - 0.1) / len(columns)
    side = min(side, 0.94 * cell)
    head = 0.12 + 0.17 * max(t.count("\n") + 1 for t in columns) + (0.3 if title else 0)
    height = head + len(true) * (side + label) + foot
    texts = [_label_texts(true, given, class_names) for _, given in columns.values()]
    changed = [given != true for _, given in columns.values()]
    longest = max(len(text) for column in texts for text in column)
    size = min(9.0, 0.94 * cell * 72 / (0.66 * longest))  # points; bold glyphs are 0.66 em wide
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    if title:
        look: dict = {"ha": "center", "va": "top", "size": 12, "weight": "bold"}
        figure.text(0.5, 1 - 0.1 / height, printable(title), parse_math=False, **look)
    for row in range(len(true)):
        top = height - head - row * (side + label)
        if index is not None:
            y = (top - label - side / 2) / height
            figure.text(0.1 / WIDTH, y, f"index\n{index[row]}", va="center", size=8, color=GREY)
        for column, (heading, (images, _)) in enumerate(columns.items()):
            x = left + column * cell + (cell - side) / 2
            box = (x / WIDTH, (top - label - side) / height, side / WIDTH, side / height)
            axes = figure.add_axes(box, xticks=(), yticks=())
            _draw_image(axes, images[row], plain)
            _write_label(axes, texts[column][row], size, changed=changed[column][row])
            if row == 0:
                middle, y = (x + side / 2) / WIDTH, (top + 0.06) / height
                figure.text(middle, y, heading, ha="center", va="bottom", size=10, weight="bold")
    caption = CAPTION_PLAIN if plain else CAPTION
    caption += CHANGED if np.any(changed) else ""
    figure.text(0.5, 0.12 / height, caption, ha="center", va="bottom", size=8.5, color="#404040")
    return figure


def _label_texts(true: np.ndarray, given: np.ndarray, class_names: Sequence[str] | None):
    """The label of each example; of a changed one the true and the given."""

    def name(label):
        return str(label) if class_names is None else printable(class_names[label])[:LONGEST]

    return [
        name(int(after)) if before == after else f"{name(int(before))} → {name(int(after))}"
        for before, after in zip(true, given, strict=True)
    ]


def _draw_image(axes, image: np.ndarray, plain: bool) -> None:
    """An image [H, W, C]; `plain` is as of `sample_grid`."""
    axes.set_axis_off()
    scale, black = (255, 0.0) if plain else (2 * RANGE, 0.5)
    shown = np.clip(np.asarray(image, np.float32) / scale + black, 0, 1)
    if shown.shape[-1] == 1:
        shown = shown[..., 0].repeat(3).reshape(*shown.shape[:2], 3)
    axes.imshow(shown, interpolation="nearest", aspect="auto")


def _write_label(axes, text: str, size: float, *, changed: bool) -> None:
    """The label above an image, boxed where it was changed."""
    # With y given, matplotlib does not search for ticks, of which there are none.
    # A class name is not a formula, even if it contains $.
    weight = "bold" if changed else "normal"
    axes.set_title(text, size=size, y=1.0, pad=5, weight=weight, parse_math=False)
    if changed:
        axes.title.set_bbox({"facecolor": ORANGE, "edgecolor": "none", "pad": 1.5})
