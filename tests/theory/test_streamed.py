"""A streamed Gram equals that of all features at once, and goes on where it was left."""

import numpy as np
import pytest

from rethink_tf.theory.kernels import minimum_norm, random_conv, streamed
from rethink_tf.theory.kernels.gram import Kernel
from rethink_tf.theory.kernels.random_conv import Layout

LAYOUT = Layout(patch=4, cells=2, bias=0.5)


@pytest.fixture
def images(monkeypatch):
    monkeypatch.setattr(streamed, "FILTERS_AT_ONCE", 8)
    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (n, 10, 10, 1), dtype=np.uint8) for n in (50, 20)]


def all_at_once(images, filters):
    """Standardised features of all filters: training and test, float64."""
    white = random_conv.whitening(images[0], LAYOUT, 5)
    weights = random_conv.filters(images[0], LAYOUT, white, 0, filters, 5)
    train, test = (random_conv.on_host(x, weights, LAYOUT).astype(np.float64) for x in images)
    mean, std = train.mean(axis=0), train.std(axis=0) + 0.01
    return (train - mean) / std, (test - mean) / std


def sums_at(images, targets, **more):
    return streamed.accumulate(*images, LAYOUT, targets, seed=5, block=16, **more)


def test_the_sums_are_the_gram_of_all_features_plus_one(images):
    for filters, sums in zip([5, 20], sums_at(images, [5, 20]), strict=True):
        assert (sums.filters, sums.features) == (filters, 8 * filters)
        train, test = all_at_once(images, filters)
        matrix = streamed.as_gram(sums, Kernel("linear"))
        assert (matrix.n, matrix.m, matrix.rank) == (50, 20, min(50, 8 * filters + 1))
        expected = train @ train.T / (8 * filters) + 1
        for rows in sums.rows:
            tile = matrix.tile(rows, (0, rows[1]), np.float64)
            np.testing.assert_allclose(tile, expected[slice(*rows), : rows[1]], atol=1e-5)
        expected = test @ train.T / (8 * filters) + 1
        tile = matrix.test_tile((0, 20), (10, 50), np.float32)
        np.testing.assert_allclose(tile, expected[:, 10:], atol=1e-5)


def test_the_gaussian_kernel_is_of_the_same_features(images):
    (sums,) = sums_at(images, [12])
    train, test = (x / np.sqrt(96) for x in all_at_once(images, 12))
    matrix = streamed.as_gram(sums, Kernel("gaussian", 0.7))
    for tile, left in (
        (matrix.tile((16, 32), (0, 32), np.float64), train[16:32]),
        (matrix.test_tile((0, 20), (0, 32), np.float64), test),
    ):
        distances = ((left[:, None] - train[None, :32]) ** 2).sum(axis=2)
        np.testing.assert_allclose(tile, np.exp(-0.7 * distances), atol=1e-5)


def test_its_solution_is_that_of_the_features(images):
    (sums,) = sums_at(images, [20])
    train, test = (
        np.concatenate([x / np.sqrt(160), np.ones((len(x), 1))], axis=1)
        for x in all_at_once(images, 20)
    )
    y = minimum_norm.one_hot(np.arange(50) % 3, 3)
    found = minimum_norm.solve(
        streamed.as_gram(sums, Kernel("linear")), y, rows=sums.rows, tolerance=1e-9
    )
    weights = np.linalg.lstsq(train, y, rcond=None)[0]
    np.testing.assert_allclose(found.predicted, test @ weights, atol=1e-4)
    assert minimum_norm.norms(found)["all_classes"] == pytest.approx(
        np.linalg.norm(weights), rel=1e-4
    )


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def kept(folder, images, said, clock=None, facts=("facts",)):
    return streamed.Kept(folder, facts, images, said.append, clock or Clock())


def test_an_interrupted_stream_goes_on_and_ends_as_an_undisturbed_one(images, tmp_path):
    said, made, real = [], [], random_conv.on_host

    def responses(part, weights, layout, progress):
        made.append(weights.shape[1])
        if len(made) == 5:
            raise KeyboardInterrupt
        return real(part, weights, layout, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        list(sums_at(images, [8, 20], responses=responses, kept=kept(tmp_path, images, said)))
    assert made == [8, 8, 8, 8, 4]
    made.clear()
    again = sums_at(images, [20], responses=responses, kept=kept(tmp_path, images, said))
    (sums,) = again
    assert made == [8, 8, 4, 4]
    assert said == ["resumes from the kept kernel matrix of 8 filters"]
    (undisturbed,) = sums_at(images, [20])
    for one, other in zip(
        sums.train + sums.test, undisturbed.train + undisturbed.test, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(sums.test_squares, undisturbed.test_squares)
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["filters_000020"]


def test_it_is_kept_now_and_then_between(images, tmp_path):
    clock, seen = Clock(), []

    def responses(part, weights, layout, progress):
        clock.now += 200  # twice a block: training and test images
        seen.append(sorted(path.name for path in tmp_path.glob("gram-*/*")))
        return random_conv.on_host(part, weights, layout)

    list(sums_at(images, [30], responses=responses, kept=kept(tmp_path, images, [], clock)))
    assert seen[::2] == [[], [], ["filters_000016"], ["filters_000016"]]
    assert [path.name for path in tmp_path.glob("gram-*/*")] == ["filters_000030"]


def test_progress_is_the_share_of_all_filters_and_images(images):
    seen = []

    def responses(part, weights, layout, progress):
        progress(len(part) // 2)
        return random_conv.on_host(part, weights, layout, progress=progress)

    list(sums_at(images, [8, 16], responses=responses, progress=lambda *share: seen.append(share)))
    assert {stage for stage, _ in seen} == {"features"}
    making, adding = 70 * 49 * 16, 8 * (50 * 50 / 2 + 20 * 50)  # products, of a filter
    made = making / (making + adding)
    block = [made * count / 70 for count in (25, 50, 60, 70)]  # of 70 images
    block += [made + (1 - made) * area / 2636 for area in (256, 768, 1536, 1636, 2636)]
    shares = [(number + share) / 2 for number in (0, 1) for share in block]
    np.testing.assert_allclose([share for _, share in seen], shares)


def test_what_else_lies_in_the_folder_is_no_harm(images, tmp_path):
    (sums,) = sums_at(images, [8], kept=kept(tmp_path, images, []))
    (folder,) = tmp_path.iterdir()
    for name in ("filters_", "filters_old", ".filters_000009.1-2"):
        (folder / name).mkdir()
    assert kept(tmp_path, images, []).newest(8).features == sums.features


def test_where_nothing_can_be_kept_it_says_so_and_goes_on(images, tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    (sums,) = sums_at(images, [8], kept=kept(tmp_path / "file" / "below", images, said))
    assert sums.filters == 8
    assert len(said) == 1 and "kernel matrix in " in said[0]


def test_other_facts_or_images_or_more_filters_than_asked_find_nothing(images, tmp_path):
    (sums,) = sums_at(images, [8], kept=kept(tmp_path, images, []))
    assert kept(tmp_path, images, []).newest(8).features == sums.features
    assert kept(tmp_path, images, []).newest(7) is None
    assert kept(tmp_path, images, [], facts=("other",)).newest(8) is None
    assert kept(tmp_path, images[::-1], []).newest(8) is None


def test_a_damaged_matrix_is_named_and_made_again(images, tmp_path):
    (_sums,) = sums_at(images, [8], kept=kept(tmp_path, images, []))
    (path,) = tmp_path.glob("gram-*/filters_000008/train_0001.npy")
    path.write_bytes(path.read_bytes()[:-1])
    said = []
    assert kept(tmp_path, images, said).newest(8) is None
    assert len(said) == 1 and "and is computed again" in str(said[0])
    (again,) = sums_at(images, [8], kept=kept(tmp_path, images, said))
    assert again.filters == 8


def test_a_feature_that_never_varies_is_no_harm():
    train = np.full((4, 1), 0.5, np.float32)
    test = np.array([[0.5], [0.6]], np.float32)
    streamed.standardise(train, test)
    np.testing.assert_allclose(train, 0)
    np.testing.assert_allclose(test, [[0], [10]], rtol=1e-5)
