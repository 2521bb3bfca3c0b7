"""Leave-one-out without refits equals explicit refits, by NumPy and SciPy."""

import numpy as np
import pytest

from rethink_tf.theory.kernels import leave_one_out as left_out
from rethink_tf.theory.kernels import minimum_norm
from rethink_tf.theory.kernels.gram import Kernel

KERNEL = Kernel("gaussian", 0.02)


def problem(n=120, d=30, m=40, k=4, seed=0):
    rng = np.random.default_rng(seed)
    train, test = (rng.standard_normal((rows, d)).astype(np.float32) for rows in (n, m))
    return train, test, minimum_norm.one_hot(rng.integers(0, k, n), k)


def kernel_matrix(left, right):
    left, right = left.astype(np.float64), right.astype(np.float64)
    squares = ((left[:, None] - right[None]) ** 2).sum(axis=2)
    return np.exp(-KERNEL.gamma * squares)


def refit(train, test, targets, ridge, i):
    """(f_without_i(x_i), f_without_i at the test points): least squares of minimum norm."""
    kept = np.arange(len(train)) != i
    square = kernel_matrix(train[kept], train[kept]) + ridge * np.eye(kept.sum())
    weights = np.linalg.pinv(square, rcond=1e-11, hermitian=True) @ targets[kept]
    return (kernel_matrix(x, train[kept]) @ weights for x in (train[[i]], test))


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-6), ("float32", 1e-2)])
def test_it_is_what_refits_give(dtype, tolerance, ridge):
    train, test, targets = problem()
    found = left_out.leave_one_out(
        train, test, targets, KERNEL, ridge=ridge, dtype=dtype, block=32, tolerance=1e-12
    )
    whole = kernel_matrix(train, train) + ridge * np.eye(len(train))
    everywhere = kernel_matrix(test, train) @ np.linalg.solve(whole, targets)
    for i in range(0, 120, 6):
        at_i, at_test = refit(train, test, targets, ridge, i)
        np.testing.assert_allclose(found.predicted[i], at_i[0], atol=tolerance)
        moved = np.abs(everywhere - at_test).max()
        assert found.stability[i] == pytest.approx(moved, rel=tolerance)
    fitted = kernel_matrix(train, train) @ found.solution.alpha
    np.testing.assert_allclose(found.fitted, fitted, atol=1e-9)
    assert found.groups == [] and found.diagonal_error < tolerance


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_equal_examples_are_named_and_predict_each_other(ridge):
    train, test, targets = problem(n=60)
    train[40] = train[41] = train[3]
    train[50] = train[45]
    targets[[45, 50]] = np.eye(4)[[1, 1]]
    targets[[3, 40, 41]] = np.eye(4)[[0, 2, 2]]
    found = left_out.leave_one_out(
        train, test, targets, KERNEL, ridge=ridge, dtype="float64", block=32, tolerance=1e-12
    )
    assert found.groups == [[3, 40, 41], [45, 50]]
    square = kernel_matrix(train, train) + ridge * np.eye(60)
    weights = np.linalg.pinv(square, rcond=1e-11, hermitian=True) @ targets
    everywhere = kernel_matrix(test, train) @ weights
    for i in range(60):
        at_i, at_test = refit(train, test, targets, ridge, i)
        np.testing.assert_allclose(found.predicted[i], at_i[0], atol=1e-7)
        assert found.stability[i] == pytest.approx(np.abs(everywhere - at_test).max(), abs=1e-7)
    if not ridge:
        np.testing.assert_allclose(found.predicted[3], np.eye(4)[2], atol=1e-9)
        np.testing.assert_allclose(found.stability[45], 0, atol=1e-9)
        labels = targets.argmax(axis=1)
        assert not left_out.memorised(found, labels)[3], "0 of three, two of which say 2"


@pytest.mark.parametrize("block", [16, 64, 500])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-3)])
def test_the_diagonal_is_of_numpys_inverse(block, dtype, tolerance):
    train, test, _ = problem(n=150)
    matrix = left_out.gram.of_features(train, test, KERNEL)
    factor = minimum_norm.factorise(matrix, dtype=dtype, block=block)
    shares = []
    found = left_out.inverse_diagonal(factor, lambda stage, share: shares.append(share))
    expected = np.diag(np.linalg.inv(kernel_matrix(train, train)))
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert shares == sorted(shares) and shares[-1] == 1
    reach = np.linalg.solve(kernel_matrix(train, train), kernel_matrix(train, test))
    np.testing.assert_allclose(
        left_out.reach(factor, matrix), np.abs(reach).max(axis=1), rtol=100 * tolerance
    )


def test_an_interrupted_diagonal_resumes_and_other_labels_cost_one_solve(tmp_path, monkeypatch):
    train, test, targets = problem()
    made, real = [], left_out._squared_columns

    def squared_columns(blocks, rows, column):
        if len(made) == 2 and stop:
            raise KeyboardInterrupt
        made.append(column)
        return real(blocks, rows, column)

    def solve(labels):
        return left_out.leave_one_out(train, test, labels, KERNEL, block=32, cache=tmp_path)

    monkeypatch.setattr(left_out, "_squared_columns", squared_columns)
    stop = True
    with pytest.raises(KeyboardInterrupt):
        solve(targets)
    stop = False
    first = solve(targets)
    assert made == [0, 1, 2, 3] and first.solution.new_flops == 0
    monkeypatch.setattr(left_out.cholesky, "eliminate_on_host", None)
    solved, calls = left_out.cholesky.solve, []
    monkeypatch.setattr(
        left_out.cholesky, "solve", lambda *a: calls.append(a[1].shape[1]) or solved(*a)
    )
    again = solve(1 - targets)
    assert made == [0, 1, 2, 3] and max(calls) < 40, "no kernel vector of the test set was solved"
    undisturbed = left_out.leave_one_out(train, test, targets, KERNEL, block=32)
    for name in ("predicted", "stability"):
        np.testing.assert_array_equal(getattr(first, name), getattr(undisturbed, name))
    assert not np.allclose(again.predicted, first.predicted)


def test_rows_of_either_zero_are_equal():
    rows, kinds = left_out.equal_rows(np.array([[0.0, 1], [2, 3], [-0.0, 1]], np.float32))
    assert rows.tolist() == [0, 1] and kinds.tolist() == [0, 1, 0]


def test_margins_and_what_is_memorised():
    values = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.4], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(left_out.margins(values, np.array([0, 2, 2])), [0.8, -0.1, 1.0])
    found = left_out.LeftOut(None, np.eye(3), values, np.array([0.0, 2.0, 4.0]), [], 0.0, {})
    np.testing.assert_array_equal(left_out.memorised(found, np.arange(3)), [False, False, False])
    other = np.array([0, 2, 2])
    np.testing.assert_array_equal(left_out.memorised(found, other), [False, False, False])
    found = left_out.LeftOut(None, np.eye(3), values[::-1], np.zeros(3), [], 0.0, {})
    np.testing.assert_array_equal(left_out.memorised(found, np.arange(3)), [True, False, True])
    assert left_out.stability(found)["mean"] == 0


def test_near_equal_examples_do_not_cost_the_diagonal_its_digits():
    """Two images of squared length 150 that differ by 0.1: float32 products erred by 3e-3."""
    rng = np.random.default_rng(0)
    train = rng.uniform(0.2, 0.7, (200, 784)).astype(np.float32)
    train[120] = train[7]
    train[120, 0] += np.float32(0.1)
    targets = minimum_norm.one_hot(rng.integers(0, 4, 200), 4)
    found = left_out.leave_one_out(train, train[:5], targets, KERNEL, block=64)
    expected = np.diag(np.linalg.inv(kernel_matrix(train, train)))
    miss = targets - found.predicted
    np.testing.assert_allclose((found.solution.alpha / miss)[:, 0], expected, rtol=5e-4)
    assert found.diagonal_error < 5e-4
