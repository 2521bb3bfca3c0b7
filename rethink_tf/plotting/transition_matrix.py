"""The picture of a transition matrix: which true class was given which label, how often."""

import numpy as np

from rethink_tf.plotting.style import DPI, WIDTH, own_style

NUMBERED = 20  # most classes for which every cell shows its number
LARGEST_LABELLED = 30  # most classes for which every row is labelled
COLUMNS, CELL = "given label", "{:.2f}"


@own_style()
def figure(table: np.ndarray, asked: np.ndarray | None = None):
    """The shares of the labels of each true class, beside what was asked for where that is known.

    Args:
        table: integer [K, K], how often true class i (row) was given label j (column).
        asked: float [K, K], the probabilities that were asked for, or None.

    Returns:
        A matplotlib Figure of 10 inches width with one axes, or two: measured, asked for. A row
        without an example is left white. Colour goes with the square root, so rare ones are seen.
    """
    from matplotlib.figure import Figure

    size = table.sum(axis=1, keepdims=True)
    shares = np.where(size > 0, table / np.maximum(size, 1), np.nan)
    changed = 1 - np.trace(table) / max(table.sum(), 1)
    title = f"{table.sum():,} labels, {100 * changed:.1f}% changed"
    parts = {title: shares} | ({} if asked is None else {"asked for": asked})
    made = Figure(figsize=(WIDTH, WIDTH / len(parts) * 0.95), dpi=DPI, layout="constrained")
    for axes, (words, values) in zip(
        np.atleast_1d(made.subplots(1, len(parts))), parts.items(), strict=True
    ):
        _draw(axes, values, points=min(9.0, 150 / len(values) / len(parts)))
        axes.set_title(words)
    return made


def _draw(axes, values: np.ndarray, points: float) -> None:
    """One matrix [K, K] of shares, with numbers of so many points where they can be read."""
    k = len(values)
    axes.imshow(np.sqrt(values), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.set_xlabel(COLUMNS)
    axes.set_ylabel("true class")
    if k <= LARGEST_LABELLED:
        axes.set_xticks(range(k))
        axes.set_yticks(range(k))
    if k > NUMBERED:
        return
    for true, row in enumerate(values):
        for given, share in enumerate(row):
            if share > 0:
                colour = "white" if share > 0.4 else "black"
                text = CELL.format(share)
                axes.text(given, true, text, ha="center", va="center", size=points, color=colour)
