"""Label corruption: both bodies equal, nested in p, the paper's definition, any batching."""

import numpy as np
import pytest

from rethink_tf.corruptions import labels as corruptions

K = 10
N = 20_000
INDEX = np.arange(N, dtype=np.int64)
TRUE = (INDEX % K).astype(np.int32)
# The first 20 labels for seed 0 and true labels 0, 1, ... 9, 0, 1, ... 9.
PINNED = {
    ("uniform", 0.5): [4, 2, 3, 3, 4, 8, 6, 5, 8, 9, 0, 0, 2, 3, 4, 5, 5, 7, 8, 9],
    ("uniform", 1.0): [4, 2, 3, 5, 7, 8, 5, 5, 1, 8, 9, 0, 3, 6, 4, 2, 5, 2, 9, 9],
    ("exclude_true", 0.5): [4, 4, 6, 3, 4, 4, 6, 2, 8, 9, 0, 2, 2, 3, 9, 5, 2, 7, 8, 9],
    ("exclude_true", 1.0): [4, 4, 6, 9, 1, 4, 1, 2, 0, 7, 9, 2, 5, 9, 9, 8, 2, 0, 7, 8],
    ("pair_flip", 0.5): [1, 2, 3, 3, 4, 6, 6, 8, 8, 9, 0, 2, 2, 3, 5, 5, 7, 7, 8, 9],
    ("pair_flip", 1.0): [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0],
}


def corrupt(labels=TRUE, index=INDEX, **changes):
    kinds = {"corrupt": 0.5, "num_classes": K, "seed": 0} | changes
    return corruptions.corrupt_labels(labels, index, **kinds)


def test_the_paper_s_noise_comes_first():
    assert corruptions.LABEL_NOISE == ("uniform", "exclude_true", "pair_flip")


@pytest.mark.parametrize("noise, probability", PINNED)
def test_given_labels_are_pinned(noise, probability):
    given = corrupt(TRUE[:20], INDEX[:20], corrupt=probability, label_noise=noise)
    assert given.dtype == np.int32
    assert given.tolist() == PINNED[noise, probability]


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
def test_references_are_equal_bit_for_bit(noise, mode):
    import tensorflow as tf

    # Probabilities whose thresholds are odd, extreme seeds, identities far apart.
    index = np.concatenate([INDEX[:3000], [2**31 - 1, 2**31, 2**32 - 1]])
    true = (index % 7).astype(np.int32)
    for seed, probability in ((0, 1 / 3), (2**32 - 1, 1.0)):
        kinds = {"corrupt": probability, "num_classes": 7, "seed": seed, "label_noise": noise}

        def draw(labels, index, kinds=kinds):
            return corruptions.corrupt_labels_tf(labels, index, **kinds)

        if mode != "eager":
            draw = tf.function(draw, jit_compile=mode == "xla")
        got = draw(tf.constant(true), tf.constant(index)).numpy()
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, corrupt(true, index, **kinds))


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
def test_corruption_is_nested_in_the_probability(noise):
    always = corrupt(corrupt=1.0, label_noise=noise)
    replaced = np.zeros(N, bool)
    for probability in (0.0, 0.1, 0.5, 0.9, 1.0):
        given = corrupt(corrupt=probability, label_noise=noise)
        # Wherever a label was changed at a smaller p it is changed now, to the same value.
        np.testing.assert_array_equal(given[replaced], always[replaced])
        np.testing.assert_array_equal(given[given != TRUE], always[given != TRUE])
        assert (given != TRUE).sum() >= replaced.sum()
        replaced = given != TRUE
    assert replaced.mean() > 0.89


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9, 1.0])
def test_the_changed_fraction_is_the_expected_one(noise, probability):
    expected = {"uniform": 0.9 * probability}.get(noise, probability)
    assert corruptions.expected_changed(probability, K, noise) == pytest.approx(expected)
    changed = (corrupt(corrupt=probability, label_noise=noise) != TRUE).mean()
    # Five standard deviations of a binomial.
    assert abs(changed - expected) <= 5 * np.sqrt(expected * (1 - expected) / N) + 1e-12


def test_expected_changed_knows_the_number_of_classes():
    assert corruptions.expected_changed(1.0, 2) == 0.5
    assert corruptions.expected_changed(0.5, 1000) == pytest.approx(0.4995)
    assert corruptions.expected_changed(0.0, 10) == 0


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
def test_probability_zero_changes_nothing(noise):
    np.testing.assert_array_equal(corrupt(corrupt=0.0, label_noise=noise), TRUE)


def test_probability_one_draws_every_class_for_every_true_class_evenly():
    given = corrupt(corrupt=1.0)
    cells = np.bincount(TRUE * K + given, minlength=K * K)
    # Expected 200 in each of 100 cells, the diagonal included; 99 - 9 degrees of freedom.
    chi_squared = ((cells - N / K**2) ** 2 / (N / K**2)).sum()
    assert 45 < chi_squared < 150
    assert abs((given == TRUE).mean() - 0.1) < 5 * np.sqrt(0.09 / N)


def test_exclude_true_never_gives_the_true_class_and_is_even_over_the_others():
    given = corrupt(corrupt=1.0, label_noise="exclude_true")
    steps = np.bincount((given - TRUE) % K, minlength=K)
    assert steps[0] == 0
    assert np.abs(steps[1:] - N / 9).max() < 5 * np.sqrt(N / 9)


def test_pair_flip_gives_the_next_class_only():
    given = corrupt(corrupt=0.4, label_noise="pair_flip")
    assert set(np.unique((given - TRUE) % K)) == {0, 1}
    np.testing.assert_array_equal(corrupt(corrupt=1.0, label_noise="pair_flip"), (TRUE + 1) % K)


@pytest.mark.parametrize("noise", ["exclude_true", "pair_flip"])
def test_two_classes_are_exchanged_when_the_true_one_is_excluded(noise):
    true = TRUE % 2
    given = corrupt(true, corrupt=1.0, num_classes=2, label_noise=noise)
    np.testing.assert_array_equal(given, 1 - true)


def test_a_label_depends_on_its_identity_not_on_order_or_batch():
    whole = corrupt()
    shuffled = np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(corrupt(TRUE[shuffled], INDEX[shuffled]), whole[shuffled])
    np.testing.assert_array_equal(corrupt(TRUE[777:778], INDEX[777:778]), whole[777:778])
    moved = corrupt(TRUE, INDEX + K)  # other identities, same true labels: other draws
    assert (moved != whole).mean() > 0.4


def test_seeds_give_independent_labels():
    first, second = (corrupt(corrupt=1.0, seed=seed) for seed in (0, 1))
    assert abs((first == second).mean() - 0.1) < 5 * np.sqrt(0.09 / N)


def test_whether_and_by_what_are_independent():
    # Among the labels replaced at p = 0.1, classes are as even as among all.
    replaced = corrupt(TRUE * 0 + 3, corrupt=0.1)
    counts = np.bincount(replaced, minlength=K)[[0, 1, 2, 4, 5, 6, 7, 8, 9]]
    assert np.abs(counts - N / 100).max() < 5 * np.sqrt(N / 100)


# Class-dependent noise. Row 1 has classes of probability 0 at both ends, row 2 is certain.
MATRIX = np.array(
    [
        [0.7, 0.1, 0.1, 0.1, 0.0],
        [0.0, 0.25, 0.5, 0.25, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [1 / 3, 0.0, 1 / 3, 0.0, 1 / 3],
    ]
)


# The first 20 labels for seed 0 and true labels 0, 1, ... 4, 0, 1, ... 4.
PINNED_MATRIX = [0, 1, 4, 2, 4, 2, 2, 4, 0, 4, 3, 1, 4, 3, 2, 0, 2, 4, 4, 4]


def of_matrix(index=INDEX, **changes):
    kinds = {"corrupt": 1.0, "num_classes": 5, "matrix": MATRIX, "label_noise": "m.csv"}
    return corrupt(index % 5, index, **(kinds | changes))


def test_labels_of_a_matrix_are_pinned():
    assert of_matrix(INDEX[:20]).tolist() == PINNED_MATRIX


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_labels_of_a_matrix_are_drawn_from_the_row_of_the_true_class(seed):
    true, given = INDEX % 5, of_matrix(seed=seed)
    table = np.bincount(true * 5 + given, minlength=25).reshape(5, 5)
    assert (table[MATRIX == 0] == 0).all() and table[2, 4] == N / 5
    expected, cells = MATRIX * N / 5, (MATRIX > 0) & (MATRIX < 1)
    # 3 + 2 + 4 + 2 degrees of freedom.
    chi_squared = ((table - expected)[cells] ** 2 / expected[cells]).sum()
    assert 1 < chi_squared < 40


def of_the_matrix(probability, seed):
    """The TensorFlow body of one draw, its settings fixed as the pipeline's map has them."""

    def draw(labels, index):
        return corruptions.corrupt_labels_tf(
            labels, index, corrupt=probability, num_classes=5, seed=seed, matrix=MATRIX
        )

    return draw


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_references_of_a_matrix_are_equal_bit_for_bit(mode):
    import tensorflow as tf

    index = np.concatenate([INDEX[:5000], [2**31 - 1, 2**31, 2**32 - 1]])
    true = (index % 5).astype(np.int32)
    for seed, probability in ((0, 1 / 3), (2**32 - 1, 1.0)):
        kinds = {"corrupt": probability, "num_classes": 5, "seed": seed, "matrix": MATRIX}
        draw = of_the_matrix(probability, seed)

        if mode != "eager":
            draw = tf.function(draw, jit_compile=mode == "xla")
        got = draw(tf.constant(true), tf.constant(index)).numpy()
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, corrupt(true, index, **kinds))


def test_labels_of_a_matrix_are_nested_in_the_probability_and_share_the_words():
    always, half = of_matrix(), of_matrix(corrupt=0.5)
    np.testing.assert_array_equal(half[half != INDEX % 5], always[half != INDEX % 5])
    assert 0.2 < (half != INDEX % 5).mean() < (always != INDEX % 5).mean()
    even = np.full([5, 5], 0.2)
    np.testing.assert_array_equal(
        of_matrix(matrix=even), corrupt(INDEX % 5, corrupt=1.0, num_classes=5)
    )
    np.testing.assert_array_equal(of_matrix(matrix=np.eye(5)), INDEX % 5)


def test_bounds_are_exact_at_both_ends():
    bounds = corruptions.matrix_bounds(MATRIX)
    assert bounds.shape == (5, 4) and (np.diff(bounds, axis=1) >= 0).all()
    assert bounds[0, 3] == 2**32 and bounds[1, 0] == 0 and (bounds[2] == 0).all()
    assert corruptions.matrix_bounds(MATRIX * (1 + 5e-7))[0, 3] == 2**32


def test_an_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="expected one of uniform, .* received 'salt'"):
        corrupt(label_noise="salt")
