"""Training dynamics read back: detection of noise, rankings, and what may be compared."""

import csv
import dataclasses
import io

import numpy as np
import pytest

from rethink_tf.analysis import example_scores
from rethink_tf.analysis.example_scores import ExampleScores
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results
from rethink_tf.runs.agreement import Finished
from rethink_tf.training.metrics import Outcome
from rethink_tf.training.per_example import Record

N, EPOCHS = 40, 4
INDEX = 7 * np.arange(N) + 3
TRUE = np.arange(N) % 3
NOISY = np.arange(N) % 4 == 0
GIVEN = np.where(NOISY, (TRUE + 1) % 3, TRUE)


def scores(seed=0, **changes):
    """Of a training in which noisy examples are fitted later, if at all."""
    rng = np.random.default_rng(seed)
    record = Record(N)
    for epoch in range(1, EPOCHS + 1):
        margin = epoch - 4 * NOISY + rng.normal(size=N)
        loss = np.log1p(np.exp(-margin))
        predicted = np.where(margin > 0, GIVEN, (GIVEN + 1) % 3)
        record.update(epoch, Outcome(loss, predicted, margin, error=loss), GIVEN)
    made = ExampleScores(
        "a model", INDEX, GIVEN, TRUE, record.measures(), record.evaluated_epochs, True
    )
    return dataclasses.replace(made, **changes)


def test_detection_by_counting_pairs():
    one = scores()
    found = {each.measure: each for each in example_scores.detection(one)}
    assert set(found) == set(one.measures)
    for name, each in found.items():
        values = one.suspicion(name)
        apart = values[NOISY][:, None] - values[~NOISY][None]
        expected = (apart > 0).mean() + (apart == 0).mean() / 2
        assert each.roc_auc == pytest.approx(expected), name
    assert found["aum"].roc_auc > 0.95
    areas = [each.roc_auc for each in example_scores.detection(one)]
    assert areas == sorted(areas, reverse=True)


def test_precision_counts_ties_as_a_random_choice():
    noisy = np.array([True, True, False, False])
    precise = example_scores._precision
    assert precise(noisy, np.array([4.0, 3, 2, 1])) == 1
    assert precise(noisy, np.array([1.0, 2, 3, 4])) == 0
    assert precise(noisy, np.ones(4)) == 0.5
    assert precise(noisy, np.array([2.0, 1, 1, 1])) == pytest.approx((1 + 1 / 3) / 2)


def test_what_was_never_fitted_is_most_suspicious():
    measures = {
        "first_fitted": np.array([1, 0, 4]),
        "fitted_since": np.array([0, 0, 4]),
        "forgotten": np.array([3, 0, 0]),
    }
    one = scores(measures=measures)
    assert one.suspicion("first_fitted").tolist() == [1, 5, 4]
    assert one.suspicion("fitted_since").tolist() == [5, 5, 4]
    assert one.suspicion("forgotten").tolist() == [3, 4, 0]


@pytest.mark.parametrize("true", [None, GIVEN, (GIVEN + 1) % 3])
def test_nothing_is_detected_without_known_noise(true):
    assert example_scores.detection(scores(true=true)) == []


def test_rankings_are_in_their_order():
    one = scores()
    found = {r.title: r.positions for r in example_scores.rankings(one, 10)}
    confidence, areas = one.measures["confidence"], one.measures["aum"]
    assert confidence[found["Most typical"]].tolist() == sorted(confidence)[::-1][:10]
    least = found["Least typical"]
    assert (areas[least] > 0).all() and (np.diff(confidence[least]) >= 0).all()
    assert areas[found["Most suspicious labels"]].tolist() == sorted(areas)[:10]
    assert NOISY[found["Most suspicious labels"]].mean() > 0.8
    forgotten = one.measures["forgotten"][found["Forgotten most"]]
    assert (forgotten > 0).all() and (np.diff(forgotten) <= 0).all() and len(forgotten)


def test_ties_are_ranked_by_identity():
    measures = scores().measures | {"confidence": np.ones(N), "aum": np.ones(N)}
    found = example_scores.rankings(scores(measures=measures, index=INDEX[::-1]), 3)[0]
    assert found.positions.tolist() == [N - 1, N - 2, N - 3]


def test_rank_correlations():
    first, second = scores(), scores(seed=1)
    found = example_scores.rank_correlations([first, first, second])
    assert found["aum"][0] == pytest.approx(1) and 0.3 < found["aum"][1] < 0.999
    constant = first.measures | {"forgotten": np.zeros(N), "first_fitted": np.ones(N)}
    found = example_scores.rank_correlations([first, scores(measures=constant)])
    assert found["forgotten"] == [None]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"epochs": np.array([1, 2, 3, 5])},
            "evaluated epochs, received 1 to 4 .*the same --epochs and --eval_every",
        ),
        ({"given": TRUE}, "same given labels; 10 labels differ"),
        ({"index": INDEX + 1}, "of the same examples"),
    ],
)
def test_what_means_something_else_is_not_compared(changes, match):
    with pytest.raises(RequestError, match=match):
        example_scores.rank_correlations([scores(), scores(**changes)])


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        ([1, 2, 3], "1 to 3"),
        ([2, 4, 6, 8], "2 to 8 by 2"),
        ([2, 4, 5], "2, 4, 5"),
        ([3], "3"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 10], "1, 2, 3, 4, ... 10 (9 epochs)"),
    ],
)
def test_epochs_in_words(epochs, text):
    assert example_scores.epochs_text(np.array(epochs)) == text


def test_csv_is_keyed_by_identity():
    one = scores(name="a\nmodel")
    lines = example_scores.csv(one).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert comments == ["# name=a\\x0amodel", "# evaluated_epochs=1 2 3 4", "# complete=true"]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines[len(comments) :]))))
    assert [int(row["index"]) for row in rows] == INDEX.tolist()
    assert list(rows[0]) == ["index", "given", "true", *one.measures]
    np.testing.assert_allclose([float(r["aum"]) for r in rows], one.measures["aum"], rtol=1e-6)
    assert [int(r["forgotten"]) for r in rows] == one.measures["forgotten"].tolist()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RequestError, match="run that ended DONE"):
        example_scores.of_run(tmp_path)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run whose examples.npz the test writes."""
    summary = {"status": "DONE"}
    run = Finished(summary, [], {})
    monkeypatch.setattr(example_scores.agreement, "read", lambda folder: run)
    return tmp_path, summary


def save(run_dir, **columns):
    results.save_examples(run_dir, index=INDEX, true=TRUE, given=GIVEN, **columns)


def test_a_run_is_read_back(finished):
    run_dir, _ = finished
    record = Record(N)
    record.update(2, Outcome(np.ones(N), GIVEN, np.ones(N), error=np.ones(N)), GIVEN)
    save(run_dir, **record.columns())
    found = example_scores.of_run(run_dir)
    assert found.epochs.tolist() == [2] and found.complete
    assert set(found.measures) == set(record.measures())


def test_runs_without_dynamics_or_not_done_are_refused(finished):
    run_dir, summary = finished
    save(run_dir, **{name: np.zeros(N) for name in Record.ARRAYS})
    with pytest.raises(RequestError, match="this file without them"):
        example_scores.of_run(run_dir)
    save(run_dir, **Record(N).columns())
    with pytest.raises(RequestError, match="found none"):
        example_scores.of_run(run_dir)
    (run_dir / results.EXAMPLES).write_bytes(b"damaged")
    with pytest.raises(StorageError, match="damaged"):
        example_scores.of_run(run_dir)
    summary["status"] = "DIVERGED"
    with pytest.raises(RequestError, match="it ended DIVERGED"):
        example_scores.of_run(run_dir)
