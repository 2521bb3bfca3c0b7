"""The page of a training's examples: ranked pictures, cartography, and how noise is found.

One HTML file that needs nothing else, a CSV keyed by identity, and the figures as files. Imports no
TensorFlow.
"""

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.analysis import example_scores
from rethink_tf.analysis.example_scores import ExampleScores, Ranking
from rethink_tf.plotting import style
from rethink_tf.printable import printable
from rethink_tf.report import drawing
from rethink_tf.report.drawing import Figure, Series
from rethink_tf.report.html import document
from rethink_tf.storage import files, paths

PAGE, TABLE, CARTOGRAPHY, CURVES = "examples.html", "examples.csv", "cartography", "curves"
COUNT = 24  # pictures per ranking
LARGEST = 128  # pixels of the longer side of a picture
POINTS_DPI = 200  # resolution of the scatter plot, which is a bitmap within the vector figure
BINS = 60
CLEAN, NOISY = 0, 1  # their colours
_CURVES = (
    ("clean_accuracy", "clean", CLEAN, False),
    ("corrupted_accuracy", "noisy, given labels", NOISY, False),
    ("corrupted_original_accuracy", "noisy, true labels", 2, True),
    ("train_accuracy", "all, given labels", 4, True),
    ("test_accuracy", "test", 3, False),
)
# From positions to a list of images: uint8 or float [H, W] or [H, W, 1 or 3].
Images = Callable[[np.ndarray], Sequence[np.ndarray]]


def write(
    out: Path | str,
    scores: ExampleScores,
    *,
    images: Images | None = None,
    class_names: Sequence[str] | None = None,
    history: Sequence[dict[str, Any]] = (),
    others: Sequence[ExampleScores] = (),
    count: int = COUNT,
) -> list[str]:
    """Writes the page, the CSV and the figures into a folder.

    Args:
        out: the folder; it is made.
        scores: of the training.
        images: gives pictures of examples; None: the page lists identities and labels alone.
        class_names: of the K classes; None: their numbers.
        history: a dict an epoch with `epoch` and accuracies, as in a run's history; may be empty.
        others: further trainings on the same examples, labels and epochs, for rank correlations.
        count: examples of each ranking.

    Returns:
        The paths of the files.

    Raises:
        RequestError: `others` are not comparable.
        StorageError: a file cannot be written.
    """
    correlations = example_scores.rank_correlations([scores, *others]) if others else {}
    drawn = [cartography(scores), *learning(history)]
    content = {
        PAGE: page(scores, drawn, images, class_names, others, correlations, count).encode(),
        TABLE: example_scores.csv(scores).encode(),
    }
    for figure in drawn:
        ending, picture = "png", drawing.files(figure)["png"]
        content[f"{figure.name}.{ending}"] = picture
    folder = paths.absolute(out)
    with files.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, each in content.items():
        files.write_atomically(folder / name, each)
    return [str(Path(out) / name) for name in content]


def _text(value: object) -> str:
    return html.escape(printable(value), quote=True)


def page(
    scores: ExampleScores,
    drawn: Sequence[Figure],
    images: Images | None,
    class_names: Sequence[str] | None,
    others: Sequence[ExampleScores],
    correlations: dict[str, list[float | None]],
    count: int,
) -> str:
    """The page; arguments as of `write`."""
    parts = [
        "<h1>What was memorised</h1>",
        *(f'<p class="caption">{_text(line)}</p>' for line in facts(scores)),
    ]
    if not scores.complete:
        parts.append(f'<p class="note warning">{_text(INCOMPLETE)}</p>')
    if detected := example_scores.detection(scores):
        noisy = scores.noisy
        assert noisy is not None  # `detection` needs the true labels
        parts += [
            '<section id="detection"><h2>How well each measure finds the noisy labels</h2>',
            f'<p class="caption">{_text(_DETECTION)}</p>',
            _cells(example_scores.detection_table(detected, noisy)),
            *([f'<p class="note warning">{_text(RANDOM)}</p>'] * scores.labels_are_random),
            "</section>",
        ]
    for figure in drawn:
        parts.append(
            f'<section id="figure-{figure.name}"><h2>{_text(figure.title)}</h2><figure>'
            f'<div class="scroll">{drawing.svg(figure)}</div>'
            f"<figcaption>{_text(figure.caption)}</figcaption></figure></section>"
        )
    for ranking in example_scores.rankings(scores, count):
        parts.append(_ranked(scores, ranking, images, class_names))
    if others:
        rows = [["measure", *(one.name for one in others)]]
        for name, values in correlations.items():
            texts = ("-" if value is None else f"{value:.3f}" for value in values)
            rows.append([example_scores.title(name), *texts])
        parts += [
            '<section id="agreement"><h2>Agreement between trainings</h2>',
            '<p class="caption">Spearman\'s rank correlation with the training above, over all '
            "examples.</p>",
            _cells(rows),
            "</section>",
        ]
    return document(f"Examples of {scores.name}", "".join(parts))


INCOMPLETE = (
    "Incomplete: earlier evaluations were not recorded. Measures over several epochs cover only "
    "the recorded epochs."
)
RANDOM = (
    "Nearly all labels are random: the clean examples have their true label by chance, and too few "
    "of them are clean for a ranking by suspicion to mean anything. Expect a ROC AUC near 0.5."
)
_DETECTION = (
    "ROC AUC: probability that a noisy example is more suspicious than a clean one. Average "
    "precision: its chance level is the share of noisy labels. A low area under the margin, "
    "confidence or margin counts as suspicious. For the other measures a high value or a late "
    "epoch counts as suspicious."
)


def facts(scores: ExampleScores) -> list[str]:
    """What the page is of, a sentence a line."""
    noisy = scores.noisy
    lines = [
        f"{scores.name}: {len(scores.index):,} training examples, evaluated after epoch"
        f"{'s'[: len(scores.epochs) != 1]} {example_scores.epochs_text(scores.epochs)}. Each "
        "evaluation used all of them."
    ]
    if noisy is not None:
        lines.append(f"{int(noisy.sum()):,} labels ({100 * noisy.mean():.2f}%) are noisy.")
    return lines


def _cells(rows: list[list[str]]) -> str:
    """A table of text; titles first, the first column to the left."""

    def line(row: list[str], kind: str) -> str:
        first, *rest = (_text(cell) for cell in row)
        cells = "".join(f'<{kind} class="number">{cell}</{kind}>' for cell in rest)
        return f"<tr><{kind}>{first}</{kind}>{cells}</tr>"

    head, *body = rows
    lines = "".join(line(row, "td") for row in body)
    return (
        f'<div class="scroll"><table><thead>{line(head, "th")}</thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _ranked(
    scores: ExampleScores,
    ranking: Ranking,
    images: Images | None,
    class_names: Sequence[str] | None,
) -> str:
    """A ranking as a section: pictures with labels, or a table without."""
    name = ranking.title.lower().replace(" ", "-")
    head = (
        f'<section id="{name}"><h2>{_text(ranking.title)}</h2>'
        f'<p class="caption">By {_text(ranking.rule)}.</p>'
    )
    if not len(ranking.positions):
        return f'{head}<p class="note">There are no such examples.</p></section>'

    def label(number: int) -> str:
        return str(number) if class_names is None else str(class_names[number])

    def labels(position: int) -> tuple[str, bool]:
        given = label(int(scores.given[position]))
        if scores.noisy is None or scores.true is None or not scores.noisy[position]:
            return given, False
        return f"{label(int(scores.true[position]))} → {given}", True

    values = scores.measures[ranking.measure][ranking.positions]
    shown = [f"{v}" if values.dtype.kind in "iu" else f"{v:.3g}" for v in values]
    called = example_scores.title(ranking.measure)
    if images is None:
        rows = [["index", "label", called]]
        for position, value in zip(ranking.positions, shown, strict=True):
            rows.append([str(scores.index[position]), labels(position)[0], value])
        return f"{head}{_cells(rows)}</section>"
    figures = []
    pictures = pictures_of(images(ranking.positions))
    for position, picture, value in zip(ranking.positions, pictures, shown, strict=True):
        shown_labels, noisy = labels(position)
        strong = f"<strong>{_text(shown_labels)}</strong>" if noisy else _text(shown_labels)
        encoded = base64.b64encode(style.png(picture)).decode()
        figures.append(
            f'<figure><img{" class=noisy" * noisy} src="data:image/png;base64,{encoded}" '
            f'alt="{_text(shown_labels)}"><figcaption>{strong}<br>{_text(called)} {value}<br>index '
            f"{scores.index[position]}</figcaption></figure>"
        )
    return f'{head}<div class="examples">{"".join(figures)}</div></section>'


def pictures_of(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images as pictures uint8 [H, W, 3] of at most LARGEST pixels a side.

    Args:
        images: [H, W] or [H, W, 1 or 3]; uint8, or numbers whose least and largest over all these
            images are shown as black and white.
    """
    from PIL import Image

    if any(image.dtype != np.uint8 for image in images):
        values = [np.asarray(image, np.float64) for image in images]
        low, high = min(v.min() for v in values), max(v.max() for v in values)
        scale = 255 / ((high - low) or 1.0)
        images = [np.round(scale * (v - low)).astype(np.uint8) for v in values]
    pictures = []
    for image in images:
        wide = image[..., None] if image.ndim == 2 else image
        wide = np.broadcast_to(wide, (*wide.shape[:2], 3))
        if max(wide.shape[:2]) > LARGEST:
            small = Image.fromarray(np.ascontiguousarray(wide))
            small.thumbnail((LARGEST, LARGEST))
            wide = np.asarray(small)
        pictures.append(np.ascontiguousarray(wide))
    return pictures


def cartography(scores: ExampleScores) -> Figure:
    """Confidence over variability, a point for each example; and the area under the margin."""
    noisy = scores.noisy
    parts = {"clean": CLEAN, "noisy": NOISY} if noisy is not None else {"all examples": CLEAN}
    chosen = (
        {"all examples": np.ones(len(scores.index), bool)}
        if noisy is None
        else {"clean": ~noisy, "noisy": noisy}
    )

    def draw() -> Any:
        figure, (left, right) = drawing.axes_grid(1, 2, 4.0)
        figure.set_dpi(POINTS_DPI)
        size = float(np.clip(6000 / len(scores.index), 0.5, 12))
        areas = scores.measures["aum"]
        bins = np.linspace(areas.min(), areas.max() or 1.0, BINS + 1)
        for name, colour in parts.items():
            some = chosen[name]
            left.scatter(
                scores.measures["variability"][some],
                scores.measures["confidence"][some],
                s=size,
                alpha=0.35,
                linewidths=0,
                color=drawing.COLOURS[colour],
                rasterized=True,
            )
            right.hist(
                areas[some],
                bins,
                histtype="step",
                linewidth=1.7,
                linestyle="--" if name == "noisy" else "-",
                color=drawing.COLOURS[colour],
            )
        left.set_ylim(-0.02, 1.02)
        drawing.label_axes(left, "variability", "confidence")
        drawing.label_axes(right, "area under the margin", "examples")
        if len(parts) > 1:
            drawing.legend_of(
                figure, {name: (drawing.COLOURS[c], name == "noisy") for name, c in parts.items()}
            )
        return figure

    return Figure(
        CARTOGRAPHY,
        "Cartography",
        "Left: mean and standard deviation of the given class's probability over the evaluated "
        "epochs, one point per example. Examples at the upper left are easy to learn, those at "
        "the right are ambiguous, those at the lower left are hard to learn and often wrongly "
        "labelled. Right panel: number of examples by area under the margin.",
        draw,
    )


def learning(history: Sequence[dict[str, Any]]) -> list[Figure]:
    """The accuracies by epoch as a figure; none where there is no history of two evaluations."""
    series = []
    for key, label, colour, dashed in _CURVES:
        points = [(x["epoch"], 100 * x[key]) for x in history if x.get(key) is not None]
        if len(points) > 1:
            series.append(Series(label, seeds=[points], colour=colour, dashed=dashed))
    if not series:
        return []

    def draw() -> Any:
        figure, (axes,) = drawing.axes_grid(1, 1, 3.6)
        drawing.draw_series(axes, series)
        axes.set_ylim(-2, 102)
        drawing.label_axes(axes, "epoch", "accuracy (%)")
        drawing.legend(figure, series)
        return figure

    caption = (
        "Exact accuracies after each evaluated epoch: on clean examples, on noisy examples against "
        "the given and against the true labels."
    )
    return [Figure(CURVES, "Learn, then memorise", caption, draw)]
