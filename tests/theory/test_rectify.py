"""The compiled pass gives NumPy's rectified averages, and is used where Numba is installed."""

import numpy as np
import pytest

from rethink_tf.theory.kernels import random_conv, rectify
from rethink_tf.theory.kernels.random_conv import Layout


@pytest.mark.parametrize("cells, bias", [(1, 0.0), (2, 1.0), (3, 0.5)])
def test_the_compiled_pass_is_numpys(cells, bias):
    pytest.importorskip("numba")
    layout = Layout(patch=3, cells=cells, bias=bias)
    pool = random_conv.pooling((10, 9, 3), layout)
    z = np.random.default_rng(0).standard_normal((56, 5)).astype(np.float32)
    out = np.full((2, cells**2, 9), 7, np.float32)
    rectify.compiled(pool, -2 * bias)(z, out, 2)
    np.testing.assert_allclose(out[0, :, 2:7], pool @ np.maximum(z, 0), atol=1e-6)
    np.testing.assert_allclose(out[1, :, 2:7], pool @ np.maximum(-z - 2 * bias, 0), atol=1e-6)
    assert (out[:, :, :2] == 7).all() and (out[:, :, 7:] == 7).all()


@pytest.mark.parametrize("installed", [False, True])
def test_features_are_the_same_with_and_without_it(installed, monkeypatch):
    layout = Layout(patch=3, cells=2)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 9, 9, 3)).astype(np.uint8)
    weights = rng.standard_normal((28, 6)).astype(np.float32)
    weights[-1] -= layout.bias
    numpy_pool, used = random_conv.pooling((9, 9, 3), layout), []

    def compiled(pool, low):
        np.testing.assert_array_equal(pool, numpy_pool)

        def run(z, out, start):
            used.append(start)
            stop = start + z.shape[1]
            out[0, :, start:stop] = pool @ np.maximum(z, 0)
            out[1, :, start:stop] = pool @ np.maximum(low - z, 0)

        return run

    monkeypatch.setattr(rectify, "available", lambda: False)
    expected = random_conv.on_host(images, weights, layout)
    monkeypatch.setattr(rectify, "available", lambda: installed)
    monkeypatch.setattr(rectify, "compiled", compiled)
    found = random_conv.on_host(images, weights, layout)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(used) == (4 if installed else 0)
