"""What all figures of a report share: series with bands over the paper's curve, and their files."""

import dataclasses
import html
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from rethink_tf.plotting import style as pictures
from rethink_tf.plotting.style import own_style
from rethink_tf.report import derived

# Okabe and Ito's, dark enough on white; in the page each has a lighter reference for dark screens.
COLOURS = (*pictures.COLOURS, "#8B5A2B", "#5B5BD6", "#7A7A7A", "#A8385D")
MARKERS = "osD^vPX*<>p"
INK, GRID = "#202020", "#DDDDDD"
WIDTH = 8.0  # inches
MARKERS_A_CURVE = 12


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a report; `draw` returns the matplotlib Figure, anew at each call."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve: points of each seed, the paper's own, and its look."""

    label: str
    seeds: Sequence[Sequence[tuple[float, float]]] = ()
    paper: Sequence[tuple[float, float]] = ()
    colour: int = 0
    dashed: bool = False


def axes_grid(down: int, across: int, height: float, **more):
    """A matplotlib Figure and its axes, a list row by row."""
    from matplotlib.figure import Figure as Drawn

    with own_style():
        figure = Drawn(figsize=(WIDTH, height), layout="constrained")
        axes = list(figure.subplots(down, across, squeeze=False, **more).flat)
    for one in axes:
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, axes


def draw_series(axes, series: Sequence[Series], *, empty: str = "no run yet") -> None:
    """Draws curves: the paper's behind, dotted and pale; ours with a band of one deviation.

    Where there is neither, the panel says so in the words of `empty`.
    """
    if empty and not any(one.paper or any(one.seeds) for one in series):
        note(axes, empty)
    for number, one in enumerate(series):
        colour = COLOURS[one.colour % len(COLOURS)]
        if one.paper:
            axes.plot(
                *zip(*one.paper, strict=True),
                color=colour,
                linestyle=(0, (1, 1.2)),
                linewidth=2.4,
                alpha=0.55,
                zorder=1.5,
                label="_paper",
            )
        points = derived.band(one.seeds)
        if not points:
            continue
        x, y, spread, count = zip(*points, strict=True)
        step = max(1, -(-len(x) // MARKERS_A_CURVE))
        axes.plot(
            x,
            y,
            color=colour,
            linestyle="--" if one.dashed else "-",
            linewidth=1.7,
            zorder=3,
            marker=MARKERS[one.colour % len(MARKERS)],
            markersize=4.5,
            label=one.label,
            markevery=(number * step // len(series) if step > 1 else 0, step),
            markerfacecolor="none" if one.dashed else colour,
        )
        if max(count) > 1:
            low = [v - s for v, s in zip(y, spread, strict=True)]
            high = [v + s for v, s in zip(y, spread, strict=True)]
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)


def note(axes, words: str) -> None:
    """Says in a panel what is not in it, where rising curves leave room: above, to the left."""
    axes.text(
        0.04,
        0.97,
        words,
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=8,
        color=INK,
        zorder=4,
    )


def remove_rest(every, used: int) -> None:
    """Takes away the panels of a grid in which nothing is drawn."""
    for axes in every[used:]:
        axes.remove()


def legend(figure, series: Sequence[Series], *, ncols: int = 3) -> None:
    """One legend of all curves below the axes, and what the line styles mean."""
    from matplotlib.lines import Line2D

    entries = []
    seen = set()
    for one in series:
        if one.label in seen or not (one.seeds or one.paper):
            continue
        seen.add(one.label)
        colour = COLOURS[one.colour % len(COLOURS)]
        entries.append(
            Line2D(
                [],
                [],
                color=colour,
                linestyle="--" if one.dashed else "-",
                label=one.label,
                marker=MARKERS[one.colour % len(MARKERS)],
                markersize=4.5,
                markerfacecolor="none" if one.dashed else colour,
            )
        )
    if any(one.paper for one in series):
        entries.append(
            Line2D(
                [],
                [],
                color=INK,
                linestyle=(0, (1, 1.2)),
                linewidth=2.4,
                alpha=0.55,
                label="the paper's curve",
            )
        )
    if entries:
        with own_style():
            figure.legend(
                handles=entries,
                loc="outside lower center",
                frameon=False,
                ncols=ncols,
                handlelength=3,
            )


def label_axes(axes, x: str, y: str, title: str = "") -> None:
    """Names of axes, and a title above."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)


def _captioned(figure: Figure):
    """The figure below its title and caption, since a file is passed on alone."""
    drawn = figure.draw()
    lines = textwrap.wrap(figure.caption, 118)
    width, height = drawn.get_size_inches()
    whole = height + 0.3 + 0.15 * len(lines)
    drawn.set_size_inches(width, whole)
    # The empty lines hold the place of the title, which is of another size.
    drawn.suptitle("\n".join(["", "", *lines]), x=0.01, ha="left", size=8, color="#505050")
    drawn.text(0.01, 1 - 0.08 / whole, figure.title, va="top", size=11, weight="bold")
    return drawn


def files(figure: Figure) -> dict[str, bytes]:
    """The figure as .png and .pdf, by ending; the same bytes for the same figure."""
    found = {}
    with own_style():
        drawn = _captioned(figure)
        for ending, more in (("png", {"dpi": 160}), ("pdf", {"metadata": {"CreationDate": None}})):
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=ending, **more)
            found[ending] = buffer.getvalue()
    return found


def svg(figure: Figure) -> str:
    """The figure as an <svg> element whose colours are the page's, for light and dark screens."""
    import matplotlib

    buffer = io.StringIO()
    with own_style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.name}):
        drawn = figure.draw()
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for number, colour in enumerate(COLOURS):
        text = text.replace(colour.lower(), f"var(--series-{number})")
    text = text.replace(GRID.lower(), "var(--grid)").replace(INK, "var(--ink)")
    # A black fill is written as none at all: on a dark screen it would stay black.
    label = html.escape(figure.title, quote=True)
    look = f'role="img" class="figure" aria-label="{label}" style="fill:var(--series-4)"'
    return text.replace("<svg ", f"<svg {look} ", 1)
