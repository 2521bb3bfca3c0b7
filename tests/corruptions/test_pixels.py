"""Corrupted pixels: equal references, independent of the batch, nested, pinned, never clipped."""

import numpy as np
import pytest
from pixel_kinds import KINDS, NAMES, TEST, TRAIN
from scipy import stats

from rethink_tf.corruptions import pixels, threefry
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import Stream

N, H, W, C = 64, 6, 5, 3
# Identities far apart, the extreme ones included.
INDEX = np.concatenate([np.arange(N - 3) * 7, [2**31 - 1, 2**31, 2**32 - 1]])
IMAGES = np.random.default_rng(0).integers(0, 256, [N, H, W, C], dtype=np.uint8)
MEAN, DEVIATION = np.array([100.0, 120.5, 20.0]), np.array([60.0, 70.25, 80.0])
# Of identities 0, 1 and 2**31; 10 positions (5 values), seed 0 of training, seed 7 of test.
PINNED_PERMUTATIONS = {
    (TRAIN, 0, 1.0): ["5149037286", "1325786904", "3724908516"],
    (TEST, 7, 1.0): ["7683415920", "2459786103", "1482073695"],
    (TRAIN, 0, 0.3): ["0124356789", "0123756489", "2143056789"],
    (TEST, 7, 0.3): ["1923456780", "0421356789", "0183456729"],
}
PINNED_NORMALS = {
    (TRAIN, 0): [
        [0.199641, -0.499286, -1.251476, -0.128963, -1.329634],
        [0.209571, -2.771621, 0.079938, -0.479346, 1.106513],
        [-0.693019, 0.805690, 0.287669, -1.445836, 1.755642],
    ],
    (TEST, 7): [
        [0.240889, -0.293588, -1.573272, 0.265663, -0.093090],
        [-0.210767, 0.811088, -0.845816, -0.872689, 0.718648],
        [0.098141, -1.137584, -0.161112, -1.165753, 1.219324],
    ],
}


def corrupt(images=IMAGES, index=INDEX, function=pixels.corrupt_pixels, **changes):
    kinds = {"seed": 3} | changes
    split = kinds.pop("split", TRAIN)
    moments = Moments(MEAN, DEVIATION)
    return function(images, index, Corruption(**kinds), split=split, moments=moments)


def by_tensorflow(mode, images=IMAGES, index=INDEX, **kinds):
    import tensorflow as tf

    def body(images, index):
        return corrupt(images, index, pixels.corrupt_pixels_tf, **kinds)

    if mode != "eager":
        body = tf.function(body, jit_compile=mode == "xla")
    return body(tf.constant(images), tf.constant(index)).numpy()


def apart(got, expected, case):
    """How far images are from what they should be: in deviations, else how many entries differ."""
    if (got.dtype, got.shape) != (expected.dtype, expected.shape):
        return np.inf
    if case["pixels"] == "gaussian":
        return np.abs((got - expected) / DEVIATION).max()
    return np.sum(got != expected)


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("case", KINDS, ids=NAMES)
def test_the_references_are_equal(case, mode, tensorflow):
    for split, seed in ((TRAIN, 3), (TEST, 2**32 - 1)):
        kinds = case | {"split": split, "seed": seed}
        assert apart(by_tensorflow(mode, **kinds), corrupt(**kinds), case) < 1e-5


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_permutations_and_normals_are_equal_in_tensorflow(mode, tensorflow):
    index = tensorflow.constant(INDEX)

    def both(index):
        kinds = {"split": TEST, "seed": 5}
        fraction = pixels.permutations_tf(index, 35, shuffle_fraction=0.6, **kinds)
        return fraction, pixels.normals_tf(index, 7, **kinds)

    if mode != "eager":
        both = tensorflow.function(both, jit_compile=mode == "xla")
    moved, drawn = (x.numpy() for x in both(index))
    kinds = {"split": TEST, "seed": 5}
    expected = pixels.permutations(INDEX, 35, shuffle_fraction=0.6, **kinds)
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_allclose(drawn, pixels.normals(INDEX, 7, **kinds), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reference", ["numpy", "tensorflow"])
@pytest.mark.parametrize("case", KINDS, ids=NAMES)
def test_an_image_depends_on_its_identity_only(case, reference, tensorflow):
    def run(chosen):
        if reference == "numpy":
            return corrupt(IMAGES[chosen], INDEX[chosen], **case)
        return by_tensorflow("graph", IMAGES[chosen], INDEX[chosen], **case)

    whole = run(slice(None))
    order = np.random.default_rng(1).permutation(N)
    for chosen in (order, order[:5], slice(60, None), slice(7, 8)):
        assert apart(run(chosen), whole[chosen], case) < 1e-5


@pytest.mark.parametrize("case", KINDS[1:], ids=NAMES[1:])
def test_seeds_differ_and_the_splits_do_where_they_should(case):
    first = corrupt(**case)
    assert (first != IMAGES).reshape(N, -1).any(axis=1).mean() > 0.95
    np.testing.assert_array_equal(first, corrupt(**case))
    assert (corrupt(**case, seed=4) != first).reshape(N, -1).any(axis=1).mean() > 0.95
    test = corrupt(**case, split=TEST)
    if case["pixels"] == "shuffled":
        np.testing.assert_array_equal(test, first)  # one permutation for training and test
    else:
        assert (test != first).reshape(N, -1).any(axis=1).mean() > 0.95


@pytest.mark.parametrize("split, seed, fraction", PINNED_PERMUTATIONS)
def test_permutations_are_pinned(split, seed, fraction):
    index = np.array([0, 1, 2**31])
    got = pixels.permutations(index, 10, split=split, seed=seed, shuffle_fraction=fraction)
    assert got.dtype == np.int64
    found = ["".join(map(str, row)) for row in got]
    assert found == PINNED_PERMUTATIONS[split, seed, fraction]


@pytest.mark.parametrize("split, seed", PINNED_NORMALS)
def test_normals_are_pinned(split, seed):
    got = pixels.normals(np.array([0, 1, 2**31]), 5, split=split, seed=seed)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, PINNED_NORMALS[split, seed], rtol=0, atol=1e-5)


def test_shuffled_is_the_permutation_of_training_example_0():
    (order,) = pixels.permutations(np.array([0]), H * W, split=TRAIN, seed=3)
    expected = IMAGES.reshape(N, H * W, C)[:, order].reshape(IMAGES.shape)
    np.testing.assert_array_equal(corrupt(pixels="shuffled", split=TEST), expected)


def test_random_permutes_each_image_by_its_own():
    orders = pixels.permutations(INDEX, H * W, split=TEST, seed=3)
    assert len({tuple(order) for order in orders}) == N
    got = corrupt(pixels="random", split=TEST).reshape(N, H * W, C)
    for image, order, found in zip(IMAGES.reshape(N, H * W, C), orders, got, strict=True):
        np.testing.assert_array_equal(found, image[order])


def test_permutations_are_permutations_and_even():
    many = pixels.permutations(np.arange(5000), 12, split=TRAIN, seed=0)
    np.testing.assert_array_equal(np.sort(many, axis=1), np.broadcast_to(np.arange(12), many.shape))
    # Where each value comes to stand: 12 x 12 cells of 416.7; the chi-squared has 121 degrees.
    counts = np.stack([np.bincount(column, minlength=12) for column in many.T])
    chi2 = ((counts - 5000 / 12) ** 2 / (5000 / 12)).sum()
    assert stats.chi2.sf(chi2, 121) > 1e-6 and stats.chi2.cdf(chi2, 121) > 1e-6


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6, 0.95])
def test_a_share_of_the_positions_is_permuted_and_larger_shares_contain_it(fraction):
    count = 40
    got = pixels.permutations(INDEX, count, split=TRAIN, seed=2, shuffle_fraction=fraction)
    np.testing.assert_array_equal(
        np.sort(got, axis=1), np.broadcast_to(np.arange(count), got.shape)
    )
    # The chosen ones, drawn anew: the first round(f x 40) in the order of their keys.
    high, low = threefry.bits(2, Stream.PIXEL_CHOICE, TRAIN, INDEX[:, None], np.arange(count)[None])
    order = np.argsort(high.astype(np.int64) * 2**30 ^ low.astype(np.int64), axis=1)
    moved = got != np.arange(count)
    for row, places in zip(moved, order, strict=True):
        chosen = set(places[: round(fraction * count)].tolist())
        assert set(np.flatnonzero(row).tolist()) <= chosen  # so of two shares the smaller's too
    # A permutation leaves one of its positions in place on average.
    assert moved.sum(axis=1).mean() == pytest.approx(fraction * count - 1, abs=0.6)


def test_what_is_moved_at_a_third_is_among_what_is_moved_at_two_thirds():
    third, two = (
        pixels.permutations(INDEX, 400, split=TRAIN, seed=2, shuffle_fraction=f) != np.arange(400)
        for f in (0.3, 0.6)
    )
    # But for a position that its larger permutation happens to leave in place: 1 in 240.
    outside = (third & ~two).sum() / third.sum()
    assert outside < 0.015
    assert (two.mean(), third.mean()) == pytest.approx((0.6, 0.3), abs=0.005)


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_the_whole_is_the_share_of_1(kind):
    plain = corrupt(pixels=kind)
    np.testing.assert_array_equal(corrupt(pixels=kind, shuffle_fraction=1.0), plain)
    # All 30 chosen, but through the code for a share.
    np.testing.assert_array_equal(corrupt(pixels=kind, shuffle_fraction=0.999), plain)
    np.testing.assert_array_equal(corrupt(pixels=kind, shuffle_fraction=0.01), IMAGES)


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_the_channels_of_a_position_move_together(kind):
    place = np.arange(H * W, dtype=np.uint8).reshape(1, H, W, 1)
    images = np.broadcast_to(np.concatenate([place, place + 50, place + 100], -1), IMAGES.shape)
    for got in (corrupt(images, pixels=kind), by_tensorflow("graph", images, pixels=kind)):
        assert (got != images).any()
        np.testing.assert_array_equal(got[..., 1], got[..., 0] + 50)
        np.testing.assert_array_equal(got[..., 2], got[..., 0] + 100)


@pytest.mark.parametrize("mix", [1.0, 0.3])
def test_gaussian_is_float_and_never_clipped(mix):
    got = corrupt(pixels="gaussian", pixel_mix=mix, seed=0)
    assert got.dtype == np.float32
    drawn = pixels.normals(INDEX, H * W * C, split=TRAIN, seed=0).reshape(IMAGES.shape)
    expected = (1 - mix) * IMAGES + mix * (MEAN + DEVIATION * drawn.astype(np.float64))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    if mix == 1:
        assert (got < 0).mean() > 0.1 and (got > 255).any()
    assert (got != np.round(got)).mean() > 0.99


def test_normals_are_normal_and_independent():
    drawn = pixels.normals(np.arange(2000), 101, split=TRAIN, seed=1)
    flat = drawn.ravel().astype(np.float64)
    assert len(flat) == 202_000 and np.isfinite(flat).all()
    sigma = 1 / np.sqrt(len(flat))
    assert abs(flat.mean()) < 5 * sigma
    assert abs(flat.var() - 1) < 5 * np.sqrt(2) * sigma
    assert abs((flat**3).mean()) < 5 * np.sqrt(15) * sigma
    assert abs((flat**4).mean() - 3) < 5 * np.sqrt(96) * sigma
    assert stats.kstest(flat, "norm").pvalue > 1e-6
    pairs = drawn[:, :100].reshape(-1, 2)  # cosine and sine of one radius
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 5 / np.sqrt(len(pairs))
    assert abs(np.corrcoef(pairs.T**2)[0, 1]) < 5 / np.sqrt(len(pairs))
    neighbours = np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]
    assert abs(neighbours) < 5 * sigma


def test_fewer_values_are_the_first_ones():
    many = pixels.normals(INDEX, 9, split=TRAIN, seed=1)
    np.testing.assert_array_equal(pixels.normals(INDEX, 4, split=TRAIN, seed=1), many[:, :4])
