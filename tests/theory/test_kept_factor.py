"""A factor kept on disk: found by other labels, resumed row by row, never believed if damaged."""

import numpy as np
import pytest

from rethink_tf.theory.kernels import cholesky, interpolate
from rethink_tf.theory.kernels.gram import Kernel

KERNEL = Kernel("gaussian", 0.01)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    train, test = (rng.standard_normal((n, 30)).astype(np.float32) for n in (120, 20))
    return train, test, rng.standard_normal((120, 2))


@pytest.fixture
def made(monkeypatch):
    """Which rows were eliminated, in order."""
    rows, real = [], cholesky.eliminate_on_host

    def eliminate_on_host(row, factor):
        rows.append(len(factor))
        return real(row, factor)

    monkeypatch.setattr(cholesky, "eliminate_on_host", eliminate_on_host)
    return rows


def solve(data, folder, said=None, **more):
    options = {"block": 40, "cache": folder, "eliminate": cholesky.eliminate_on_host} | more
    return interpolate.interpolate(
        *data, KERNEL, report=(said if said is not None else []).append, **options
    )


def test_other_labels_find_the_factor_and_other_kernels_do_not(data, made, tmp_path):
    first = solve(data, tmp_path)
    assert made == [0, 1, 2] and first.new_flops == 120**3 // 3
    again = solve((*data[:2], -data[2]), tmp_path)
    assert made == [0, 1, 2] and again.new_flops == 0
    np.testing.assert_allclose(again.alpha, -first.alpha, rtol=1e-9, atol=1e-12)
    for more in ({"ridge": 0.1}, {"dtype": "float64"}, {"block": 60}):
        made.clear()
        solve(data, tmp_path, **more)
        assert made[0] == 0, more
    made.clear()
    other = (data[0] + np.float32(0.5), *data[1:])
    solve(other, tmp_path)
    assert made == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 5


def test_an_interrupted_factorisation_goes_on_with_the_next_row(data, tmp_path, monkeypatch):
    real = cholesky.eliminate_on_host

    def eliminate_on_host(row, factor):
        if len(factor) == 2:
            raise KeyboardInterrupt
        return real(row, factor)

    eliminate_on_host.__name__ = real.__name__
    with pytest.raises(KeyboardInterrupt):
        solve(data, tmp_path, eliminate=eliminate_on_host)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["row_0000", "row_0001"]
    found = solve(data, tmp_path, eliminate=real)
    assert found.new_flops == (120**3 - 80**3) // 3
    np.testing.assert_array_equal(found.alpha, solve(data, None, eliminate=real).alpha)


def test_a_damaged_row_is_named_and_made_again(data, made, tmp_path):
    whole = solve(data, tmp_path)
    (folder,) = tmp_path.iterdir()
    path = folder / "row_0001" / "row.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    made.clear()
    said = []
    found = solve(data, tmp_path, said)
    assert made == [1] and found.new_flops == (80**3 - 40**3) // 3
    assert len(said) == 1 and "and is computed again" in str(said[0]) and "row_0001" in said[0]
    np.testing.assert_array_equal(found.alpha, whole.alpha)
    made.clear()
    solve(data, tmp_path, said)
    assert made == [] and len(said) == 1


def test_where_nothing_can_be_kept_it_says_so_once_and_goes_on(data, made, tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    found = solve(data, tmp_path / "file" / "below", said)
    assert made == [0, 1, 2] and found.residuals[-1] < 1e-6
    assert (
        len(said) == 1
        and "interrupted solve starts over" in str(said[0])
        and "--cache_dir=DIR" in said[0]
    )
