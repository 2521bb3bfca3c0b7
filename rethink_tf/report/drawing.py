"""Shared by all figures of a report: series with bands over the paper's curve, and their files."""

import csv
import dataclasses
import html
import io
import re
import textwrap
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rethink_tf.plotting import style as pictures
from rethink_tf.plotting.style import own_style
from rethink_tf.report import derived

# Okabe and Ito's colours, dark enough on white. For dark screens the page has lighter ones.
COLOURS = (*pictures.COLOURS, "#8B5A2B", "#5B5BD6", "#7A7A7A", "#A8385D")
MARKERS = "osD^vPX*<>p"
INK, GRID = "#202020", "#DDDDDD"
WIDTH = 8.0  # inches
MARKERS_A_CURVE = 12
PAPERS = "_paper"  # matplotlib leaves labels that begin with _ out of its legends
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.2)), "linewidth": 2.4, "alpha": 0.55}
Point = tuple[float, float, float, int]  # x, mean, deviation, number of seeds
# What the panels show, by axes: curves and their points.
_recorded: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
# Lines of numbers of seeds between a panel and its title, by axes.
_lines_above: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a report; `draw` returns the matplotlib Figure, anew at each call.

    `bands` says whether it shows several seeds, or else the first alone.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Any]
    bands: bool = True


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

    The number of seeds stands above the panel. Where there is no curve, the panel says so in the
    words of `empty`.
    """
    if empty and not any(one.paper or any(one.seeds) for one in series):
        note(axes, empty)
    counts = []
    for number, one in enumerate(series):
        points = derived.band(one.seeds)
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
            counts.append((one.ink, _counts(points, step)))
    state_counts(axes, counts)


def _counts(points: Sequence[Point], step: int) -> list[tuple[float, int]]:
    """(x, number of seeds) of every `step`-th point, and of each point at which it changes."""
    numbers = [(x, count) for x, _, _, count in points]
    return [
        one
        for place, one in enumerate(numbers)
        if place % step == 0 or one[1] != numbers[place - 1][1]
    ]


def _draw_band(axes, one: Series, points: Sequence[Point], markers: tuple[int, int]) -> None:
    """Draws the means of a curve, and one deviation to both sides where there are several seeds."""
    for part in _parts(one, points):
        x, y, spread, count = zip(*part, strict=True)
        axes.plot(x, y, linewidth=1.7, zorder=3, label=one.label, markevery=markers, **one.look)
        if max(count) > 1:
            low = [v - s for v, s in zip(y, spread, strict=True)]
            high = [v + s for v, s in zip(y, spread, strict=True)]
            axes.fill_between(x, low, high, color=one.ink, alpha=0.18, linewidth=0, zorder=2)


def state_counts(axes, curves: Iterable[tuple[str, Sequence[tuple[float, int]]]]) -> None:
    """Writes the numbers of seeds above a panel, in the colours of the curves.

    Once if there is only one number. Else a curve whose number changes has a line of its own, with
    each number over its point; the other curves share the lines above.

    Args:
        axes: of the panel.
        curves: colour and (x, number of seeds) of each curve.
    """
    # Training and test accuracy of the same runs have the same colour and numbers.
    numbers = dict.fromkeys((ink, tuple(points)) for ink, points in curves if points)
    every = {count for _, points in numbers for _, count in points}
    if len(every) < 2:
        axes.set_title("".join(f"n = {n}" for n in every), loc="right", fontsize=7, color=INK)
        return
    constant: dict[tuple[str, int], None] = {}
    lines = 0
    for ink, points in numbers:
        if len({count for _, count in points}) == 1:
            constant[ink, points[0][1]] = None
            continue
        _write_above(axes, "n =", 0, -6, lines, INK, ha="right")
        for x, count in points:
            _write_above(axes, str(count), x, 0, lines, ink, ha="center", xycoords=_OVER_A_POINT)
        lines += 1
    for place, (ink, count) in enumerate(constant):
        line, column = divmod(place, _IN_A_LINE)
        _write_above(axes, f"n = {count}", 0, 3 + 28 * column, lines + line, ink)
    _lines_above[axes] = lines + -(-len(constant) // _IN_A_LINE)


_OVER_A_POINT = ("data", "axes fraction")
_LINE, _IN_A_LINE = 8, 6  # height in points of a line of numbers; curves that share one


def _write_above(
    axes, text: str, x: float, right: float, line: int, ink: str, ha="left", xycoords: Any = None
) -> None:
    """Writes into a line above a panel, at `right` points beside x."""
    axes.annotate(
        text,
        (x, 1),
        xycoords=xycoords or "axes fraction",
        xytext=(right, 6 + _LINE * line),
        textcoords="offset points",
        ha=ha,
        fontsize=6.5,
        color=ink,
        annotation_clip=False,
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


def legend(figure, series: Sequence[Series], *, ncols: int | None = None) -> None:
    """One legend below the axes of the curves that are drawn, and what the line styles mean.

    Args:
        figure: with all its curves.
        series: those that may be in it.
        ncols: its columns; None: as many as there is room for, four at most.
    """
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
        short = max(len(str(line.get_label())) for line in entries.values()) < 18
        with own_style():
            figure.legend(
                handles=list(entries.values()),
                loc="outside lower center",
                frameon=False,
                ncols=ncols or (4 if short else 3),
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
        axes.set_title(title, pad=6 + _LINE * _lines_above.get(axes, 0))


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
    # The empty lines leave room for the title, which has another size.
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
    # matplotlib writes no fill for black, so that it would stay black on a dark screen.
    label = html.escape(figure.title, quote=True)
    look = f'role="img" class="figure" aria-label="{label}" style="fill:var(--series-4)"'
    text = text.replace("<svg ", f"<svg {look} ", 1)
    end = text.index(">") + 1
    return f"{text[:end]}<metadata>{numbers}</metadata>{text[end:]}"
