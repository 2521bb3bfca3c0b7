"""Training dynamics of every example: by hand, resumed, and as a run records them."""

import dynamics
import numpy as np
import pytest

from rethink_tf.runs import results
from rethink_tf.training.metrics import Outcome
from rethink_tf.training.per_example import Record

# Four examples over the evaluated epochs 2, 4, 6 and 7.
EPOCHS = (2, 4, 6, 7)
FITTED = np.array(
    [
        [1, 1, 1, 1],  # at once and for good
        [0, 1, 0, 1],  # fitted, forgotten, fitted
        [1, 0, 1, 0],  # forgotten twice, the second time for good
        [0, 0, 0, 0],  # never
    ],
    bool,
)


GIVEN = np.zeros(len(FITTED), np.int32)


def outcome(fitted, epoch):
    """What an evaluation gave that predicts as told: the margin is half the epoch."""
    predicted = np.where(fitted, 0, 1).astype(np.int32)
    margin = np.full(len(fitted), epoch / 2, np.float32)
    loss = np.arange(1, len(fitted) + 1, dtype=np.float32) / epoch
    return Outcome(loss, predicted, margin, error=np.full(len(fitted), 1 / epoch, np.float32))


def follow(epochs=EPOCHS, fitted=FITTED, record=None):
    record = Record(len(fitted)) if record is None else record
    for epoch, column in zip(epochs, fitted.T, strict=True):
        record.update(epoch, outcome(column, epoch), GIVEN)
    return record


def test_a_sequence_made_by_hand():
    record = follow()
    assert record.fitted_since.tolist() == [2, 7, 0, 0]
    assert record.first_fitted.tolist() == [2, 4, 2, 0]
    assert record.forgotten.tolist() == [0, 1, 2, 0]
    assert record.margin.tolist() == [3.5] * 4
    assert record.evaluated_epochs.tolist() == [2, 4, 6, 7] and record.complete
    assert [record.arrays()[name].dtype for name in Record.ARRAYS] == [
        np.int32,
        np.int32,
        np.float32,
    ]


def test_measures_made_by_hand():
    record = Record(1, el2n_epochs=(1,))
    for epoch, (p, margin) in enumerate([(0.25, -1.0), (0.75, 2.0)], 1):
        one = Outcome(
            np.log([1 / p]).astype(np.float32),
            np.array([epoch - 1]),
            np.array([margin]),
            error=np.array([0.5 / epoch]),
        )
        record.update(epoch, one, np.array([1]))
    found = {name: values.tolist() for name, values in record.measures().items()}
    assert found["aum"] == [0.5] and found["first_fitted"] == [2]
    assert found["confidence"] == pytest.approx([0.5])
    assert found["variability"] == pytest.approx([0.25])
    assert found["cumulative_loss"] == pytest.approx([np.log(4) + np.log(4 / 3)])
    assert found["el2n_1"] == [0.5] and "el2n_2" not in found


def test_el2n_is_taken_at_the_first_evaluation_from_each_epoch_on():
    record = Record(4, el2n_epochs=(5, 1, 3, 9))
    follow(record=record)
    assert {epoch: values[0] for epoch, values in record.el2n.items()} == {
        2: np.float32(1 / 2),
        4: np.float32(1 / 4),
        6: np.float32(1 / 6),
    }


def test_nothing_is_known_before_the_first_evaluation():
    found = Record(3).measures()
    for name in ("aum", "confidence", "variability", "cumulative_loss", "margin"):
        assert np.isnan(found[name]).all(), name


def test_a_probability_that_does_not_move_has_no_variability():
    record = Record(1)
    for epoch in range(1, 200):
        steady = Outcome(np.array([0.1], np.float32), np.array([0]), np.array([1.0]))
        record.update(epoch, steady, np.array([0]))
    assert record.measures()["variability"].tolist() == [0]


def test_a_checkpoint_of_an_older_version_gives_an_incomplete_record():
    old = {name: values for name, values in follow().arrays().items() if name in Record.ARRAYS}
    record = Record(4)
    record.restore(old)
    assert not record.complete and record.evaluated_epochs.tolist() == []
    follow((8, 9), FITTED[:, :2], record)
    assert record.measures()["aum"].tolist() == [4.25] * 4
    assert record.forgotten[0] == 0 and record.first_fitted.tolist() == [8, 9, 8, 0]
    columns = record.columns()
    assert columns["evaluated_epochs"].tolist() == [8, 9] and not columns["dynamics_complete"]
    again = Record(4)
    again.restore(record.arrays())
    assert not again.complete


def test_an_older_checkpoint_of_before_the_first_evaluation_loses_nothing():
    old = {name: values for name, values in Record(4).arrays().items() if name in Record.ARRAYS}
    record = Record(4)
    record.restore(old)
    assert record.complete


def test_a_record_of_other_examples_is_refused():
    with pytest.raises(ValueError, match="expected fitted_since of shape"):
        Record(5).restore(follow().arrays())
    arrays = follow().arrays() | {"loss_sum": np.zeros(5)}
    with pytest.raises(ValueError, match="expected loss_sum of shape"):
        Record(4).restore(arrays)


def test_after_each_evaluation():
    since = [follow(EPOCHS[:i], FITTED[:, :i]).fitted_since.tolist() for i in range(1, 5)]
    assert since == [[2, 0, 2, 0], [2, 4, 0, 0], [2, 0, 6, 0], [2, 7, 0, 0]]


def test_the_beginning():
    record = Record(3)
    assert record.fitted_since.tolist() == record.forgotten.tolist() == [0, 0, 0]
    assert np.isnan(record.margin).all()
    assert set(record.medians(np.array([True, False, False])).values()) == {None, 0.0}
    assert record.medians(np.array([True, False, False]))["clean_margin_median"] is None


@pytest.mark.parametrize("at", range(5))
def test_it_goes_on_from_a_checkpoint(at):
    record = Record(4)
    record.restore(follow(EPOCHS[:at], FITTED[:, :at]).arrays())
    follow(EPOCHS[at:], FITTED[:, at:], record)
    for made in (Record.arrays, Record.columns):
        found, expected = made(record), made(follow())
        assert list(found) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, name)


def test_what_is_restored_is_a_copy():
    first = follow()
    second = Record(4)
    second.restore(first.arrays())
    second.update(8, outcome(~FITTED[:, -1], 8), GIVEN)
    assert first.fitted_since.tolist() == [2, 7, 0, 0]
    assert first.forgotten.tolist() == [0, 1, 2, 0]
    assert second.forgotten.tolist() == [1, 2, 2, 0]


def test_medians_of_clean_and_of_corrupted():
    record = Record(7)
    record.fitted_since = np.array([1, 3, 8, 0, 5, 0, 9])
    record.forgotten = np.array([0, 1, 4, 0, 2, 3, 3])
    record.margin = np.array([1, 2, 3, -4, 5, -6, 7], np.float32)
    corrupted = np.array([0, 0, 0, 1, 1, 1, 1], bool)
    assert record.medians(corrupted) == {
        "clean_fitted_since_median": 3.0,
        "clean_forgotten_median": 1.0,
        "clean_margin_median": 2.0,
        "corrupted_fitted_since_median": None,  # half of them are not fitted
        "corrupted_forgotten_median": 2.5,
        "corrupted_margin_median": 0.5,
    }
    record.fitted_since[5] = 7
    assert record.medians(corrupted)["corrupted_fitted_since_median"] == 8.0


def test_medians_are_null_where_there_is_no_such_example():
    found = follow().medians(np.zeros(4, bool))
    assert [found[f"corrupted_{x}_median"] for x in Record.ARRAYS] == [None] * 3
    assert found["clean_fitted_since_median"] is None  # two of four are fitted
    assert (found["clean_forgotten_median"], found["clean_margin_median"]) == (0.5, 3.5)


def test_examples_of_a_run_agree_with_its_history(tiny):
    history, summary = results.read_history(tiny.run_dir), results.read_summary(tiny.run_dir)
    found = results.read_examples(tiny.run_dir)
    assert list(found)[:6] == ["index", "true", "given", *Record.ARRAYS]
    epochs, complete = results.read_examples_grid(tiny.run_dir)
    assert epochs.tolist() == [1, 2] and complete
    assert {len(column) for column in found.values()} == {300}
    assert (np.diff(found["index"]) > 0).all()
    fitted = found["fitted_since"] > 0
    assert fitted.mean() == pytest.approx(history[-1]["train_accuracy"], abs=1e-9)
    assert set(found["fitted_since"].tolist()) <= {0, 1, 2}
    np.testing.assert_array_equal(fitted, found["margin"] > 0)  # no tie of logits here
    # What was fitted at epoch 1 was kept, or forgotten once: two epochs allow no more.
    at_first = (found["fitted_since"] == 1) | (found["forgotten"] == 1)
    assert at_first.mean() == pytest.approx(history[0]["train_accuracy"], abs=1e-9)
    assert not (found["forgotten"] > 0)[fitted].any() and found["forgotten"].max() <= 1
    corrupted = found["given"] != found["true"]
    assert corrupted.mean() == pytest.approx(summary["changed_fraction"], abs=1e-12)
    assert fitted[corrupted].mean() == pytest.approx(summary["corrupted_accuracy"], abs=1e-9)
    record = Record(300)
    record.restore(found)
    for key, value in record.medians(corrupted).items():
        assert summary[key] == (None if value is None else pytest.approx(value)), key


def test_measures_of_a_run_are_those_of_its_logits(tensorflow, offline):
    replay = dynamics.replayed(dynamics.train_run(offline))
    expected = dynamics.by_definition(replay.logits, replay.table.given, (1, 2, 3))
    found = results.read_examples(replay.run_dir)
    assert set(found) == {"index", "true", "given", *expected} - {"el2n_3"}
    for name in set(found) - {"index", "true", "given"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert found["aum"].std() > 0.1 and found["variability"].max() > 0.01
