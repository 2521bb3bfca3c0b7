"""The figure of the bound from label noise, beside the true test error."""

import textwrap
from typing import Any

import numpy as np

from rethink_tf.plotting.style import COLOURS, DPI, GREY, WIDTH, own_style

TOP = 1.2  # top of the axis; a bound above it tells as little as a bound of 1


@own_style()
def figure(name: str, epochs: np.ndarray, curves: dict[str, np.ndarray], chance: float):
    """Errors and bounds by epoch.

    Args:
        name: of the run.
        epochs: int [T].
        curves: words: float [T], fractions; the first is the true test error.
        chance: the error of a guess, a fraction.

    Returns:
        A matplotlib Figure, in percent, epochs on a logarithmic axis, since noise is often fitted
        within a few of many. Bounds above 120% are outside.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    made = Figure(figsize=(WIDTH, 5.6), dpi=DPI, layout="constrained")
    axes = made.subplots()
    for place, (words, values) in enumerate(curves.items()):
        look: dict[str, Any] = {
            "color": ("#000000", *COLOURS)[place],
            "marker": "Dos^"[place],
            "markersize": 4.5,
            "linewidth": 1.8,
            # Share of the diagonal between markers, since the last epochs are close together.
            "markevery": 0.05,
        }
        axes.plot(
            epochs, 100 * values, label=words, linestyle=("-", "--", ":", "-.")[place], **look
        )
    lines = {"vacuous: a bound of at least 100%": (1.0, "-"), "error of a guess": (chance, ":")}
    for words, (height, style) in lines.items():
        axes.axhline(100 * height, color=GREY, linestyle=style, linewidth=1.2, label=words)
    axes.set_ylim(0, 100 * TOP)
    axes.set_xscale("log")
    axes.set_xlim(0.9 * epochs[0], 1.1 * epochs[-1])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="Epoch", ylabel="Error on new examples (%)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    made.legend(loc="outside lower center", ncols=2, frameon=False)
    axes.set_title(textwrap.fill(name, 100), parse_math=False)
    made.suptitle("A bound from label noise", weight="bold", size=12)
    return made
