"""What is computed from histories, against numbers worked out by hand."""

import pytest

from rethink_tf.report import derived
from rethink_tf.report.sections.convergence import relative_times
from rethink_tf.report.table import Cell, Row, Table, footnotes, texts

LINES = [
    {"epoch": n, "loss": loss, "accuracy": 1 - loss / 4}
    for n, loss in enumerate((2.0, 0.3, 0.5, 0.05, 0.04), 1)
]


@pytest.mark.parametrize(
    ("threshold", "epoch"),
    [
        (derived.loss(0.5), 2),
        (derived.loss(0.3), 2),
        (derived.loss(0.1), 4),
        (derived.loss(0.05), 4),
        (derived.loss(0.01), None),
        (derived.accuracy(0.9), 2),
        (derived.accuracy(0.99), 5),
        (derived.accuracy(0.999), None),
    ],
)
def test_the_first_epoch_that_meets_a_threshold(threshold, epoch):
    assert derived.reached(LINES, threshold) == epoch


def test_a_quantity_that_is_not_there_is_never_reached():
    assert derived.reached([{"epoch": 1, "loss": None}, {"epoch": 2}], derived.loss(9.0)) is None


def test_how_much_a_curve_jumps():
    assert derived.jumps([(1, 10.0), (2, 20.0), (3, 30.0)]) == 0
    assert derived.jumps([(1, 0.0), (2, 3.0), (3, 0.0), (4, 3.0)]) == pytest.approx(3)
    assert derived.jumps([(10, 0.0), (20, 5.0), (30, 0.0), (33, 9.0)]) == pytest.approx(5), (
        "the last epoch was evaluated out of turn"
    )
    assert derived.jumps([(1, 1.0), (2, 2.0)]) is None


def test_gains_are_of_the_seeds_that_both_have():
    assert derived.gains({0: 5.0, 1: 7.0}, {1: 3.0, 2: 1.0}) == (4.0,)
    assert derived.gains({0: 5.0}, {}) == ()


def test_the_asked_threshold_comes_first_and_once():
    assert [t.title for t in derived.thresholds()] == [
        "loss ≤ 0.05",
        "loss ≤ 0.1",
        "loss ≤ 0.3",
        "loss ≤ 0.5",
        "accuracy ≥ 0.99",
    ]
    assert [t.value for t in derived.thresholds(0.3)] == [0.3, 0.05, 0.1, 0.5, 0.99]
    assert [t.value for t in derived.thresholds(0.2)] == [0.2, 0.05, 0.1, 0.3, 0.5, 0.99]


def test_cumulative_best():
    assert derived.best_so_far([0.2, 0.5, None, 0.4, 0.6]) == [0.2, 0.5, 0.5, 0.5, 0.6]
    assert derived.best_so_far([None, 0.1]) == [None, 0.1]


def test_mean_and_sample_deviation():
    assert derived.mean([1.0, 2.0, 6.0]) == 3.0
    assert derived.std([1.0, 2.0, 6.0]) == pytest.approx(7**0.5)
    assert derived.std([1.0]) is None


def test_a_band_is_over_the_seeds_that_have_the_point():
    assert derived.band([[(1, 2.0), (2, 4.0)], [(1, 4.0)]]) == [
        (1, 3.0, pytest.approx(2**0.5), 2), (2, 4.0, 0.0, 1)]  # fmt: skip


def test_relative_times_are_over_the_mean_of_true_labels():
    times = relative_times({0.0: [10, 30], 0.5: [40, None], 1.0: [60, 20]})
    assert times == {0.0: (0.5, 1.5), 0.5: (2.0, None), 1.0: (3.0, 1.0)}


@pytest.mark.parametrize("base", [[], [None], [10, None]])
def test_without_all_of_the_true_labels_there_is_no_relative_time(base):
    assert relative_times({0.0: base, 1.0: [60]})[1.0] == (None,)


def test_without_true_labels_there_is_no_relative_time():
    assert relative_times({1.0: [60]}) == {1.0: (None,)}


def test_the_papers_curves_give_its_own_figures():
    assert [
        derived.paper_epochs(name, 0.1)
        for name in ("true labels", "shuffled pixels", "gaussian", "random pixels", "random labels")
    ] == [8, 13, 20, 21, 35]
    assert derived.paper_epochs("true labels", 0.05) == 10
    assert derived.paper_epochs("random labels", 0.05) == 36
    assert derived.paper_epochs("true labels", 1e-9) is None
    assert derived.paper_curve("fig1b", "MLP 1x512")[-1] == (1.0, 1.96)
    assert derived.paper_curve("fig2b", "test Inception")[0] == (1.0, 0.6891)


@pytest.mark.parametrize(
    ("cell", "paper", "ours", "difference"),
    [
        (Cell((50.5,), 50.25), "50.25", "50.50 (n = 1)", "+0.25"),
        (Cell((1.0, 2.0, 6.0), 4.0), "4.00", "3.00 ± 2.65 (n = 3)", "−1.00"),
        (Cell((), 9.78), "9.78", "–", "–"),
        (Cell((), 9.78, left_out="INVALID"), "9.78", "INVALID", "–"),
        (Cell((99.0,), "failed to converge"), "failed to converge", "99.00 (n = 1)", "–"),
        (Cell((None, None), 3.0), "3.00", "not reached", "–"),
        (Cell((4.0, None), 3.0, 0), "3", "4 (1 of 2 reached it)", "–"),
        (Cell((4,), None, 0), "–", "4 (n = 1)", "–"),
        (Cell((4.0, 6.0), 3.0, 0, "1 DIVERGED"), "3", "5 ± 1 (n = 2; 1 DIVERGED)", "+2"),
        (Cell((4.0, None), 3.0, 0, "1 INVALID"), "3", "4 (1 of 2 reached it; 1 INVALID)", "–"),
        (Cell((None,), 3.0, 0, "1 DIVERGED"), "3", "not reached (n = 1; 1 DIVERGED)", "–"),
    ],
)
def test_the_texts_of_a_cell(cell, paper, ours, difference):
    assert (cell.paper_text(), cell.ours_text()) == (paper, ours)
    assert cell.difference_text() == difference


def test_a_shipped_number_is_marked_in_its_own_column():
    cells = {"a": Cell((1.0,), None, 0), "b": Cell((2.0,), None, 0, marked=True)}
    made = Table(
        "measures", "Measures", ("measure",), (Row(("norm",), cells, "measured and runs"),)
    )
    assert texts(made) == [["norm", "1 (n = 1)", "2 (n = 1) †"]]
    assert any("† measured by this project" in line for line in footnotes(made))
    own = Table("measures", "Measures", ("measure",), (Row(("norm",), {"a": cells["a"]}, "runs"),))
    assert not footnotes(own)
