"""Laws that hold exactly: an MLP cannot see the order of pixels; corruption is nested in p."""

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_steps import make_steps

from rethink_tf import models
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import pipeline
from rethink_tf.data import registry as datasets
from rethink_tf.training import input_pipeline

REPOSITORY = Path(__file__).resolve().parents[2]
SIDE, EXAMPLES, EPOCHS, RATE = 16, 640, 3, 0.03


def table(kind):
    wanted = RunConfig(model="mlp_1x512", dataset="digits", examples=EXAMPLES, pixels=kind)
    source = input_pipeline.load(run_config.resolve(wanted), say=lambda _: None)
    return input_pipeline.corrupt(source)[0]


def network(kind, order=None):
    """Steps on digits; with `order`, position q is given the weights of position order[q]."""
    steps = make_steps(
        table(kind),
        build=lambda: models.build("mlp_1x512", (SIDE, SIDE, 1), 10, seed=0),
        input_size=SIDE,
        batch_size=32,
    )
    first = steps.weights[0]
    assert first.shape == (SIDE * SIDE, 512)
    if order is not None:
        first.assign(first.numpy()[order])
    return steps


def losses(steps):
    """The mean loss of every step, in the order of training."""
    found = []
    for epoch in range(1, EPOCHS + 1):
        steps.begin_epoch(epoch, RATE)
        before = 0.0
        for step in range(steps.steps_per_epoch):
            assert steps.advance(step, 1) == step + 1
            total = steps.running()["loss_sum"]
            found.append((total - before) / 32)
            before = total
    return np.array(found)


def test_an_mlp_cannot_see_the_order_of_pixels(tensorflow):
    (order,) = pixels.permutations(np.zeros(1, int), SIDE * SIDE, split=SplitId.TRAIN, seed=0)
    originals, permuted, control = (
        network("original"),
        network("shuffled", order),
        network("shuffled"),
    )
    assert (originals.train.images != permuted.train.images).any()
    expected, got, other = (losses(steps) for steps in (originals, permuted, control))
    assert len(expected) == EPOCHS * EXAMPLES // 32 == 60
    assert expected[-10:].mean() < 0.5 < 2 < expected[0]  # it learns
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    # The weights stay permuted likewise, and all others equal.
    for a, b in zip(originals.weights, permuted.weights, strict=True):
        a = a.numpy()[order] if a is originals.weights[0] else a.numpy()
        np.testing.assert_allclose(b.numpy(), a, rtol=0, atol=1e-4)
    # Without the rows permuted the same network sees other inputs.
    assert np.abs(other / expected - 1).max() > 0.05


def real_cifar10():
    for folder in (os.environ.get("TFDS_DATA_DIR"), REPOSITORY.parent / "shared" / "data"):
        if folder and datasets.is_on_disk("cifar10", folder):
            return folder
    return None


def labels_at(split, probability):
    return pipeline.collect(
        pipeline.corrupted(split, Corruption(corrupt=probability)), split.num_classes
    ).given


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        pytest.param(
            "cifar10",
            marks=pytest.mark.skipif(
                real_cifar10() is None, reason="no CIFAR-10 in $TFDS_DATA_DIR or ../shared/data"
            ),
        ),
    ],
)
def test_labels_corrupted_at_a_half_are_the_same_at_nine_tenths(name, tensorflow, tmp_path):
    split, _ = datasets.load(name, data_dir=real_cifar10(), cache_dir=tmp_path)
    half, most = labels_at(split, 0.5), labels_at(split, 0.9)
    changed = half != split.labels
    assert changed.mean() == pytest.approx(0.45, abs=4 * 0.5 / np.sqrt(split.num_examples))
    assert int((half != most)[changed].sum()) == 0
    assert (most != split.labels).mean() == pytest.approx(0.81, abs=0.04)
    assert (half != most)[~changed].mean() > 0.5  # and the others were reached now
