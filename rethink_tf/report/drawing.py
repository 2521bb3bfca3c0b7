"""Shared by all figures of a report: series with bands over the paper's curve, and their files."""

import csv
import dataclasses
import html
import io
import re
import textwrap
import weakref
from collections.abc import Callable, Mapping, Sequence
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
PAPERS = "_paper"  # a label that matplotlib leaves out of its own legends
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.2)), "linewidth": 2.4, "alpha": 0.55}
PLACES = ((4, -9), (3, 4), (-9, 5))  # of a number beside its point, in points
Point = tuple[float, float, float, int]  # x, mean, deviation, number of seeds
# What the panels show, by axes: curves and their points.
_recorded: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a report; `draw` returns the matplotlib Figure, anew at each call."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve: points of each seed, the paper's own, and its look.

    `places` are the planned x, ascending. Where they are given, a line joins two points only if no
    planned point between them is missing.
    """

    label: str
    seeds: Sequence[Sequence[tuple[float, float]]] = ()
    paper: Sequence[tuple[float, float]] = ()
    colour: int = 0
    dashed: bool = False
    places: Sequence[float] = ()

    @property
    def ink(self) -> str:
        """Its colour."""
        return COLOURS[self.colour % len(COLOURS)]

    @property
    def look(self) -> dict[str, Any]:
        """Colour, line style and marker, as matplotlib takes them."""
        return {
            "color": self.ink,
            "linestyle": "--" if self.dashed else "-",
            "marker": MARKERS[self.colour % len(MARKERS)],
            "markersize": 4.5,
            "markerfacecolor": "none" if self.dashed else self.ink,
        }


def has_gap(one: Series) -> bool:
    """Whether a planned point is missing between two points of a curve."""
    return len(_parts(one, derived.band(one.seeds))) > 1


def _parts(one: Series, points: Sequence[Point]) -> list[list[Point]]:
    """The points in runs of neighbours; all of them in one where no places are planned."""
    parts: list[list[Point]] = []
    for point in points:
        between = parts and any(parts[-1][-1][0] < x < point[0] for x in one.places)
        if parts and not between:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


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

    The number of seeds stands above the panel where it is the same for all points, else beside
    them. Where there is no curve, the panel says so in the words of `empty`.
    """
    if empty and not any(one.paper or any(one.seeds) for one in series):
        note(axes, empty)
    bands = [derived.band(one.seeds) for one in series]
    counts = {count for points in bands for *_, count in points}
    if len(counts) == 1:
        state_common_count(axes, *counts)
    several = len(counts) > 1
    for number, (one, points) in enumerate(zip(series, bands, strict=True)):
        if one.paper:
            axes.plot(
                *zip(*one.paper, strict=True), color=one.ink, zorder=1.5, label=PAPERS, **DOTTED
            )
        record(axes, f"{one.label}, the paper's", one.paper)
        record(axes, one.label, points)
        if points:
            step = max(1, -(-len(points) // MARKERS_A_CURVE))
            shift = number * step // len(series) if step > 1 else 0
            _draw_band(axes, one, points, (shift, step))
            if several:
                _state_counts(axes, one, points[shift::step], PLACES[number % len(PLACES)])


def _draw_band(axes, one: Series, points: Sequence[Point], markers: tuple[int, int]) -> None:
    """Draws the means of a curve, and one deviation to both sides where there are several seeds."""
    for part in _parts(one, points):
        x, y, spread, count = zip(*part, strict=True)
        axes.plot(x, y, linewidth=1.7, zorder=3, label=one.label, markevery=markers, **one.look)
        if max(count) > 1:
            low = [v - s for v, s in zip(y, spread, strict=True)]
            high = [v + s for v, s in zip(y, spread, strict=True)]
            axes.fill_between(x, low, high, color=one.ink, alpha=0.18, linewidth=0, zorder=2)


def _state_counts(axes, one: Series, points: Sequence[Point], place: tuple[int, int]) -> None:
    """Writes the number of seeds beside the points at which it changes."""
    last = None
    for x, y, _, count in points:
        if count != last:
            state_count(axes, x, y, count, one.ink, place)
        last = count


def state_common_count(axes, count: int) -> None:
    """Writes the number of seeds above a panel, where it is the same for all points."""
    axes.set_title(f"n = {count}", loc="right", fontsize=7, color=INK)


def state_count(axes, x: float, y: float, count: int, ink: str, place=PLACES[0]) -> None:
    """Writes the number of seeds of a point beside it."""
    axes.annotate(
        f"n={count}",
        (x, y),
        xytext=place,
        textcoords="offset points",
        fontsize=6,
        color=ink,
        zorder=5,
    )


def record(axes, curve: str, points: Sequence[tuple[float, ...]]) -> None:
    """Notes the numbers of a curve for those who save the figure with its data."""
    if points:
        _recorded.setdefault(axes, []).append((curve, points))


def data(figure) -> str:
    """The numbers that a matplotlib Figure shows, as CSV: panel, curve, x, y, std, n.

    For a curve without a Series, x and y only.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("panel", "curve", "x", "y", "std", "n"))
    for axes in figure.axes:
        curves: list = list(_recorded.get(axes, ()))
        if not curves:
            curves = [
                (_name(line), list(zip(*line.get_data(), strict=True))) for line in axes.lines
            ]
        for curve, points in curves:
            for point in points:
                numbers = [f"{v:.6g}" if isinstance(v, float) else v for v in point]
                writer.writerow((axes.get_title(), curve, *numbers))
    return out.getvalue()


def _name(line) -> str:
    label = str(line.get_label())
    return "" if label.startswith("_") else label


def note(axes, text: str) -> None:
    """Writes into a panel what it lacks, at the top left, where rising curves leave room."""
    axes.text(
        0.04,
        0.97,
        text,
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=8,
        color=INK,
        zorder=4,
    )


def remove_rest(every, used: int) -> None:
    """Removes the panels of a grid in which nothing is drawn."""
    for axes in every[used:]:
        axes.remove()


def legend_of(figure, entries: Mapping[str, tuple[str, bool]]) -> None:
    """One legend below the axes, from names, colours and whether lines are dashed."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=ink, label=name, linestyle="--" if dashed else "-", marker="o")
        for name, (ink, dashed) in entries.items()
    ]
    with own_style():
        figure.legend(
            handles=handles, loc="outside lower center", frameon=False, ncols=len(handles)
        )


def legend(figure, series: Sequence[Series], *, ncols: int = 3) -> None:
    """One legend below the axes of the curves that are drawn, and what the line styles mean."""
    from matplotlib.lines import Line2D

    lines = [line for axes in figure.axes for line in axes.lines]
    dotted = {line.get_color() for line in lines if line.get_alpha() == DOTTED["alpha"]}
    solid = {
        (line.get_color(), line.get_markerfacecolor() == "none")
        for line in lines
        if line.get_alpha() is None
    }
    entries = {}
    for one in series:
        if (one.ink, one.dashed) in solid:
            entries[one.label] = Line2D([], [], label=one.label, **one.look)
        elif one.ink in dotted and not one.dashed:
            entries.setdefault(one.label, Line2D([], [], color=one.ink, label=one.label, **DOTTED))
    if dotted:
        entries[PAPERS] = Line2D([], [], color=INK, label="the paper's curve", **DOTTED)
    if entries:
        with own_style():
            figure.legend(
                handles=list(entries.values()),
                loc="outside lower center",
                frameon=False,
                ncols=ncols,
                handlelength=3,
            )


def label_axes(axes, x: str, y: str, title: str = "") -> None:
    """Names of axes, and a title above; epochs are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(x)
    if x == "Epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)


def start_at_zero(axes) -> None:
    """The vertical axis from 0, with room above the highest point."""
    axes.set_ylim(0, 1.05 * max(axes.dataLim.y1, 0.0) or None)


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
    contents = {}
    with own_style():
        drawn = _captioned(figure)
        for ending, more in (("png", {"dpi": 160}), ("pdf", {"metadata": {"CreationDate": None}})):
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=ending, **more)
            contents[ending] = buffer.getvalue()
    return contents


def svg(figure: Figure) -> str:
    """The figure as an <svg> element whose colours are the page's, for light and dark screens."""
    import matplotlib

    buffer = io.StringIO()
    with own_style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.name}):
        drawn = figure.draw()
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        numbers = html.escape(data(drawn))
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
    text = text.replace("<svg ", f"<svg {look} ", 1)
    end = text.index(">") + 1
    return f"{text[:end]}<metadata>{numbers}</metadata>{text[end:]}"
