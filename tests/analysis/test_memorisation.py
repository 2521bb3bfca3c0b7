"""Memorisation scores are what counting by hand gives; two halves of the networks agree or not."""

import numpy as np
import pytest

from rethink_tf.analysis import memorisation


def drawn(networks=60, examples=40, tests=30, seed=0):
    rng = np.random.default_rng(seed)
    trained = rng.random((networks, examples)) < 0.7
    right = rng.random((networks, examples)) < 0.3 + 0.6 * trained
    return trained, right, rng.random((networks, tests)) < 0.5


def test_scores_are_differences_of_two_shares():
    trained, right, _ = drawn()
    found = memorisation.scores(trained, right)
    for i in range(40):
        inside, outside = right[trained[:, i], i], right[~trained[:, i], i]
        assert found.inside[i] == pytest.approx(inside.mean())
        assert found.outside[i] == pytest.approx(outside.mean())
        assert found.score[i] == pytest.approx(inside.mean() - outside.mean())
        variance = inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside)
        assert found.standard_error[i] == pytest.approx(np.sqrt(variance))
        assert found.networks[i] == len(inside)


def test_an_example_of_every_network_has_no_score():
    trained, right, _ = drawn()
    trained[:, 3], trained[:, 4], trained[1:, 5] = True, False, True
    trained[0, 5] = False
    found = memorisation.scores(trained, right)
    assert np.isnan(found.score[[3, 4]]).all() and np.isfinite(found.score[5])
    assert np.isnan(found.standard_error[5]), "one network tells no variance"
    noisy = np.arange(40) < 3
    said = memorisation.summary(found, trained, right, noisy, 0.25)
    assert said["without_score"] == 2
    has = np.isfinite(found.score)
    assert said["score"]["noisy"] == pytest.approx(found.score[:3].mean())
    assert said["score"]["clean"] == pytest.approx(found.score[3:][has[3:]].mean())
    assert said["memorised"]["all"] == pytest.approx(np.mean(found.score[has] >= 0.25))
    assert (
        memorisation.summary(found, trained, right, noisy & False, 0.25)["score"]["noisy"] is None
    )


@pytest.mark.parametrize("block", [7, 1000])
def test_influence_pairs_are_differences_of_two_shares(monkeypatch, block):
    monkeypatch.setattr(memorisation, "_BLOCK", block)
    trained, right, on_test = drawn()
    on_test[:, 8] = trained[:, 5]  # right if and only if trained on example 5
    score = memorisation.scores(trained, right).score
    found = memorisation.influence_pairs(
        trained, on_test, score, least_score=0.4, least_influence=0.1
    )
    expected = {}
    for i in np.flatnonzero(score >= 0.4):
        for j in range(30):
            inside, outside = on_test[trained[:, i], j], on_test[~trained[:, i], j]
            if inside.mean() - outside.mean() >= 0.1:
                variance = inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside)
                expected[i, j] = inside.mean() - outside.mean(), np.sqrt(variance)
    pairs = list(zip(found["train"].tolist(), found["test"].tolist(), strict=True))
    assert set(pairs) == set(expected) and int(found["pairs"]) == len(expected) > 20
    for pair, *values in zip(pairs, found["influence"], found["standard_error"], strict=True):
        np.testing.assert_allclose(values, expected[pair], atol=1e-6)
    assert pairs[0] == (5, 8) and (np.diff(found["influence"]) <= 0).all()


def test_only_the_largest_influences_are_kept(monkeypatch):
    monkeypatch.setattr(memorisation, "MOST_PAIRS", 3)
    trained, right, on_test = drawn()
    score = memorisation.scores(trained, right).score
    found = memorisation.influence_pairs(trained, on_test, score)
    assert len(found["train"]) == 3 < int(found["pairs"])


def test_halves_agree_where_examples_differ_and_not_where_all_is_chance():
    rng = np.random.default_rng(1)
    trained = rng.random((200, 300)) < 0.5
    memorised = np.arange(300) < 150
    found = memorisation.reliability(trained, np.where(memorised, trained, True))
    assert found["halves"] == pytest.approx(1) and found["all"] == pytest.approx(1)
    assert found["mean_difference"] == 0
    found = memorisation.reliability(trained, rng.random((200, 300)) < 0.5)
    assert abs(found["halves"]) < 0.25
    first, second = (
        memorisation.scores(trained[half::2], np.where(memorised, trained, True)[half::2]).score
        for half in (0, 1)
    )
    np.testing.assert_array_equal(first, memorised)
    np.testing.assert_array_equal(second, memorised)
    nothing = memorisation.reliability(trained, np.ones((200, 300), bool))
    assert nothing == {"halves": None, "all": None, "mean_difference": None}
