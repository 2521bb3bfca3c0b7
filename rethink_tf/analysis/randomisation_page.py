"""The page of a randomisation test: report.md, .png, .html and .json, from its figures.

The HTML contains its pictures and loads nothing from outside. It follows the reader's setting of
light or dark. Imports no TensorFlow.
"""

import base64
import html
import itertools
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.analysis.randomisation_figures import Run, number
from rethink_tf.errors import StorageError
from rethink_tf.plotting import style as pictures
from rethink_tf.printable import markdown as marked
from rethink_tf.printable import printable
from rethink_tf.storage import files, paths

REPORT = "report"
_TITLE_WIDTH = 80  # characters in a line above the picture
# Okabe and Ito's colours, each with its own line style and marker for readers who see no colours.
_LOOKS = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
# Background, ink, grid; and replacements for colours that would be too dim.
_Look = tuple[str, str, str, dict[str, str]]
_LIGHT: _Look = ("#FFFFFF", "#202020", "#DDDDDD", {})
_DARK: _Look = ("#16181C", "#E4E4E4", "#3A3F47", {"#0072B2": "#56B4E9", "#D55E00": "#FF8A3D"})
_MEMORISED = (
    {"corrupted_accuracy": "labels as given", "corrupted_original_accuracy": "true labels"},
    "Random labels: changed examples",
)
_COLUMNS = ("", "fitted in", "epochs to {threshold}", "times true", "train", "test", "gap")


class TestResult(dict[str, Any]):
    """The figures of a randomisation test; a notebook shows its page.

    Attributes:
        folder: where the report lies.
    """

    def __init__(self, figures: dict[str, Any], folder: Path, html_page: str) -> None:
        super().__init__(figures)
        self.folder, self._page = folder, html_page

    def _repr_html_(self) -> str:
        # In a frame, so that the page's style does not change the notebook's.
        return (
            f'<iframe srcdoc="{html.escape(self._page)}" '
            'style="width:100%;height:60rem;border:0"></iframe>'
        )


def report_folder(out: Path, test: dict[str, Any]) -> Path:
    """The first of OUT, OUT-2, OUT-3, ... that holds no report of another test.

    Args:
        out: the folder that was asked for.
        test: what names the test, as `report.json` holds it.
    """
    for count in itertools.count(1):
        folder = out if count == 1 else out.with_name(f"{out.name}-{count}")
        place = paths.absolute(folder)
        if not (place / f"{REPORT}.md").exists():
            return folder
        try:
            known = files.read_json(place / f"{REPORT}.json") or {}
        except StorageError:
            continue  # damaged: it cannot be known of which test it is
        if isinstance(known, dict) and known.get("test") == test:
            return folder
    raise AssertionError("unreachable: the numbers do not end")


def write(out: Path, figures: dict[str, Any], runs: list[Run], planned: list[str]) -> TestResult:
    """Writes the report into the first folder without another test's.

    Args:
        out: the folder that was asked for; see `report_folder`.
        figures: of `randomisation_test.run`.
        runs: those that ended well.
        planned: run ids of all runs of the test.

    Returns:
        The figures with `files`, the paths of the report for a reader.

    Raises:
        StorageError: it cannot be written.
    """
    test = {"runs": planned, "threshold": figures["threshold"]}
    folder = report_folder(out, test)
    with files.storage(folder):
        paths.absolute(folder).mkdir(parents=True, exist_ok=True)
    light, dark = (pictures.png(picture(figures, runs, look, "")) for look in (_LIGHT, _DARK))
    own = pictures.png(picture(figures, runs, _LIGHT, title(figures)))
    pages = {
        f"{REPORT}.md": markdown(figures).encode(),
        f"{REPORT}.png": own,
        f"{REPORT}.html": page(figures, light, dark).encode(),
    }
    for name, content in pages.items():
        files.write_atomically(paths.absolute(folder / name), content)
    files.write_json(paths.absolute(folder / f"{REPORT}.json"), {"test": test, **figures})
    figures = figures | {"files": [str(folder / name) for name in pages]}
    return TestResult(figures, folder, pages[f"{REPORT}.html"].decode())


def title(figures: dict[str, Any]) -> str:
    """The headline: which model on which data."""
    return f"Randomisation test of {figures['model']} on {figures['dataset']}"


def facts(figures: dict[str, Any]) -> str:
    """Model, data and recipe in one sentence."""
    return (
        f"{figures['parameters']:,} parameters; {figures['train_examples']:,} training and "
        f"{figures['test_examples']:,} test images of {figures['classes']} classes, chance "
        f"{100 / figures['classes']:.1f}%. {figures['recipe']}."
    )


def table(figures: dict[str, Any]) -> list[list[str]]:
    """The figures by case as cells, the titles first."""
    threshold = f"{100 * figures['threshold']:g}%"
    rows = [[name.format(threshold=threshold) for name in _COLUMNS]]
    for case in figures["cases"]:
        ratio = case["ratio"]
        rows.append(
            [
                case["name"],
                f"{case['reached']} of {len(case['seeds'])}",
                number(case["epochs"]),
                "-" if ratio is None else f"{ratio:.1f}",
                number(case["train"], 100, "%"),
                number(case["test"], 100, "%"),
                number(case["gap"], 100, " points"),
            ]
        )
    return rows


def sections(figures: dict[str, Any]) -> dict[str, list[str]]:
    """The lists below the picture by their headings; those that are empty are left out."""
    seeds = max(len(case["seeds"]) for case in figures["cases"])
    runs = [f"{case['name']}: {', '.join(case['run_ids'])}" for case in figures["cases"]]
    chapters = {
        "Reasons": figures["reasons"],
        "Limits": figures["limits"],
        "Left out": figures["left_out"],
        "What was converted": figures["notes"],
        f"Runs ({seeds} {'seeds' if seeds > 1 else 'seed'}, mean ± standard deviation)": runs,
    }
    return {heading: lines for heading, lines in chapters.items() if lines}


def markdown(figures: dict[str, Any]) -> str:
    """The page as Markdown, with report.png beside it."""
    head, *rows = [[marked(cell) for cell in row] for row in table(figures)]
    lines = [f"# {marked(title(figures))}", "", f"**{marked(_sentence(figures))}**", ""]
    lines += [marked(facts(figures)), ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", f"![training and test accuracy by epoch]({REPORT}.png)"]
    for heading, items in sections(figures).items():
        lines += ["", f"## {marked(heading)}", "", *(f"- {marked(item)}" for item in items)]
    return "\n".join(lines) + "\n"


def _text(words: str) -> str:
    """Words for HTML."""
    return html.escape(printable(words))


def _sentence(figures) -> str:
    sentence = figures["verdict"]
    return f"{sentence[0].upper()}{sentence[1:]}."


_STYLE = """
:root { color-scheme: light dark; --back: #fff; --ink: #202020; --line: #ddd; --soft: #f4f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181c; --ink: #e4e4e4; --line: #3a3f47; --soft: #22262c; }
}
body { background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { background: var(--soft); border-left: 4px solid #d55e00; padding: .8rem 1rem;
  font-size: 1.15rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { width: 100%; height: auto; margin-top: 1.5rem; }
"""


def page(figures: dict[str, Any], light: bytes, dark: bytes) -> str:
    """The page as one HTML file, with the picture for a light and for a dark look in it."""

    def data(content: bytes) -> str:
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"

    def cells(row: list[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{_text(c)}</{kind}>" for c in row) + "</tr>"

    head, *rows = table(figures)
    lists = "".join(
        f"<h2>{_text(heading)}</h2><ul>"
        + "".join(f"<li>{_text(item)}</li>" for item in items)
        + "</ul>"
        for heading, items in sections(figures).items()
    )
    name = _text(title(figures))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{name}</h1>"
        f'<p class="verdict">{_text(_sentence(figures))}</p>'
        f"<p>{_text(facts(figures))}</p>"
        f'<div class="wide"><table>{cells(head, "th")}'
        f"{''.join(cells(row, 'td') for row in rows)}</table></div>"
        f'<picture><source srcset="{data(dark)}" media="(prefers-color-scheme: dark)">'
        f'<img src="{data(light)}" alt="training and test accuracy by epoch"></picture>'
        f"{lists}</body></html>\n"
    )


@pictures.own_style()
def picture(figures: dict[str, Any], runs: list[Run], look, words: str) -> np.ndarray:
    """Accuracy by epoch: on the training and the test set, a line for each case; and what the
    runs on random labels learn before they memorise.

    Lines are means over the seeds, bands reach from the lowest to the highest.

    Returns:
        uint8 [height, width, 3], 1600 pixels wide.
    """
    from matplotlib.figure import Figure

    back, ink, grid, brighter = look
    figure = Figure((pictures.WIDTH, 4.2), dpi=pictures.DPI, facecolor=back, layout="constrained")
    plots = figure.subplots(1, 3, sharey=True)
    columns: tuple[tuple[str | dict[str, str], str], ...] = (
        ("train_accuracy", "Training, labels as given"),
        ("test_accuracy", "Test"),
        _MEMORISED,
    )
    for axes, (key, heading) in zip(plots, columns, strict=True):
        for place, case in enumerate(figures["cases"]):
            colour, *shape = _LOOKS[place % len(_LOOKS)]
            own = [run.history for run in runs if run.case == case["name"]]
            lines = {key: case["name"]} if isinstance(key, str) else key if place == 1 else {}
            for order, (name, label) in enumerate(lines.items()):
                style = shape if order == 0 else ((0, (1, 1)), "x")
                _draw(axes, own, name, label, (brighter.get(colour, colour), *style), place)
        axes.set_title(heading, color=ink)
        axes.set_facecolor(back)
        axes.set_ylim(-2, 102)
        _epochs(axes, runs, is_early(figures["cases"]), ink)
        axes.grid(color=grid)
        axes.tick_params(colors=ink)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(ink)
    plots[0].set_ylabel("Accuracy (%)", color=ink)
    handles, labels = plots[0].get_legend_handles_labels()
    plots[2].legend(frameon=False, labelcolor=ink, loc="center right", fontsize=8)
    lines = {"color": pictures.GREY, "linewidth": 1}
    fitted = plots[0].axhline(100 * figures["threshold"], linestyle=(0, (1, 1)), **lines)
    for axes in plots[1:]:
        chance = axes.axhline(100 / figures["classes"], linestyle=(0, (4, 3)), **lines)
    handles += [fitted, chance]
    labels += [
        f"fitted ({100 * figures['threshold']:g}%)",
        f"chance ({100 / figures['classes']:.3g}%)",
    ]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        labelcolor=ink,
        handlelength=3.5,
    )
    if words:
        shown = "\n".join(textwrap.wrap(printable(words), _TITLE_WIDTH))  # names may contain paths
        figure.suptitle(shown, color=ink, weight="bold", size=12, parse_math=False)
    return pictures.pixels_of(figure)


def is_early(cases: list[dict[str, Any]]) -> bool:
    """Whether all was fitted within a quarter of the epochs; then the axis is logarithmic."""
    fitted = all(case["reached"] == len(case["seeds"]) for case in cases)
    return fitted and 4 * max(c["epochs"]["mean"] for c in cases) <= max(c["budget"] for c in cases)


def _epochs(axes, runs: list[Run], early: bool, ink: str) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

    axes.set_xlabel("Epoch (logarithmic)" if early else "Epoch", color=ink)
    if not early:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        return
    lines = [x["epoch"] for run in runs for x in run.history if x["train_accuracy"] is not None]
    axes.set_xscale("log")
    axes.set_xlim(0.9 * min(lines), 1.05 * max(lines))
    axes.xaxis.set_major_locator(FixedLocator([n * 10**k for k in range(7) for n in (1, 2, 5)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())


def _draw(axes, histories, key: str, name: str, look, place: int) -> None:
    """The mean of some runs by epoch, and the band from the lowest to the highest."""
    colour, style, marker = look
    by_epoch: dict[int, list[float]] = {}
    for history in histories:
        for line in history:
            if line.get(key) is not None:
                by_epoch.setdefault(line["epoch"], []).append(100 * line[key])
    epochs = sorted(by_epoch)
    means = [float(np.mean(by_epoch[e])) for e in epochs]
    axes.plot(
        epochs,
        means,
        color=colour,
        linestyle=style,
        marker=marker,
        markersize=4.5,
        linewidth=1.8,
        label=name,
        markevery=(0.04 * place, 0.2),
        clip_on=False,
    )
    if len(histories) > 1:
        low, high = ([f(by_epoch[e]) for e in epochs] for f in (min, max))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
