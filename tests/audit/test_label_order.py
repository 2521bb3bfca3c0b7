"""What depends on the position, or can be predicted, is found; honest noise never looks like it."""

import math
import os

import numpy as np
import pytest
from label_cases import honest_sets, noisy, true_labels
from scipy import stats

from rethink_tf import audit
from rethink_tf.audit import label_order
from rethink_tf.audit.label_order import changed_by_position, new_labels_by_order
from rethink_tf.audit.label_pairs import Labels

BY_ORDER = {
    "position_dependent",
    "predictable",
    "independent",
    "shifted",
    "permuted",
    "permuted_in_batches",
}


def refused(true, given, options):
    """Whether the audit says of honest labels what they are not."""
    verdict = audit.labels(true, given, **options)
    if "p" in options:
        return str(verdict) if verdict.ok is not True else ""
    return str(verdict) if verdict.kind in BY_ORDER else ""


def test_honest_labels_are_not_refused():
    sets = honest_sets(45, (2, 3, 7, 10, 100), (100, 1000, 5000), seed=1)
    assert {name: r for name, *honest in sets if (r := refused(*honest))} == {}


@pytest.mark.skipif("SLOW_TESTS" not in os.environ, reason="minutes; set SLOW_TESTS=1")
def test_three_hundred_honest_sets_of_up_to_1_300_000_labels_are_not_refused():
    classes = (2, 3, 5, 7, 10, 20, 43, 100, 257, 1000)
    sizes = (100, 300, 1000, 3000, 10_000, 50_000, 200_000, 1_300_000)
    sets = honest_sets(300, classes, sizes)
    assert {name: r for name, *honest in sets if (r := refused(*honest))} == {}


# Dishonest noise: whether, from (places, generator); K = 10 and p = 0.5 over the whole.


def second_half(i, rng):
    return i >= len(i) // 2


def every_second(i, rng):
    return i % 2 == 1


def alternate_blocks(i, rng):
    return i // 100 % 2 == 0


def blocks_at_random(i, rng):
    return (rng.random(len(i)) < 0.5)[i // 64]


def period_that_is_no_whole_number(i, rng):
    return i % 37.4 < 18.7


def more_and_more(i, rng):
    return rng.random(len(i)) < i / len(i)


PLACES = [
    second_half,
    every_second,
    alternate_blocks,
    blocks_at_random,
    period_that_is_no_whole_number,
    more_and_more,
]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("n, k", [(1000, 2), (1000, 10), (20_000, 100)])
def test_noise_that_depends_on_the_position_is_refused(where, n, k):
    for seed in range(3):
        rng, true = np.random.default_rng([seed, 1]), true_labels(n, k, seed)
        given = np.where(where(np.arange(n), rng), rng.integers(0, k, n), true)
        verdict = audit.labels(true, given, num_classes=k)
        assert verdict.kind == "position_dependent", str(verdict)
        asked = audit.labels(true, given, num_classes=k, p=0.5)
        assert asked.ok is False and "depending on the position" in asked.message
        failed = {check.name for check in asked.checks if check.passed is False}
        assert "changed_by_position" in failed


def test_small_classes_are_looked_at_together_where_one_rate_is_asked_for():
    n, k = 120, 2000
    rng, true = np.random.default_rng(9), true_labels(n, k)
    given = np.where(np.arange(n) >= n // 2, rng.integers(0, k, n), true)
    case = Labels(true, given, k)
    assert changed_by_position(case).passed is not False
    check = changed_by_position(case, pooled=True)
    assert check.passed is False and "over all classes together" in check.detail
    assert audit.labels(true, given, num_classes=k, p=0.5).ok is False


@pytest.mark.parametrize("n, k", [(20_000, 10), (3000, 1000)])
def test_sorted_data_with_a_rate_for_each_class_do_not_look_position_dependent(n, k):
    for seed in range(5):
        rng, true = np.random.default_rng([seed, 1]), np.sort(true_labels(n, k, seed))
        given = np.where(rng.random(n) < rng.random(k)[true], rng.integers(0, k, n), true)
        verdict = audit.labels(true, given, num_classes=k)
        assert verdict.kind in ("class_dependent", "uniform", "unclear"), str(verdict)
        assert changed_by_position(Labels(true, given, k)).passed is not False
        assert new_labels_by_order(Labels(true, given, k)).passed is not False


def test_the_order_of_the_index_counts_where_it_is_known():
    rng, true = np.random.default_rng(9), true_labels(5000, 10)
    given = np.where(np.arange(5000) % 2, rng.integers(0, 10, 5000), true)
    mixed = rng.permutation(5000)
    assert audit.labels(true[mixed], given[mixed]).kind == "uniform"
    verdict = audit.labels(true[mixed], given[mixed], index=mixed)
    assert verdict.kind == "position_dependent" and "in order of index" in verdict.message
    # The place is the identity itself: of a part of the set the remainders are still seen.
    part = np.sort(mixed[:1000])
    assert audit.labels(true[part], given[part]).kind == "uniform"
    assert "every 2nd" in audit.labels(true[part], given[part], index=part).message
    # Rows may be sorted by anything, where they say which examples they are.
    honest = noisy(true, 0.5, 10)
    changed_first = np.argsort(honest == true, kind="stable")
    rows = true[changed_first], honest[changed_first]
    assert audit.labels(*rows, index=changed_first).kind == "uniform"
    assert audit.labels(*rows).kind == "position_dependent"


# Dishonest new labels: from (number of changed label, place, true label, K, generator).


def in_turn(m, i, t, k, rng):
    return m % k


def three_on(m, i, t, k, rng):
    return 3 * m % k


def by_place(m, i, t, k, rng):
    return i % k


def other_classes_in_turn(m, i, t, k, rng):
    return (t + 1 + m % (k - 1)) % k


def in_turn_within_each_class(m, i, t, k, rng):
    order = np.argsort(t, kind="stable")
    rank = np.empty_like(m)
    rank[order] = m - np.searchsorted(t[order], t[order])
    return rank % k


def by_a_map_of_the_one_before(m, i, t, k, rng):
    to, made = rng.permutation(k), np.zeros(len(m), int)
    for j in range(1, len(m)):
        made[j] = to[made[j - 1]] if rng.random() < 0.8 else rng.integers(k)
    return made


def low_first(m, i, t, k, rng):
    return np.where(
        i < i.max() // 2, rng.integers(0, k // 2, len(m)), rng.integers(k // 2, k, len(m))
    )


LABELS = [
    in_turn,
    three_on,
    by_place,
    other_classes_in_turn,
    in_turn_within_each_class,
    by_a_map_of_the_one_before,
    low_first,
]


@pytest.mark.parametrize("rule", LABELS)
@pytest.mark.parametrize("n, k", [(4000, 10), (20_000, 100)])
def test_new_labels_that_can_be_predicted_are_refused(rule, n, k):
    for seed in range(3):
        rng, given = np.random.default_rng([seed, 1]), true_labels(n, k, seed)
        true, i = given.copy(), np.flatnonzero(rng.random(n) < 0.5)
        given[i] = rule(np.arange(len(i)), i, true[i], k, rng)
        asked = audit.labels(true, given, num_classes=k, p=0.5)
        assert asked.ok is False, str(asked)
        failed = {check.name for check in asked.checks if check.passed is False}
        assert "new_labels_by_order" in failed or rule is other_classes_in_turn
        assert audit.labels(true, given, num_classes=k).kind == "predictable", str(asked)


def test_few_labels_of_many_classes_in_turn_are_refused_by_the_exact_law():
    n, k = 3000, 1000
    true = true_labels(n, k)
    given = np.arange(n) % k
    few = Labels(true[:900], given[:900], k)
    assert new_labels_by_order(few).passed is None  # about one of each class: none to exchange
    assert new_labels_by_order(few, even=True).passed is False
    check = new_labels_by_order(Labels(true, given, k), even=True)
    assert check.passed is False and "predicted from" in check.detail
    assert audit.labels(true, given, num_classes=k, p=1.0).ok is False


# The laws.


def test_intervals_have_chernoffs_bound():
    n = 64
    changed = (np.arange(n) >= 32).astype(float)
    test = label_order._intervals(changed, np.full(n, 0.5))
    # Halves, quarters of 64, each also moved by half: 3 and 7 sets, two sides each.
    assert test.log_p == pytest.approx(math.log(2 * 10) - 32 * math.log(2))
    exact = 2 / math.comb(64, 32)
    assert exact < math.exp(-32 * math.log(2)) * 2


def test_bounds_are_above_what_honest_labels_reach():
    """No bound may be below the truth: the share of honest sets beyond p is at most p."""
    rng = np.random.default_rng(0)
    true, count, reached = np.repeat(np.arange(4), 50), 400, []
    for _ in range(count):
        given = np.where(rng.random(200) < 0.4, rng.integers(0, 4, 200), true)
        case = Labels(true, given, 4)
        size, moved = case.table.sum(axis=1), case.flows.sum(axis=1)
        rate = (moved / size)[true]
        half = np.arange(200) % 2 == 0
        found = half.sum(), case.changed[half].sum(), rate[half].sum()
        total = 200, case.changed.sum(), rate.sum()
        reached.append(math.exp(-float(label_order._evidence(*found, total))))
    for p in (0.5, 0.2, 0.1, 0.05):
        assert np.mean(np.array(reached) / 2 <= p / 2) <= 2 * p
    assert min(reached) < 0.5


def test_the_law_of_predicted_labels_is_an_exact_binomial_where_they_are_even():
    k = 30
    clue = label_order._Clue("x", np.zeros(0, int), np.zeros(0, bool))
    true, target, told = np.zeros(50, int), np.arange(50) % 29 + 1, np.arange(50) % 30
    test = label_order._matches(clue, target, told, true, k, even=True)
    met, possible = int((told == target).sum()), int((told != 0).sum())
    assert test.log_p == pytest.approx(stats.binom.logsf(met - 1, possible, 1 / 29))
    spread = label_order._matches(clue, target, target, true, k, even=False)
    expected = sum(c * c for c in np.bincount(target).tolist()) / 50
    over = 50 - expected
    assert spread.log_p == pytest.approx(math.log(2) - over**2 / (4 * expected + 2 * over))


@pytest.mark.parametrize("n", [1, 2, 15, 40])
def test_too_few_labels_are_not_testable(n):
    true = np.arange(n) % 3
    given = np.where(np.arange(n) % 2, (true + 1) % 3, true)
    case = Labels(true, given, 3)
    assert changed_by_position(case).passed is None
    assert new_labels_by_order(case).passed is None
    assert "too few to tell" in changed_by_position(case).detail


def test_two_classes_have_no_new_labels_to_foretell():
    case = Labels(np.zeros(500, int), np.arange(500) % 2, 2)
    assert "but one other" in new_labels_by_order(case).detail


# Labels in another order.


def as_people_label(true, k, rng):
    """Wrong in 20%, most often as the class that looks alike: unevenly."""
    alike = np.roll(np.arange(k), 3)
    alike[: k // 2] = 1
    wrong = np.where(rng.random(len(true)) < 0.7, alike[true], rng.integers(0, k, len(true)))
    return np.where(rng.random(len(true)) < 0.2, wrong, true)


@pytest.mark.parametrize("n, k", [(5000, 10), (50_000, 10), (50_000, 100), (20_000, 3)])
def test_labels_in_another_order_are_named(n, k):
    for seed in range(3):
        rng, true = np.random.default_rng([seed, 1]), true_labels(n, k, seed)
        given = as_people_label(true, k, rng)
        assert audit.labels(true, given, num_classes=k).kind == "asymmetric"
        verdict = audit.labels(true, rng.permutation(given), num_classes=k, p=0.2)
        assert verdict.kind == "independent" and verdict.ok is False, str(verdict)
        assert "true labels: another order?" in verdict.message


def test_noise_in_another_order_looks_uniform_at_one_and_is_hinted_at():
    true = true_labels(50_000, 10)
    given = np.random.default_rng(0).permutation(noisy(true, 0.5, 10))
    verdict = audit.labels(true, given, p=0.5)
    assert verdict.ok is False
    assert "true labels: another order?" in verdict.message
    honest = audit.labels(true, noisy(true, 1.0, 10), p=1.0)
    assert honest.ok is True and "another order" not in honest.message
