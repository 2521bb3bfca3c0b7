"""Per training example: fitted since when, forgotten how often, with what margin."""

import numpy as np
import pytest

from rethink_tf.runs import results
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


def follow(epochs=EPOCHS, fitted=FITTED):
    record = Record(len(fitted))
    for epoch, column in zip(epochs, fitted.T, strict=True):
        record.update(epoch, column, np.full(len(fitted), epoch / 2))
    return record


def test_a_sequence_made_by_hand():
    record = follow()
    assert record.fitted_since.tolist() == [2, 7, 0, 0]
    assert record.forgotten.tolist() == [0, 1, 2, 0]
    assert record.margin.tolist() == [3.5] * 4
    arrays = record.arrays()
    assert list(arrays) == ["fitted_since", "forgotten", "margin"]
    assert [a.dtype for a in arrays.values()] == [np.int32, np.int32, np.float32]


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
    for epoch, column in zip(EPOCHS[at:], FITTED.T[at:], strict=True):
        record.update(epoch, column, np.full(4, epoch / 2))
    for name, array in follow().arrays().items():
        np.testing.assert_array_equal(record.arrays()[name], array)


def test_what_is_restored_is_a_copy():
    first = follow()
    second = Record(4)
    second.restore(first.arrays())
    second.update(8, ~FITTED[:, -1], np.zeros(4))
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
    with np.load(tiny.run_dir / results.EXAMPLES) as file:
        found = {name: file[name] for name in file.files}
    assert list(found) == ["index", "true", "given", *Record.ARRAYS]
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
