"""The compiled training steps against a loop in plain NumPy; dispatch, sums, divergence."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_steps import (
    BATCH,
    RATE,
    SEED,
    SIDE,
    K,
    N,
    Reference,
    close,
    make_steps,
    make_table,
    same_bits,
    train,
)

from rethink_tf import models
from rethink_tf.corruptions import checksum
from rethink_tf.data import pipeline
from rethink_tf.data.types import Table
from rethink_tf.training.evaluation import Evaluation


@pytest.mark.parametrize(
    "weight_decay, side, augment",
    [(0.0, 6, "none"), (0.1, 6, "none"), (0.0, 9, "crop"), (0.0, 9, "none")],
)
def test_training_equals_a_loop_in_numpy(weight_decay, side, augment):
    table = make_table(side=side)
    steps = make_steps(table, weight_decay=weight_decay, augment=augment)
    reference = Reference(steps.model.get_weights(), weight_decay)
    seen_by_reference = table
    if augment == "none":  # the centre, whatever lies round it
        border = (side - SIDE) // 2
        cut = slice(border, border + SIDE)
        seen_by_reference = Table(
            table.index, table.images[:, cut, cut].copy(), table.true, table.given, K
        )
    for number in (1, 2):
        steps.begin_epoch(number, RATE)
        assert steps.advance(steps.advance(0, 100), 100) == steps.steps_per_epoch == 4
        reference.epoch(seen_by_reference, number, crop=augment == "crop")
        for got, expected in zip(steps.model.get_weights(), reference.w, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
        running = steps.running()
        assert running["loss_sum"] == pytest.approx(reference.loss_sum, abs=1e-3)
        assert running["correct"] == reference.correct


@pytest.mark.parametrize("jit", [False, True])
def test_the_dispatch_size_does_not_change_the_bits(jit):
    counts = (1, 100) if jit else (1, 2, 3, 100)
    runs = [make_steps(jit=jit) for _ in counts]
    sums = [train(steps, 2, count) for steps, count in zip(runs, counts, strict=True)]
    for steps, total in zip(runs, sums, strict=True):
        assert same_bits(runs[0], steps)
        assert total == sums[0]
    assert not same_bits(runs[0], make_steps())  # something was learnt


def test_advance_stops_at_the_remainder_and_at_the_end():
    steps = make_steps()
    steps.begin_epoch(1, RATE)
    assert [steps.advance(0, 1), steps.advance(1, 100), steps.advance(3, 100)] == [1, 3, 4]
    assert steps.running()["seen"] == N


def test_every_example_enters_the_loss_once_an_epoch():
    table = make_table()
    steps = make_steps(table, augment="none")
    expected = checksum.label_checksum(table.index, table.given)
    for epochs in (1, 2):
        running = train(steps, epochs)
        assert (running["seen"], running["checksum"]) == (N, expected)
    assert expected != checksum.label_checksum(table.index, table.true)


def test_the_sums_of_a_half_epoch_are_of_what_was_seen():
    table = make_table()
    steps = make_steps(table)
    steps.begin_epoch(1, RATE)
    steps.advance(0, 2)
    seen = pipeline.order(SEED, 1, N)[: 2 * BATCH]
    running = steps.running()
    assert running["seen"] == 32
    assert running["checksum"] == checksum.label_checksum(table.index[seen], table.given[seen])
    steps.begin_epoch(2, RATE)
    assert set(steps.running().values()) == {0}


def test_a_batch_larger_than_the_set_is_the_set():
    steps = make_steps(batch_size=1000)
    assert (steps.batch_size, steps.steps_per_epoch) == (N, 1)
    assert train(steps)["seen"] == N


def test_compiled_or_not_agree():
    plain, compiled = make_steps(jit=False), make_steps(jit=True)
    sums = [train(steps, 3) for steps in (plain, compiled)]
    close(plain, compiled, 1e-4)
    assert sums[0]["loss_sum"] == pytest.approx(sums[1]["loss_sum"], rel=1e-4)
    assert sums[0]["checksum"] == sums[1]["checksum"]


def test_bfloat16_differs_little_and_keeps_float32_weights():
    def build(precision):
        return lambda: models.build("mlp_1x512", (SIDE, SIDE, 1), K, precision=precision, seed=0)

    full, mixed = (make_steps(build=build(p)) for p in ("float32", "mixed_bfloat16"))
    assert same_bits(full, mixed)
    sums = [train(steps) for steps in (full, mixed)]
    assert not same_bits(full, mixed)
    close(full, mixed, 0.02)
    assert sums[0]["loss_sum"] == pytest.approx(sums[1]["loss_sum"], rel=0.02)
    assert {v.dtype for v in (*mixed.weights, *mixed.optimizer.slots)} == {tf.float32}
    found = Evaluation(mixed).evaluate(mixed.resident, N)
    assert (found.loss.dtype, found.margin.dtype) == (np.float32, np.float32)


def test_weight_decay_is_no_part_of_the_reported_loss():
    without, heavy = make_steps(), make_steps(weight_decay=10.0)
    losses = []
    for steps in (without, heavy):
        losses.append(float(Evaluation(steps).evaluate(steps.resident, N).loss.mean()))
        steps.begin_epoch(1, RATE)
        steps.advance(0, 1)
        losses.append(steps.running()["loss_sum"] / BATCH)  # before the first update
    reported = losses[1]
    penalty = 5 * sum(float((w**2).sum()) for w in make_steps().model.get_weights())
    assert penalty > 10 * reported
    assert losses[:2] == pytest.approx(losses[2:])


# Divergence


def linear_model():
    import keras

    inputs = keras.Input([SIDE, SIDE, 1])
    return keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(inputs)))


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("step", [0, 2, 3])
def test_the_first_step_without_a_finite_loss_is_named(step, count):
    table = make_table()
    images = table.images.astype(np.float32)
    images[pipeline.order(SEED, 1, N)[step * BATCH + 1]] = np.nan  # 3 is the remainder
    table = Table(table.index, images, table.true, table.given, K)
    steps = make_steps(table, build=linear_model)
    train(steps, count=count)
    assert steps.diverged_at() == step
    steps.begin_epoch(2, RATE)
    assert steps.diverged_at() is None


def test_an_honest_epoch_has_not_diverged():
    steps = make_steps()
    train(steps, 2)
    assert steps.diverged_at() is None


def test_a_weight_that_is_no_number_is_seen():
    steps = make_steps(make_table())
    assert steps.weights_finite()
    weight = steps.weights[0]
    spoilt = weight.numpy()
    spoilt[0, 0] = np.nan
    weight.assign(spoilt)
    assert not steps.weights_finite()
