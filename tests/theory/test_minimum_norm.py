"""Solutions equal NumPy's least squares and scikit-learn's kernel ridge regression."""

import dataclasses

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import gram, interpolate, minimum_norm
from rethink_tf.theory.kernels.gram import Kernel


def problem(n=150, d=200, m=40, k=3, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape)  # noqa: E731
    return draw(n, d).astype(np.float32), draw(m, d).astype(np.float32), draw(n, k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_linear_interpolant_is_numpys_of_minimum_norm(dtype):
    train, test, y = problem()
    found = interpolate.interpolate(
        train, test, y, Kernel("linear"), dtype=dtype, block=64, tolerance=1e-13
    )
    weights = np.linalg.lstsq(train.astype(np.float64), y, rcond=None)[0]
    np.testing.assert_allclose(train.astype(np.float64).T @ found.alpha, weights, atol=1e-8)
    np.testing.assert_allclose(found.predicted, test.astype(np.float64) @ weights, atol=1e-8)
    np.testing.assert_allclose(found.fitted, y, atol=1e-8)
    norms = minimum_norm.norms(found)
    each = np.linalg.norm(weights, axis=0)
    np.testing.assert_allclose(norms["each_class"], each, atol=1e-8)
    assert norms["all_classes"] == pytest.approx(np.linalg.norm(weights), abs=1e-8)
    assert norms["class_mean"] == pytest.approx(each.mean(), abs=1e-8)
    assert norms["class_largest"] == pytest.approx(each.max(), abs=1e-8)
    assert norms["coefficients"] == pytest.approx(np.linalg.norm(found.alpha))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("name, gamma", [("gaussian", 0.004), ("linear", None)])
def test_it_is_scikit_learns_kernel_ridge(name, gamma, ridge, dtype):
    train, test, y = problem()
    found = interpolate.interpolate(
        train, test, y, Kernel(name, gamma), ridge=ridge, dtype=dtype, block=64, tolerance=1e-13
    )
    theirs = KernelRidge(alpha=ridge, kernel={"gaussian": "rbf"}.get(name, name), gamma=gamma).fit(
        train.astype(np.float64), y
    )
    np.testing.assert_allclose(found.alpha, theirs.dual_coef_, atol=1e-8)
    np.testing.assert_allclose(found.predicted, theirs.predict(test.astype(np.float64)), atol=1e-8)
    assert found.residuals[-1] < 1e-12 and found.shift == 0
    assert found.ridge == ridge


def test_refinement_mends_what_float32_cannot():
    train, test, y = problem()
    train[1:] = train[0] + np.float32(0.03) * train[1:]  # nearly equal examples
    options = {"dtype": "float32", "block": 64, "tolerance": 1e-10, "refinements": 20}
    found = interpolate.interpolate(train, test, y, Kernel("linear"), **options)
    assert found.residuals[0] > 1e-2 and found.residuals[-1] < 1e-9 and found.shift == 0
    unrefined = interpolate.interpolate(
        train, test, y, Kernel("linear"), dtype="float32", block=64, refinements=0
    )
    assert unrefined.residuals == found.residuals[:1]


def test_equal_examples_with_equal_labels_are_interpolated_and_with_others_are_not():
    train, test, y = problem()
    train[7], y[7] = train[3], y[3]
    options = {"block": 64, "tolerance": 1e-10, "refinements": 20}
    found = interpolate.interpolate(train, test, y, Kernel("gaussian", 0.004), **options)
    assert found.shift > 0 and found.residuals[-1] < 1e-9
    y[7] += 1
    other = interpolate.interpolate(train, test, y, Kernel("gaussian", 0.004), **options)
    least = np.sqrt(3 / 2) / np.linalg.norm(y)  # the mean of both is the nearest to both
    assert other.residuals[-1] > 0.99 * least


def test_too_few_features_are_refused_in_words():
    train, test, y = problem(n=50, d=20)
    with pytest.raises(
        RequestError, match="--ridge: .* 20 features .* 50 examples; type --ridge=1"
    ):
        interpolate.interpolate(train, test, y, Kernel("linear"))
    ridged = interpolate.interpolate(train, test, y, Kernel("linear"), ridge=1e-3, tolerance=1e-12)
    assert ridged.residuals[-1] < 1e-11
    train[3, 4] = np.nan
    with pytest.raises(RequestError, match="not positive definite in float32"):
        interpolate.interpolate(train, test, y, Kernel("linear"), ridge=1.0)


def test_kernels_are_checked():
    with pytest.raises(RequestError, match="gaussian, linear; got 'rbf'"):
        Kernel("rbf")
    for gamma in (None, 0.0, float("inf"), float("nan")):
        with pytest.raises(RequestError, match="gamma: expected a number above 0"):
            Kernel("gaussian", gamma)


def test_errors_are_of_the_largest_value_and_targets_are_not_centred():
    values = np.array([[0.1, 0.2], [3.0, 2.0], [0.0, 1.0]])
    assert minimum_norm.errors(values, np.array([1, 1, 1])) == pytest.approx(1 / 3)
    np.testing.assert_array_equal(minimum_norm.one_hot(np.array([1, 0]), 2), [[0, 1], [1, 0]])


def test_tiles_are_of_the_precision_asked_for_and_chunks_change_nothing(monkeypatch):
    train, test, _ = problem(n=300, d=40, m=30)
    matrix = gram.of_features(train, test, Kernel("gaussian", 0.01))
    wide = [x.astype(np.float64) for x in (train, test)]
    exact = np.exp(-0.01 * ((wide[1][:, None] - wide[0][None]) ** 2).sum(axis=2))
    tile = matrix.test_tile((5, 25), (100, 300), np.float64)
    np.testing.assert_allclose(tile, exact[5:25, 100:300], rtol=1e-12)
    monkeypatch.setattr(gram, "CHUNK_BYTES", 3000)
    np.testing.assert_array_equal(matrix.test_tile((5, 25), (100, 300), np.float64), tile)
    single = matrix.test_tile((0, 30), (0, 300), np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, atol=2e-6)


def test_the_factor_is_made_of_k_itself_rounded_once():
    """Norms of 150, as of pixels: float32 products would err by 1e-5 on the diagonal."""
    train = np.random.default_rng(0).uniform(0.2, 0.7, (60, 784)).astype(np.float32)
    train[1] = train[0] + np.float32(1e-4)  # nearly equal examples
    matrix = gram.of_features(train, train[:2], Kernel("gaussian", 0.02))
    wide = train.astype(np.float64)
    exact = np.exp(-0.02 * ((wide[:, None] - wide[None]) ** 2).sum(axis=2))
    rows = [(0, 32), (32, 60)]
    for i, (start, stop) in enumerate(rows):
        row = gram.block_row(matrix, rows, i, np.float32, 0.25)
        expected = exact[start:stop, :stop] + 0.25 * np.eye(60)[start:stop, :stop]
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-7)


def test_a_small_matrix_is_made_once_and_a_large_one_anew(monkeypatch):
    train, test, _ = problem(n=100)
    plain = gram.of_features(train, test, Kernel("gaussian", 0.01))
    made = []

    def tile(rows, columns, dtype):
        made.append((rows, columns))
        return plain.tile(rows, columns, dtype)

    matrix = gram.holding(dataclasses.replace(plain, tile=tile))
    for _ in range(3):
        held = matrix.tile((50, 100), (0, 50), np.float64)
        np.testing.assert_array_equal(held, plain.tile((50, 100), (0, 50), np.float64))
    assert len(made) == 1
    with pytest.raises(ValueError):
        held[0, 0] = 2
    monkeypatch.setattr(gram, "HELD_BYTES", 100)
    assert gram.holding(plain) is plain and gram.held_bytes(100) == 0
