"""The figures of memorisation: a histogram of scores, and the images with the highest scores."""

from collections.abc import Sequence

import numpy as np

from rethink_tf.plotting.style import COLOURS, DPI, WIDTH, own_style
from rethink_tf.printable import printable

COLUMNS = 8
BINS = 50
HATCHES = ("", "////", "....")
MARGIN = "output at the given label minus the largest other output"


@own_style()
def histogram(scores: np.ndarray, noisy: np.ndarray, title: str, label: str):
    """How many examples have which score, a row of bars for clean and one for noisy examples.

    Args:
        scores: float [N], NaN for none.
        noisy: bool [N], whether the given label is not the true one.
        title: of the figure.
        label: of the axis of scores.

    Returns:
        A matplotlib Figure. Numbers of examples are on a logarithmic axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    finite, kinds = np.isfinite(scores), {"clean": ~noisy, "noisy": noisy}
    edges = np.histogram_bin_edges(np.append(scores[finite], 0.0), bins=BINS)
    shown = {name: scores[finite & rows] for name, rows in kinds.items() if rows.any()}
    for place, (name, values) in enumerate(shown.items()):
        axes.hist(
            values,
            bins=edges.tolist(),
            label=f"{name} ({len(values):,})",
            color=COLOURS[place],
            alpha=0.6,
            hatch=HATCHES[place % len(HATCHES)],
            edgecolor="white",
        )
    axes.set(yscale="log", xlabel=label, ylabel="examples")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False)
    figure.suptitle(printable(title), weight="bold", size=12)
    return figure


@own_style()
def images(pictures: np.ndarray, words: Sequence[str], title: str):
    """Images in rows of COLUMNS, in the order given, each with its words above.

    Args:
        pictures: uint8 [n, height, width, 1 or 3].
        words: of each.
        title: of the figure.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    rows = max(1, -(-len(pictures) // COLUMNS))
    figure = Figure(figsize=(WIDTH, 0.6 + 1.75 * rows), dpi=DPI, layout="constrained")
    figure.suptitle(printable(title), weight="bold", size=12)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        axes.set_axis_off()
        if place >= len(pictures):
            continue
        shown = pictures[place]
        shown = shown.repeat(3, axis=-1) if shown.shape[-1] == 1 else shown
        axes.imshow(shown, interpolation="nearest")
        # A class name is not a formula, even if it contains $.
        axes.set_title(printable(words[place], lines=True), size=7.5, parse_math=False)
    return figure
