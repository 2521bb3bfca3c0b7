"""The page of a training's examples: pictures, labels, and files that are whole."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from rethink_tf.analysis.example_scores import ExampleScores
from rethink_tf.errors import RequestError
from rethink_tf.report import examples_page

N = 30
TRUE = np.arange(N) % 3
NOISY = np.arange(N) % 5 == 0
GIVEN = np.where(NOISY, (TRUE + 1) % 3, TRUE)
RISING = np.linspace(-1, 1, N).astype(np.float32)
SCORES = ExampleScores(
    "a <model>",
    np.arange(N) + 100,
    GIVEN,
    TRUE,
    {
        "aum": RISING,
        "confidence": (RISING + 1) / 2,
        "variability": RISING[::-1] / 2 + 0.5,
        "forgotten": np.arange(N) % 3,
        "first_fitted": np.ones(N, np.int32),
    },
    np.array([1, 2, 3]),
    True,
)
HISTORY = [
    {"epoch": e, "clean_accuracy": e / 4, "corrupted_accuracy": 0.1, "test_accuracy": None}
    for e in (1, 2, 3)
]


def grey(positions):
    return [np.full((8, 8, 1), 5 * p, np.uint8) for p in positions]


def text_of(out):
    return (out / examples_page.PAGE).read_text()


def test_files_of_a_page(tmp_path):
    written = examples_page.write(tmp_path / "out", SCORES, images=grey, history=HISTORY, count=4)
    names = ["examples.html", "examples.csv", "cartography.png", "curves.png"]
    assert written == [str(tmp_path / "out" / name) for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    with Image.open(tmp_path / "out" / "cartography.png") as picture:
        assert picture.size[0] > 1000
    text = text_of(tmp_path / "out")
    assert "a &lt;model&gt;" in text and "<model>" not in text
    assert "epochs 1 to 3" in text and "6 labels (20.00%) are noisy" in text
    assert not re.search(r"(src|href)=\"https?:", text)


def test_pictures_are_those_of_the_ranked_examples(tmp_path):
    examples_page.write(tmp_path, SCORES, images=grey, class_names=["a", "b", "<c>"], count=4)
    text = text_of(tmp_path)
    section = text.partition('id="most-suspicious-labels"')[2].partition("</section>")[0]
    encoded = re.findall(r'base64,([^"]+)"', section)
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(e)))) for e in encoded]
    assert [int(picture[0, 0, 0]) for picture in shown] == [0, 5, 10, 15]
    assert re.findall(r"index (\d+)", section) == ["100", "101", "102", "103"]
    # Of the first four, example 0 is noisy: true class a, given b.
    assert section.count("class=noisy") == 1 and "<strong>a → b</strong>" in section
    assert "&lt;c&gt;" in section


def test_without_images_identities_are_listed(tmp_path):
    examples_page.write(tmp_path, SCORES, count=4)
    text = text_of(tmp_path)
    assert "<img" not in text and "<td>100</td>" in text and "0 → 1" in text


def test_without_true_labels_no_detection_is_shown(tmp_path):
    examples_page.write(tmp_path, SCORES, count=4)
    assert 'id="detection"' in text_of(tmp_path)
    examples_page.write(tmp_path, dataclasses.replace(SCORES, true=None), count=4)
    text = text_of(tmp_path)
    assert (
        'id="detection"' not in text and "→" not in text and "noisy" not in text.split("</h1>")[1]
    )


def test_random_labels_are_called_so_and_the_colours_have_a_legend(tmp_path):
    examples_page.write(tmp_path, SCORES, count=4)
    assert examples_page.RANDOM not in text_of(tmp_path)
    examples_page.write(tmp_path, dataclasses.replace(SCORES, given=TRUE[::-1]), count=4)
    assert examples_page.RANDOM in text_of(tmp_path)
    (legend,) = examples_page.cartography(SCORES).draw().legends
    assert [text.get_text() for text in legend.get_texts()] == ["clean", "noisy"]


def test_an_incomplete_record_is_named(tmp_path):
    examples_page.write(tmp_path, SCORES, count=4)
    assert "Incomplete" not in text_of(tmp_path)
    examples_page.write(tmp_path, dataclasses.replace(SCORES, complete=False), count=4)
    assert "Incomplete: earlier evaluations" in text_of(tmp_path)


def test_nothing_forgotten_is_said(tmp_path):
    measures = SCORES.measures | {"forgotten": np.zeros(N, np.int32)}
    examples_page.write(tmp_path, dataclasses.replace(SCORES, measures=measures), count=4)
    section = text_of(tmp_path).partition('id="forgotten-most"')[2].partition("</section>")[0]
    assert "are no such examples." in str(section)


def test_other_trainings_are_compared_or_refused(tmp_path):
    other = dataclasses.replace(SCORES, name="another")
    examples_page.write(tmp_path, SCORES, others=[other], count=4)
    section = text_of(tmp_path).partition('id="agreement"')[2]
    assert "another" in section and "1.000" in section
    other = dataclasses.replace(SCORES, epochs=np.array([2, 4, 6]))
    with pytest.raises(RequestError, match="2 to 6 by 2"):
        examples_page.write(tmp_path / "none", SCORES, others=[other])
    assert not (tmp_path / "none").exists()


def test_pictures_of_numbers_are_scaled_together():
    low, high = examples_page.pictures_of([np.zeros((4, 4)), np.full((4, 4, 3), 2.0)])
    assert low.shape == high.shape == (4, 4, 3) and low.dtype == np.uint8
    assert (low.max(), high.min()) == (0, 255)
    assert examples_page.pictures_of([np.ones((4, 4))])[0].max() == 0


def test_large_pictures_are_made_small():
    (picture,) = examples_page.pictures_of([np.zeros((300, 600, 3), np.uint8)])
    assert picture.shape == (64, 128, 3)
