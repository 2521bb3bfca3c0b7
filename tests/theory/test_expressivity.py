"""Theorem 1 and Corollary 1: every label is fitted, with the weights stated and no more."""

import dataclasses

import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.errors import RequestError
from rethink_tf.theory import expressivity, expressivity_runs


def points(n, d, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=[n, d]), draw.integers(10, size=n)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5])
def test_the_weights_solve_the_triangular_system_of_the_proof(place):
    x, y = points(40, 7)
    found = expressivity.interpolate(x, y, place=place)
    t = np.sort(x @ found.a)
    np.testing.assert_allclose(found.t, t, rtol=1e-12)
    matrix = np.maximum(t[:, None] - found.b, 0)
    assert (np.triu(matrix, 1) == 0).all() and (np.diag(matrix) > 0).all()
    np.testing.assert_allclose(matrix @ found.w, y[np.argsort(x @ found.a)], atol=1e-9)
    before, own = found.b[1:] - t[:-1], t[1:] - found.b[1:]
    np.testing.assert_allclose(before, place / (1 - place) * own, atol=1e-9)
    got = expressivity.conditioning(found)
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert got["condition"] == pytest.approx(singular[0] / singular[-1])
    assert got["smallest_eigenvalue"] == pytest.approx(np.linalg.eigvals(matrix).real.min())
    terms = np.abs(matrix) @ np.abs(found.w)
    assert got["digits_lost"] == pytest.approx(np.log10(terms.max() / 9), abs=1e-6)
    assert expressivity.conditioning(found, dense=39)["condition"] is None


def test_projections_of_pixels_are_exact_in_any_order():
    x = np.random.default_rng(0).integers(256, size=[30, 3072]).astype(np.uint8)
    found = expressivity.interpolate(x, np.arange(30) % 10)
    shuffled = np.random.default_rng(1).permutation(3072)
    t = x.astype(float)[:, shuffled] @ found.a[shuffled]
    assert np.array_equal(np.sort(t), found.t) and np.array_equal(found.b[1:], found.t[:-1])


def test_the_model_memorises_with_exactly_2n_plus_d_weights(tensorflow):
    split = datasets.take(datasets.load("digits")[0], 200, seed=0)
    y = np.random.default_rng(0).integers(10, size=200)
    model = expressivity.memorise(split.images, y)
    assert model.count_params() == 2 * 200 + 256
    assert len(model.trainable_variables) == 3 and model.output.dtype == "float64"
    predicted = model(split.images.astype(float)).numpy()
    assert predicted.shape == (200, 1)
    assert np.abs(predicted[:, 0] - y).max() < 1e-8


@pytest.mark.parametrize("depth, width", [(3, 28), (4, 20), (11, 8)])
def test_deeper_networks_are_narrower(tensorflow, depth, width):
    x, y = points(50, 4)
    y = y - 4.5  # the sum that is handed on must not be cut off below zero
    model = expressivity.memorise(x, y, depth=depth)
    hidden = [layer for layer in model.layers if hasattr(layer, "units") and hasattr(layer, "b")]
    assert len(hidden) == depth - 1
    assert max(layer.units for layer in hidden) + 2 == width == -(-50 // (depth - 1)) + 3
    assert model.count_params() == 2 * 50 + 4 + 2 * (depth - 1)
    np.testing.assert_allclose(model(x).numpy()[:, 0], y, atol=1e-8)


@pytest.mark.parametrize("depth", [2, 4])
def test_the_model_can_be_saved(tensorflow, tmp_path, depth):
    import keras

    x, y = points(20, 3)
    model = expressivity.memorise(x, y, depth=depth)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(x), model(x))


def test_points_of_one_number_and_a_single_point(tensorflow):
    assert expressivity.memorise(np.array([3.0, 1, 2]), [5, 6, 7])(
        np.array([[1.0], [2], [3]])
    ).numpy().ravel() == pytest.approx([6, 7, 5])
    model = expressivity.memorise([[2.0, 3.0]], [-4])
    assert model.count_params() == 4 and float(
        model(np.array([[2.0, 3.0]]))[0, 0]
    ) == pytest.approx(-4)


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([[1, 2], [3, 4], [1, 2]], [5, 6, 7], "points 0 and 2 are equal, with labels 5 and 7"),
        ([1.0, 2, 2], [1, 2, 2], "1 are repetitions; first, points 1 and 2 are equal"),
        ([[0.0], [-0.0]], [1, 2], "points 0 and 1 are equal"),
        ([[1, 2], [3, 4]], [5], r"received \[2, 2\] and \[1\]"),
        ([], [], r"received \[0\] and \[0\]"),
        (np.zeros([3, 0]), [1, 2, 3], r"received \[3, 0\] and \[3\]"),
        ([[1, 2], [3]], [1, 2], "lists of different lengths"),
        (np.float64(3.0), 1.0, r"received \[\] and \[\]"),
        (np.full([3, 4], 7), [1, 2, 3], "2 are repetitions; first, points 0 and 1 are equal"),
        ([[1.0], [np.nan]], [1, 2], "expected finite points"),
        ([[1.0], [2.0]], [1, np.inf], "expected finite labels"),
        ([["a"]], [1], "expected real numbers"),
        ([[1.0], [1e300]], [1, 2], None),
        ([[1.0, 1e300], [2.0, 1e300]], [1, 2], "none of 16 directions separates these 2 points"),
    ],
)
def test_what_cannot_be_memorised_is_refused(x, y, message):
    if message is None:
        assert expressivity.interpolate(x, y).t.shape == (2,)
        return
    with pytest.raises(RequestError, match=message):
        expressivity.interpolate(x, y)


@pytest.mark.parametrize("depth", [1, 5])
def test_a_depth_that_no_network_has(depth):
    with pytest.raises(RequestError, match="depth: expected from 2 to n \\+ 1 = 4 layers"):
        expressivity.memorise(*points(3, 2), depth=depth)


def test_float64_fails_midway_before_it_fails_at_the_point_before():
    early, late = (expressivity_runs.residual(3000, place=place) for place in (0.0, 0.5))
    assert early < 1e-6 and late > 20 * early
    found = expressivity_runs.limits(largest=3000, say=lambda _: None)
    assert [p["n"] for p in found["points"]] == [1000, 3000] * 2
    assert found["points"][1]["residual"] == early and found["points"][3]["residual"] == late
    assert found["fails_from"] == {"0.0": None, "0.5": None}


def test_where_float64_fails_is_said(monkeypatch):
    monkeypatch.setattr(expressivity_runs, "residual", lambda n, place, seed: n * place / 5000)
    found = expressivity_runs.limits(largest=30_000, say=lambda _: None)
    assert found["fails_from"] == {"0.0": None, "0.5": 10_000}
    assert found["points"][-1] == {"n": 10_000, "place": 0.5, "residual": 1.0}


def test_the_experiment(tensorflow):
    train, said = datasets.load("digits")[0], []
    found = expressivity_runs.run(
        train, counts=(20, 300), depths=(2, 3), largest=1000, say=said.append
    )
    keys = ("n", "depth", "width", "weights", "weights_stated", "errors")
    assert [tuple(fit[k] for k in keys) for fit in found["fits"]] == [
        (20, 2, 20, 296, 296, 0), (20, 3, 13, 300, 300, 0),
        (300, 2, 300, 856, 856, 0), (300, 3, 153, 860, 860, 0),
    ]  # fmt: skip
    assert max(fit["residual"] for fit in found["fits"]) < 1e-7
    assert "20 of 20" not in said[1] and "0 of 20 random labels wrong" in said[1]
    twice = dataclasses.replace(train, images=np.repeat(train.images[:1], 1500, axis=0))
    with pytest.raises(RequestError, match="are repetitions"):
        expressivity_runs.run(twice, counts=(20,), depths=(2,), say=said.append)
