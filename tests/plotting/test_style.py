"""The figures of samples and of curves, read off their artists."""

import numpy as np
import pytest
from drawing import KEYS, drawn, expected, grid, history, legends, overlapping

from rethink_tf.plotting import curves
from rethink_tf.plotting import style as pictures
from rethink_tf.training.recording import samples

NAMES = samples.CLASS_NAMES["cifar10"]


def test_the_grid_has_an_axes_for_each_picture_and_its_heading():
    figure, images, *_ = grid(title="All", index=np.arange(100, 108))
    assert len(figure.axes) == 40
    texts = [text.get_text() for text in figure.texts]
    assert {"a", "b", "c", "d\ntwo lines", "e", "All", "index\n107"} <= set(texts)
    assert "−2.5 (black) to +2.5 (white) standard deviations" in texts[-1]
    shown = figure.axes[5].images[0].get_array()
    np.testing.assert_allclose(shown, np.clip(images[1] / 5 + 0.5, 0, 1), atol=1e-6)


def test_grey_pictures_are_grey():
    shown = grid(channels=1)[0].axes[0].images[0].get_array()
    assert shown.shape == (6, 6, 3) and (shown == shown[..., :1]).all()


def test_a_changed_label_is_marked_not_by_colour_alone():
    figure, _, true, given = grid(class_names=NAMES)
    for place, axes in enumerate(figure.axes):
        row, column = divmod(place, 5)
        title, changed = axes.title, column > 0 and true[row] != given[row]
        before, after = NAMES[true[row]], NAMES[given[row]]
        assert title.get_text() == (f"{before} → {after}" if changed else before)
        assert title.get_fontweight() == ("bold" if changed else "normal")
        assert (title.get_bbox_patch() is not None) == changed
    assert "true → given" in figure.texts[-1].get_text()


def test_numbers_where_there_are_no_names_and_no_legend_of_what_is_not_there():
    assert grid()[0].axes[6].title.get_text() == "1 → 0"
    true = np.array([3])
    figure = pictures.sample_grid({"a": (np.zeros([1, 4, 4, 1]), true)}, true)
    assert [axes.title.get_text() for axes in figure.axes] == ["3"]
    assert "true → given" not in figure.texts[-1].get_text()


@pytest.mark.parametrize("names", [NAMES, ["a" * 20] * 10])
def test_the_texts_of_a_grid_do_not_overlap(names):
    figure, *_ = grid(class_names=names, title="All", index=np.arange(50_000, 50_008))
    assert overlapping(figure, [axes.title for axes in figure.axes] + figure.texts) == []


@pytest.mark.parametrize(
    "epochs, every, corrupted",
    [(7, 1, True), (40, 1, True), (70, 10, True), (6, 2, False), (1, 1, True)],
)
def test_the_curves_are_the_history(epochs, every, corrupted):
    lines = history(epochs, corrupted=corrupted, every=every)
    figure = curves.learning_curves([("the run", lines)], [10])
    (axes,) = figure.axes
    assert drawn(axes) == expected(lines)
    assert len(drawn(axes)) == (4 if corrupted else 2)
    assert axes.get_title() == "the run"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Accuracy (%)")
    words = [curves.CURVES[key][0] for key in expected(lines)]
    assert legends(figure) == [[*words, "chance (10%)"]]
    level = [c for c in axes.lines if c.get_label() not in KEYS]
    assert [c.get_ydata()[0] for c in level] == [10]
    for curve in axes.lines:  # where curves coincide, or are one point, markers tell
        if curve.get_label() in KEYS:
            start, step = curve.get_markevery()
            assert start < len(curve.get_xdata()) and step >= 1


def test_quantities_have_colours_and_markers_of_their_own():
    looks = [curves.CURVES[key][1:3] for key in KEYS]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 4


def test_three_runs_lie_over_each_other_by_line_style():
    runs = [(f"run {seed}", history(5, seed)) for seed in range(3)]
    figure = curves.learning_curves(runs, [10, 10, 100])
    (axes,) = figure.axes
    for (_, lines), style in zip(runs, curves.LINE_STYLES, strict=True):
        own = [c for c in axes.lines if c.get_linestyle() == style and c.get_label() in KEYS]
        got = {c.get_label(): c.get_xydata().tolist() for c in own}
        assert got == expected(lines)
    assert legends(figure)[0][-1] == "chance (1%, 10%)"
    assert legends(figure)[1] == ["run 0", "run 1", "run 2"]


@pytest.mark.parametrize("count", [4, 5, 9])
def test_more_runs_have_an_axes_each(count):
    runs = [(f"run {seed}", history(5, seed)) for seed in range(count)]
    figure = curves.learning_curves(runs)
    assert [axes.get_title() for axes in figure.axes] == [name for name, _ in runs]
    assert [drawn(axes) for axes in figure.axes] == [expected(lines) for _, lines in runs]
    assert "chance" not in " ".join(legends(figure)[0])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_legends_titles_and_curves_do_not_overlap(count):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    name = "inception_no_bn, cifar10, 5,000 examples, random pixels, labels at p = 0.5, seed 7"
    figure = curves.learning_curves([(name, history(5))] * count, [10] * count)
    FigureCanvasAgg(figure)
    titles = [axes.title for axes in figure.axes if axes.get_title()]
    assert overlapping(figure, [*figure.axes, *titles, *figure.legends]) == []
    labels = [axes.xaxis.label for axes in figure.axes if axes.get_xlabel()]
    assert overlapping(figure, [*figure.axes, *titles, *labels]) == []


# Samples of a run


def test_loss_curves_show_the_online_loss_of_each_run():
    runs = [(f"run {seed}", history(5, seed)) for seed in range(9)]
    (axes,) = curves.loss_curves(runs).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {n: [[x["epoch"], x["loss"]] for x in lines] for n, lines in runs}
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 9
