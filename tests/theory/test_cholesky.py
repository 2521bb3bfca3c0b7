"""The blocked factor equals LAPACK's, in both precisions and for blocks that do not divide n."""

import numpy as np
import pytest

from rethink_tf.theory.kernels import cholesky


def positive(n, rank=None, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, rank or 2 * n))
    return x @ x.T / x.shape[1]


def factorised(matrix, block, dtype=np.float64, **more):
    rows = cholesky.block_rows(len(matrix), block)

    def make(i):
        return np.array(matrix[slice(*rows[i]), : rows[i][1]], dtype)

    more = {"eliminate": cholesky.eliminate_on_host} | more
    return cholesky.factorise(rows, make, **more)


def whole(factor):
    n = factor[-1].shape[1]
    return np.concatenate([np.pad(row, ((0, 0), (0, n - row.shape[1]))) for row in factor])


@pytest.mark.parametrize("n, block", [(96, 32), (100, 32), (20, 32), (33, 32), (97, 96)])
def test_the_factor_is_lapacks(n, block):
    matrix = positive(n)
    factor, shift = factorised(matrix, block)
    np.testing.assert_allclose(whole(factor), np.linalg.cholesky(matrix), atol=1e-13)
    assert shift == 0
    assert [row.shape[1] for row in factor] == [stop for _, stop in cholesky.block_rows(n, block)]


def test_in_float32_it_is_the_same_to_its_rounding():
    matrix = positive(200)
    factor, _ = factorised(matrix, 64, np.float32)
    assert {row.dtype for row in factor} == {np.dtype(np.float32)}
    assert abs(whole(factor) - np.linalg.cholesky(matrix)).max() < 2e-6


@pytest.mark.parametrize("block", [16, 50, 128])
def test_solve_inverts_the_matrix(block):
    matrix, right = positive(100), np.random.default_rng(1).standard_normal((100, 3))
    factor, _ = factorised(matrix, block)
    np.testing.assert_allclose(matrix @ cholesky.solve(factor, right), right, atol=1e-11)


def test_a_singular_matrix_is_shifted_in_the_block_where_it_fails_and_no_other():
    matrix = positive(90)
    matrix[40], matrix[:, 40] = matrix[39], matrix[:, 39]
    matrix[40, 40] = matrix[39, 39]
    factor, shift = factorised(matrix, 30)
    assert 0 < shift < 1e-11
    off = whole(factor) @ whole(factor).T - matrix
    np.testing.assert_allclose(np.diag(off), shift * (np.arange(90) // 30 == 1), atol=1e-13)


def test_what_is_far_from_positive_is_refused():
    with pytest.raises(cholesky.NotPositiveDefinite):
        factorised(positive(60) - 3 * np.eye(60), 20)
    with pytest.raises(cholesky.NotPositiveDefinite):
        factorised(np.full((60, 60), np.nan), 20)


def test_rows_made_before_are_not_made_again():
    matrix, kept, flops = positive(100), {}, []
    factor, _ = factorised(
        matrix, 30, keep=lambda i, row, shift: kept.update({i: (row.copy(), shift)})
    )
    assert sorted(kept) == [0, 1, 2, 3]
    made = []

    def eliminate(row, above):
        made.append(len(above))
        return cholesky.eliminate_on_host(row, above)

    again, _ = factorised(
        matrix,
        30,
        load=lambda i: kept[i] if i < 2 else None,
        eliminate=eliminate,
        progress=flops.append,
    )
    assert made == [2, 3]
    np.testing.assert_array_equal(whole(again), whole(factor))
    assert flops == [90**3 // 3, 100**3 // 3]


def test_blocks_grow_with_the_matrix():
    assert cholesky.block_rows(1000)[:2] == [(0, 256), (256, 512)]
    assert len(cholesky.block_rows(60_000)) == 59
    assert cholesky.block_rows(60_000)[-1][1] == 60_000
