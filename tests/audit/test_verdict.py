"""The stand-alone audit names planted defects, and honest noise for what it is."""

import html
import re

import numpy as np
import pytest
from label_cases import noisy, true_labels

from rethink_tf import audit
from rethink_tf.audit import verdict as label_audit

SIZES = [(2000, 10), (50_000, 10), (5000, 100)]


def test_a_notebook_shows_the_verdict_as_it_is_printed():
    verdict = audit.labels([0, 1, 2, 1], [0, 2, 2, 1])
    assert html.unescape(verdict._repr_html_()) == f"<pre>{verdict}</pre>"


def renamed(true, k, rng):
    return np.roll(np.arange(k), int(rng.integers(2, k - 1)))[true]


def in_batches(true, rng, size=128):
    starts = range(0, len(true), size)
    return np.concatenate([rng.permutation(true[i : i + size]) for i in starts])


def one_dropped(true, rng):
    place = int(rng.integers(len(true) // 2))
    return np.append(np.delete(true, place), 0)


def asymmetric(true, k, rng):
    to = np.arange(k)
    to[[9, 2, 4, 3, 5]] = 1, 0, 7, 5, 3  # the usual one of CIFAR-10
    return np.where(rng.random(len(true)) < 0.4, to[true], true)


PLANTED = [
    # kind, a word its sentence must have, given labels from (true, K, generator, seed)
    ("untouched", "untouched", lambda t, k, r, s: t.copy()),
    ("renamed", "renamed", lambda t, k, r, s: renamed(t, k, r)),
    (
        "renamed",
        "share of 0.",
        lambda t, k, r, s: np.where(r.random(len(t)) < 0.4, renamed(t, k, r), t),
    ),
    ("permuted", "every class count is kept", lambda t, k, r, s: r.permutation(t)),
    ("permuted", "sorted", lambda t, k, r, s: np.sort(t)),
    ("permuted_in_batches", "batches of 128", lambda t, k, r, s: in_batches(t, r)),
    ("permuted_in_batches", "batches of 50", lambda t, k, r, s: in_batches(t, r, 50)),
    (
        "exclude_true",
        "excluded at p about 1.00",
        lambda t, k, r, s: noisy(t, 1.0, k, s, "exclude_true"),
    ),
    ("pair_flip", "p about 1.00", lambda t, k, r, s: noisy(t, 1.0, k, s, "pair_flip")),
    ("pair_flip", "p about 0.", lambda t, k, r, s: noisy(t, 0.3, k, s, "pair_flip")),
    ("shifted", "1 position before", lambda t, k, r, s: np.roll(t, 1)),
    ("shifted", "64 positions after", lambda t, k, r, s: np.roll(t, -64)),
    ("shifted", "from position", lambda t, k, r, s: one_dropped(t, r)),
    ("shifted", "1 position before", lambda t, k, r, s: noisy(np.roll(t, 1), 0.5, k, s)),
    ("constant", "class 3", lambda t, k, r, s: np.full_like(t, 3)),
    ("asymmetric", "9 -> 1", lambda t, k, r, s: asymmetric(t, k, r)),
    ("asymmetric", "merges", lambda t, k, r, s: t // 2),
    (
        "class_dependent",
        "rates from",
        lambda t, k, r, s: np.where(t < k // 2, noisy(t, 0.8, k, s), noisy(t, 0.2, k, s)),
    ),
    ("uniform", "true class included", lambda t, k, r, s: noisy(t, 0.1, k, s)),
    ("uniform", "true class included", lambda t, k, r, s: noisy(t, 0.5, k, s)),
    ("uniform", "the same distribution is", lambda t, k, r, s: noisy(t, 1.0, k, s)),
]


# Seeds of quick tests, and those that follow where slow tests run: (of 50,000 labels, of others).
SEEDS = [
    (range(2), range(6)),
    pytest.param((range(2, 4), range(6, 14)), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("seeds", SEEDS, ids=["few", "many"])
@pytest.mark.parametrize("n, k", SIZES)
@pytest.mark.parametrize("kind, word, plant", PLANTED)
def test_planted_labels_are_named_whatever_the_seed(kind, word, plant, n, k, seeds):
    for seed in seeds[n < 50_000]:
        rng, true = np.random.default_rng([seed, n]), true_labels(n, k, seed)
        verdict = audit.labels(true, plant(true, k, rng, seed), num_classes=k)
        assert verdict.kind == kind, verdict.message
        assert word in verdict.message
        assert verdict.kind in label_audit.KINDS and verdict.ok is None
        if kind != "uniform":
            asked = audit.labels(true, plant(true, k, rng, seed), num_classes=k, p=1.0)
            assert asked.ok is False and "p = 1.00" in asked.message


def test_redrawn_labels_are_named_and_the_first_pass_described():
    true = true_labels(50_000, 10)
    verdict = audit.labels(true, noisy(true, 0.5, 10), again=noisy(true, 0.5, 10, seed=1), p=0.5)
    assert verdict.kind == "redrawn" and verdict.ok is False
    assert "uniform at p about 0.50" in verdict.message
    assert verdict.figures["differ_fraction"] == pytest.approx(0.675, abs=0.02)
    same = audit.labels(true, noisy(true, 0.5, 10), again=noisy(true, 0.5, 10), p=0.5)
    assert same.kind == "uniform" and same.ok is True
    order = np.random.default_rng(0).permutation(50_000)
    assert "only their order differs" in audit.labels(true, true, again=true[order]).message


def test_uniform_noise_is_estimated_and_judged():
    true = true_labels(50_000, 10)
    given = noisy(true, 0.5, 10)
    verdict = audit.labels(true, given, p=0.5)
    assert verdict.ok is True and verdict.kind == "uniform"
    assert verdict.figures["p_low"] < 0.5 < verdict.figures["p_high"]
    assert verdict.figures["changed"] == int((given != true).sum())
    assert str(verdict).startswith("uniform - as asked for\nAs asked for, ")
    refused = audit.labels(true, given, p=0.9)
    assert refused.ok is False and "= 0.90, but" in refused.message


@pytest.mark.parametrize("seeds", SEEDS, ids=["few", "many"])
def test_no_honest_noise_is_refused(seeds):
    for seed in seeds[1]:
        for n, k in [(2000, 10), (5000, 100), (3000, 2), (40, 10)]:
            for noise in ("uniform", "exclude_true", "pair_flip"):
                for p in (0.0, 0.3, 0.9, 1.0):
                    true = true_labels(n, k, seed)
                    given = noisy(true, p, k, seed, noise)
                    verdict = audit.labels(true, given, p=p, noise=noise, num_classes=k)
                    assert verdict.ok is True, (n, k, noise, p, str(verdict))


def test_excluding_the_true_class_is_uniform_noise_by_another_name():
    true = true_labels(50_000, 10)
    given = noisy(true, 1.0, 10)
    assert "excluded at p about 0.90" in audit.labels(true, given).message
    verdict = audit.labels(true, given, p=0.9, noise="exclude_true")
    assert verdict.kind == "exclude_true" and verdict.ok is True
    assert "uniform at p about 1.00" in verdict.message


@pytest.mark.parametrize("n", [40, 5000])
def test_all_figures_are_of_the_rule_that_was_asked_for(n):
    true = true_labels(n, 10)
    given = noisy(true, 0.5, 10, noise="exclude_true")
    figures = audit.labels(true, given, p=0.5, noise="exclude_true", num_classes=10).figures
    assert figures["p_estimate"] == figures["changed_fraction"]
    assert figures["p_low"] < figures["p_estimate"] < figures["p_high"]
    assert figures["p_estimate"] < figures["uniform_p"] and "exclude_true_p" not in figures


def test_too_few_labels_are_not_called_as_asked_for():
    true = true_labels(20, 10)
    verdict = audit.labels(true, noisy(true, 0.5, 10), p=0.5, num_classes=10)
    assert verdict.kind == "unclear" and verdict.ok is True and verdict.undecided
    assert "few labels to tell" in str(verdict) and "as asked for" not in str(verdict)
    assert audit.labels(true, true, p=0.1, num_classes=10).undecided  # chance may change none
    many = true_labels(5000, 10)
    assert not audit.labels(many, noisy(many, 0.5, 10), p=0.5).undecided
    assert not audit.labels(true, true, p=0.0).undecided
    assert not audit.labels(true, true, p=1.0).undecided  # which is not what was asked for


@pytest.mark.parametrize(
    "given, hint",
    [
        (lambda t: t, "never reached the labels"),
        (lambda t: noisy(t, 0.5, 10, 0, "exclude_true"), "at the same p"),
        (lambda t: noisy(t, 1 - np.exp(-0.5), 10), "drawn with replacement"),
        (lambda t: noisy(noisy(t, 0.5, 10), 0.5, 10, 1), "applied twice"),
    ],
)
def test_a_known_mistake_is_suggested(given, hint):
    true = true_labels(50_000, 10)
    verdict = audit.labels(true, given(true), p=0.5)
    assert verdict.ok is False and re.search(hint, verdict.message)


def test_numbers_counted_from_one_are_renamed():
    true = true_labels(2000, 10)
    assert "greater by one" in audit.labels(true, true + 1).message


def test_batches_and_shifts_are_found_in_the_order_of_the_index():
    rng, true = np.random.default_rng(3), true_labels(5000, 10)
    order = rng.permutation(5000)
    for given, kind in (
        (in_batches(true, rng), "permuted_in_batches"),
        (np.roll(true, 2), "shifted"),
    ):
        assert audit.labels(true[order], given[order]).kind == "permuted"
        verdict = audit.labels(true[order], given[order], index=order)
        assert verdict.kind == kind and "in order of index" in verdict.message


@pytest.mark.filterwarnings("error")
def test_few_labels_and_two_classes_never_crash():
    rng, seen = np.random.default_rng(0), set()
    for trial in range(600):
        n, k = rng.integers(1, 12), rng.integers(1, 5)
        noise = ("uniform", "exclude_true", "pair_flip")[trial % 3]
        true, given = rng.integers(0, k, (2, n))
        p = (0, 0.5, 1)[trial // 3 % 3]
        seen.add(audit.labels(true, given, p=p, noise=noise, index=rng.permutation(n)).kind)
    assert seen <= {"untouched", "unclear"}
    true = true_labels(3000, 2)
    assert audit.labels(true, 1 - true).kind == "renamed"
    assert "permutation cannot be told" in audit.labels(true, noisy(true, 1.0, 2)).message
    assert audit.labels(true, in_batches(true, rng)).kind == "permuted_in_batches"
