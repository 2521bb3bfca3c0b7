"""Figures and histories that the tests of pictures share."""

import io
import itertools

import numpy as np
from PIL import Image

from rethink_tf.plotting import curves
from rethink_tf.plotting import style as pictures


def opened(content) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    assert (image.format, image.mode) == ("PNG", "RGB")
    return image


def boxes(figure, artists):
    figure.canvas.draw()
    return [artist.get_window_extent() for artist in artists]


def overlapping(figure, artists):
    """The pairs of artists that overlap, and the artists that leave the figure."""
    found = boxes(figure, artists)
    pairs = itertools.combinations(found, 2)
    return [(first, second) for first, second in pairs if first.overlaps(second)] + [
        box
        for box in found
        if min(box.x0, box.y0) < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1
    ]


def grid(channels=3, **more):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    images = np.random.default_rng(0).normal(size=[8, 6, 6, channels])
    true = np.arange(8)
    given = np.array([0, 0, 2, 3, 9, 5, 6, 1])
    columns = {title: (images, given) for title in ("b", "c", "d\ntwo lines", "e")}
    figure = pictures.sample_grid({"a": (images, true), **columns}, true, **more)
    FigureCanvasAgg(figure)
    return figure, images, true, given


KEYS = tuple(curves.CURVES)


def history(epochs, seed=0, corrupted=True, every=1):
    draw = np.random.default_rng(seed)
    lines = []
    for epoch in range(1, epochs + 1):
        known = (epoch % every == 0) * np.array([1, corrupted, corrupted, 1])
        values = [x if there else None for x, there in zip(draw.random(4), known, strict=True)]
        lines.append({"epoch": epoch, "loss": 1.0, **dict(zip(KEYS, values, strict=True))})
    return lines


def drawn(axes):
    """The curves of an axes by the key of the history."""
    return {c.get_label(): c.get_xydata().tolist() for c in axes.lines if c.get_label() in KEYS}


def expected(lines):
    every = {k: [[x["epoch"], 100 * x[k]] for x in lines if x[k] is not None] for k in KEYS}
    return {key: points for key, points in every.items() if points}


def legends(figure):
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
