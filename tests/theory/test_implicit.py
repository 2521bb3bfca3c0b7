"""SGD and the least norm: the pseudo-inverse solution, the span, the choices of preprocessing."""

import dataclasses
import re

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from rethink_tf.data import registry as datasets
from rethink_tf.errors import RequestError
from rethink_tf.theory import implicit, norm_choices, preprocessing
from rethink_tf.theory.kernels import memory


@pytest.fixture(autouse=True)
def one_thread():
    """On busy cores BLAS's threads wait for each other longer than small products take."""
    with threadpool_limits(1, "blas"):
        yield


def system(n=12, d=40, k=3, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=[n, d]), draw.normal(size=[n, k])


def test_sgd_from_zero_ends_at_the_pseudo_inverse_solution():
    x, y = system()
    found = implicit.descend(x, y, np.zeros([40, 3]), steps=6000, batch=5)
    best = np.linalg.pinv(x) @ y
    np.testing.assert_allclose(implicit.minimum_norm(x, y), best, atol=1e-12)
    assert found["steps"][0] == 0 and found["steps"][-1] == 6000
    assert found["distance"][0] == pytest.approx(1) and found["distance"][-1] < 1e-8
    assert found["residual"][-1] < 1e-8
    assert found["norm"][-1] == pytest.approx(np.linalg.norm(best))
    assert max(found["outside"]) < 1e-12
    assert len({len(column) for column in found.values()}) == 1


def test_from_elsewhere_it_keeps_what_lies_outside_of_the_span():
    x, y = system()
    start = np.random.default_rng(1).normal(size=[40, 3])
    found = implicit.descend(x, y, start, steps=6000, batch=5)
    outside = start - np.linalg.pinv(x) @ x @ start
    best = np.linalg.norm(np.linalg.pinv(x) @ y)
    np.testing.assert_allclose(found["outside"], np.linalg.norm(outside), rtol=1e-9)
    assert found["residual"][-1] < 1e-8
    assert found["distance"][-1] == pytest.approx(np.linalg.norm(outside) / best, rel=1e-8)
    assert found["norm"][-1] ** 2 == pytest.approx(best**2 + np.linalg.norm(outside) ** 2)


def test_the_rate_is_that_of_the_longest_example_and_too_large_a_one_diverges():
    x, y = system()
    rate = 1 / max(np.linalg.norm(row) ** 2 for row in x)
    start = np.zeros([40, 3])
    assert implicit.descend(x, y, start, steps=50) == implicit.descend(
        x, y, start, steps=50, rate=rate
    )
    assert implicit.descend(x, y, start, steps=200, rate=20 * rate)["residual"][-1] > 100


def test_the_experiment_on_digits():
    said = []
    seen = []
    found = implicit.run(
        *datasets.load("digits"),
        examples=8,
        steps=3000,
        choice_examples=50,
        say=said.append,
        progress=lambda *step: seen.append(step),
    )
    assert {stage for stage, _ in seen[60:]} == {"random patches, pooled"}
    assert [share for _, share in seen[60:]] == [k / 347 for k in range(1, 348)]
    zero, elsewhere = found["sgd"]["zero"], found["sgd"]["elsewhere"]
    assert zero["distance"][-1] < 1e-6 < 0.5 < found["sgd"]["limit"]
    assert elsewhere["distance"][-1] == pytest.approx(found["sgd"]["limit"], rel=1e-4)
    assert elsewhere["norm"][0] == pytest.approx(found["sgd"]["minimum_norm"])
    assert [c["name"] for c in found["choices"]] == list(preprocessing.CHOICES)
    by_name = {choice["name"]: choice for choice in found["choices"]}
    assert all(c["residual"] < 1e-6 and c["train_error"] == 0 for c in found["choices"])
    assert all(c["norm_random"] > c["norm"] for c in found["choices"]), "random labels cost more"
    assert by_name["random ReLU features"]["test_error"] < 0.3
    # Whitening keeps the span of the images, so it keeps the solution and its predictions.
    plain, white = by_name["images standardised"], by_name["whitened"]
    assert white["test_error"] == plain["test_error"] and white["norm"] < plain["norm"] / 5
    assert all(c["norm_unscaled"] != c["norm"] for c in found["choices"])
    assert -1 <= found["rank_correlation"] <= 1
    assert len(said) == 3 + len(preprocessing.CHOICES)
    limit, correlation = found["sgd"]["limit"], found["rank_correlation"]
    assert re.search(f"the images is {limit:.3g}", said[1])
    assert re.search(f"8 choices: {correlation:.2f}", said[-1])


def test_the_norm_is_that_of_the_primal_solution():
    x, y = system(k=2)
    alpha, norm, residual = norm_choices.solve(x, y)
    best = implicit.minimum_norm(x, y)
    np.testing.assert_allclose(x.T @ alpha, best, atol=1e-10)
    assert norm == pytest.approx(np.linalg.norm(best)) and residual == 0
    assert norm == pytest.approx(np.sqrt((alpha * (x @ x.T @ alpha)).sum()))
    wide = norm_choices.solve(x.T, np.ones([40, 1]))  # 40 examples of 12 numbers
    residual = np.linalg.norm(x.T @ np.linalg.pinv(x.T) @ np.ones(40) - 1) / np.sqrt(40)
    assert wide[2] == pytest.approx(residual)


def test_examples_that_are_equal_span_no_more_than_one():
    x, y = system()
    x[1], y[1] = x[0], y[0]
    start = np.random.default_rng(1).normal(size=[40, 3])
    found = implicit.descend(x, y, start, steps=3000, batch=5)
    outside = start - np.linalg.pinv(x) @ x @ start
    np.testing.assert_allclose(found["outside"], np.linalg.norm(outside), rtol=1e-9)


def test_what_is_not_fitted_is_said():
    splits, said = datasets.load("digits"), []
    found = implicit.run(*splits, examples=100, steps=20, choice_examples=200, say=said.append)
    assert found["sgd"]["rank"] < 100 and found["sgd"]["condition"] is None
    part = datasets.take(splits[0], 100, seed=0)
    x, y = preprocessing.standardised(part.images), np.eye(10)[part.labels]
    least = np.linalg.norm(x @ np.linalg.pinv(x, 1e-10) @ y - y) / np.linalg.norm(y)
    assert found["sgd"]["least_residual"] == pytest.approx(least) and least > 0.1
    assert re.search(
        rf"100 images span {found['sgd']['rank']} dimensions, .*"
        rf"residual at least {least:.2g}\); type fewer --images",
        said[2],
    )
    assert said[3].startswith("pixels: ") and "; does not interpolate, residual 0." in said[3]
    assert said[-1].startswith("6 of 8 choices do not interpolate 200 images")
    slow = implicit.sgd(splits[0], examples=15, steps=20)
    assert "has a residual of" in str(implicit.unfitted(slow)) and slow["rank"] == 15
    assert implicit.unfitted(implicit.sgd(splits[0], examples=5, steps=3000)) == ""


def test_progress_and_constant_images():
    train, seen = datasets.load("digits")[0], []
    implicit.sgd(train, examples=5, steps=300, progress=lambda *share: seen.append(share))
    assert seen == [
        (f"SGD from {name}", k / 3) for name in ("zero", "elsewhere") for k in (1, 2, 3)
    ]
    flat = dataclasses.replace(train, images=np.full_like(train.images, 7))
    with pytest.raises(RequestError, match="all 5 are constant"):
        implicit.sgd(flat, examples=5)


def test_small_products_are_left_to_one_thread():
    seen, (x, y) = [], system()

    def look(_share):
        seen.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")

    images = datasets.load("digits")[0].images
    with threadpool_limits(2, "blas"):
        preprocessing._random_patches(images[:3], images[3:5], 0, progress=look)
        implicit.descend(x, y, np.zeros([40, 3]), steps=200, progress=look)
    assert len(seen) >= 7 and set(seen) == {1}


def test_memory_is_asked_for_first(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(RequestError, match="memory: needed .* type a smaller --choice_images"):
        norm_choices.choices(*datasets.load("digits"), examples=50)


def test_rank_correlation_counts_interpolation_only():
    def choice(norm, error, residual=0.0):
        return {"norm": norm, "test_error": error, "residual": residual}

    rising = [choice(1, 0.1), choice(2, 0.2), choice(9, 0.3)]
    assert norm_choices.rank_correlation([*rising, choice(0.5, 0.9, 0.1)]) == pytest.approx(1)
    assert np.isnan(norm_choices.rank_correlation(rising[:2]))


@pytest.mark.parametrize("examples", [1, 256])
def test_more_images_than_pixels_are_refused(examples):
    with pytest.raises(RequestError, match="--images: expected from 2 to 255, fewer images"):
        implicit.sgd(datasets.load("digits")[0], examples=examples)


def test_preprocessings():
    draw = np.random.default_rng(0)
    train, test = (draw.integers(256, size=[n, 9, 8, 3]).astype(np.uint8) for n in (30, 7))
    for name, function in preprocessing.CHOICES.items():
        x, seen = function(train, test, 0)
        assert (x.dtype, seen.dtype, len(x), len(seen)) == (np.float64, np.float64, 30, 7), name
        again = function(train, train[:7], 0)[1]
        np.testing.assert_allclose(again, x[:7], atol=1e-9, err_msg=name)
    x = preprocessing.standardised(train)
    np.testing.assert_allclose([x.mean(axis=1), x.std(axis=1)], [[0] * 30, [1] * 30], atol=1e-12)
    assert (preprocessing.standardised(np.full([1, 4, 4, 1], 9, np.uint8)) == 0).all()
    assert preprocessing.CHOICES["edges"](train, test, 0)[0].shape == (30, 8 * 8 * 3 + 9 * 7 * 3)


def test_whitening_evens_the_variances_out():
    draw = np.random.default_rng(0)
    train = (128 + 20 * draw.normal(size=[400, 1, 1, 6]) @ draw.normal(size=[6, 6])).clip(0, 255)
    x, _ = preprocessing.CHOICES["whitened"](train.astype(np.uint8), train[:1].astype(np.uint8), 0)
    plain = preprocessing.standardised(train.astype(np.uint8))
    spread = [np.linalg.eigvalsh(part.T @ part / 400)[1:] for part in (x, plain)]  # one is 0
    assert spread[0][-1] < 1.01 and spread[0][-1] / spread[0][0] < 2 < 20 < (
        spread[1][-1] / spread[1][0]
    )
