"""Exact evaluation, the words of the label checksum, and two replicas against one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_steps import BATCH, SEED, SIDE, K, N, make_steps, make_table, same_bits, train

from rethink_tf import models
from rethink_tf.corruptions import checksum
from rethink_tf.corruptions.checksum import label_words_tf
from rethink_tf.data import pipeline
from rethink_tf.data.types import Table
from rethink_tf.training import metrics
from rethink_tf.training.evaluation import Evaluation

# Evaluation


def forward(steps, images, given):
    logits = steps.model(pipeline.standardise(images), training=False).numpy()
    own = np.eye(K, dtype=bool)[given]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(given, logits).numpy()
    return loss, logits.argmax(axis=1), logits[own] - np.where(own, -np.inf, logits).max(axis=1)


@pytest.mark.parametrize("batch", [1, 7, 25, 50, 500])
def test_evaluation_is_one_forward_pass_over_each_example(batch):
    table = make_table()
    steps = make_steps(table)
    train(steps, 3)
    found = Evaluation(steps).evaluate(steps.resident, N, batch=batch)
    loss, predicted, margin = forward(steps, table.images, table.given)
    assert len(found.loss) == len(found.predicted) == len(found.margin) == N
    np.testing.assert_array_equal(found.predicted, predicted)
    np.testing.assert_allclose(found.loss, loss, atol=1e-5)
    np.testing.assert_allclose(found.margin, margin, atol=1e-5)
    np.testing.assert_array_equal(found.margin > 0, predicted == table.given)
    assert len(set(predicted)) > 1


def test_another_table_is_evaluated_by_the_same_steps():
    test = make_table(n=33)
    steps = make_steps()
    train(steps)
    found = Evaluation(steps).evaluate(steps.place(test), 33, batch=10)
    loss, predicted, _ = forward(steps, test.images, test.given)
    np.testing.assert_array_equal(found.predicted, predicted)
    np.testing.assert_allclose(found.loss, loss, atol=1e-5)


def test_evaluation_takes_the_centre_of_larger_images():
    table = make_table(side=9)
    steps = make_steps(table, augment="crop")
    found = Evaluation(steps).evaluate(steps.resident, N)
    loss, predicted, _ = forward(steps, table.images[:, 1:7, 1:7], table.given)
    np.testing.assert_array_equal(found.predicted, predicted)
    np.testing.assert_allclose(found.loss, loss, atol=1e-5)


def test_dropout_and_batch_statistics_are_for_training_only():
    import keras

    def build():
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input([SIDE, SIDE, 1])
        x = keras.layers.Flatten()(x)
        x = keras.layers.BatchNormalization(momentum=0.5)(x)
        x = keras.layers.Dropout(0.5)(x)
        return keras.Model(inputs, keras.layers.Dense(K)(x))

    table = make_table()
    steps = make_steps(table, build=build)
    steps.begin_epoch(1, 0.0)
    before = Evaluation(steps).evaluate(steps.resident, N)
    steps.advance(0, 3)  # at rate 0 only the moving averages move
    after = Evaluation(steps).evaluate(steps.resident, N, batch=7)
    loss, predicted, _ = forward(steps, table.images, table.given)
    np.testing.assert_allclose(after.loss, loss, atol=1e-5)
    np.testing.assert_array_equal(after.predicted, predicted)
    assert np.abs(after.loss - before.loss).max() > 1e-3
    first = pipeline.order(SEED, 1, N)[:48]
    assert abs(steps.running()["loss_sum"] - loss[first].sum()) > 0.5  # with half the inputs


def test_evaluation_changes_nothing():
    steps, other = make_steps(), make_steps()
    train(steps)
    before = steps.running()
    train(other)
    Evaluation(steps).evaluate(steps.resident, N)
    assert steps.running() == before
    assert same_bits(steps, other)


def test_a_stop_while_statistics_are_measured_saves_those_of_before():
    """A layer that is called as in inference gathers none, so a resume must find its own."""
    import keras

    class Fixed(keras.layers.Layer):
        """Calls its normalisation as in inference, whatever the model is called as."""

        def __init__(self):
            super().__init__(name="fixed")
            self.norm = keras.layers.BatchNormalization()

        def call(self, x):
            return self.norm(x, training=False)

    def build():
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input([SIDE, SIDE, 1])
        x = Fixed()(x)
        x = keras.layers.BatchNormalization(name="own")(x)
        return keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(x)))

    def measured(between=None):
        steps = make_steps(build=build)
        steps.begin_epoch(1, 0.0)
        steps.advance(0, 3)
        fixed = steps.model.get_layer("fixed").norm
        for value in (fixed.moving_mean, fixed.moving_variance):
            value.assign([7.0])
        before = steps.variables.state()
        seen = []
        Evaluation(steps).recalibrate(between and (lambda: seen.append(steps.variables.state())))
        assert (fixed.moving_mean.numpy(), fixed.moving_variance.numpy()) == (7, 7)
        return before, seen, steps.variables.state()

    before, seen, after = measured(between=True)
    assert len(seen) == N // BATCH
    for state in seen:
        for name, values in before.items():
            np.testing.assert_array_equal(state[name], values, name)
    _, _, alone = measured()
    assert any((after[name] != values).any() for name, values in before.items())
    for name, values in alone.items():
        np.testing.assert_array_equal(after[name], values, name)


def test_layers_that_change_their_own_weights_keep_them():
    """A spectral normalisation divides its kernel by its norm in each forward pass of training."""
    import keras

    def build():
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input([SIDE, SIDE, 1])
        x = keras.layers.BatchNormalization(name="own")(x)
        dense = keras.layers.SpectralNormalization(keras.layers.Dense(K))
        return keras.Model(inputs, dense(keras.layers.Flatten()(x)))

    steps = make_steps(build=build)
    steps.begin_epoch(1, 0.0)
    before, seen = steps.variables.state(), []
    # Statistics alone change: the kernel and the vectors of its norm are none.
    Evaluation(steps).recalibrate(lambda: seen.append(steps.variables.state()))
    after = steps.variables.state()
    changed = [name for name in before if (after[name] != before[name]).any()]
    assert sorted(before[name].shape for name in changed) == [(1, 1), (1, 1)]
    assert all((state[name] == before[name]).all() for state in seen for name in before)
    steps.advance(0, 1)
    trained = steps.variables.state()
    assert any((trained[name] != after[name]).any() for name in before if name not in changed)


@pytest.mark.parametrize(("uses", "momentum"), [(1, 0.99), (2, 0.99), (3, 0.5), (2, 0.0)])
def test_a_shared_layer_gets_the_statistics_of_all_its_uses(uses, momentum):
    """Each use updates the averages, so one pass over the data updates them several times."""
    import keras

    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input([SIDE, SIDE, 1])
        shared = keras.layers.BatchNormalization(momentum=momentum, name="shared")
        large = keras.layers.Rescaling(1e6)(inputs)
        used = [shared(large) for _ in range(uses)]
        x = keras.layers.Add()(used) if uses > 1 else used[0]
        return keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(x)))

    table = make_table()
    steps = make_steps(table, build=build)
    steps.begin_epoch(1, 0.0)
    evaluation = Evaluation(steps)
    for _ in range(2):  # the calls are counted once
        evaluation.recalibrate()
        shared = steps.model.get_layer("shared")
        seen = 1e6 * np.asarray(pipeline.standardise(table.images))
        variances = [
            seen[pipeline.order(SEED, 1, N)[low : low + BATCH]].var()
            for low in range(0, N // BATCH * BATCH, BATCH)
        ]
        (variance,) = shared.moving_variance.numpy()
        assert min(variances) * 0.999 < variance < max(variances) * 1.001


@pytest.mark.parametrize("scale", [1e20, 1e38])
def test_averages_that_overflow_do_not_end_the_measurement(scale):
    """A run whose weights grow without bound ends as diverged, by the loss."""
    import keras

    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input([SIDE, SIDE, 1])
        large = keras.layers.Dense(4, name="large")
        x = keras.layers.BatchNormalization()(large(keras.layers.Flatten()(inputs)))
        model = keras.Model(inputs, keras.layers.Dense(K)(x))
        large.kernel.assign(scale * large.kernel)
        return model

    steps = make_steps(build=build)
    steps.begin_epoch(1, 0.0)
    evaluation = Evaluation(steps)
    evaluation.recalibrate()
    assert len(evaluation.evaluate(steps.resident, N).loss) == N


def test_a_layer_of_ones_own_may_call_the_share_of_the_batch_its_momentum():
    """As PyTorch does."""
    import keras

    class Norm(keras.layers.Layer):
        momentum = 0.1

        def build(self, shape):
            self.moving_mean = self.add_weight(shape=(1,), initializer="zeros", trainable=False)
            self.moving_variance = self.add_weight(shape=(1,), initializer="ones", trainable=False)

        def call(self, x, training=False):
            if training:
                mean, variance = tf.nn.moments(x, [0, 1, 2])
                for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                    moving.assign((1 - self.momentum) * moving + self.momentum * new)
            return (x - self.moving_mean) * tf.math.rsqrt(self.moving_variance + 1e-3)

    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input([SIDE, SIDE, 1])
        x = Norm(name="norm")(keras.layers.Rescaling(2.0)(inputs))
        return keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(x)))

    steps = make_steps(build=build)
    steps.begin_epoch(1, 0.0)
    Evaluation(steps).recalibrate()
    (variance,) = steps.model.get_layer("norm").moving_variance.numpy()
    assert abs(variance - 4) < 0.01  # twice a standardised image


# The checksum's words


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_label_words_are_equal_in_numpy_and_tensorflow(mode):
    index = np.concatenate([np.arange(2000), [2**31 - 1, 2**31, 2**32 - 1, 1_281_166]])
    labels = (index % 1000).astype(np.int32)
    words = label_words_tf
    if mode != "eager":
        words = tf.function(words, jit_compile=mode == "xla")
    got = words(tf.constant(index), tf.constant(labels)).numpy()
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, checksum.label_words(index, labels))
    assert len(np.unique(got)) == len(index)


def test_label_words_are_pinned():
    assert checksum.label_words(np.arange(3), np.array([1, 2, 3])).tolist() == [
        8517418915908675709,
        8779538357775800849,
        5225018007820003861,
    ]
    assert checksum.label_checksum(np.arange(20), np.arange(20) % 10) == 4876653368829457164


def test_the_checksum_betrays_exchanged_changed_repeated_and_missing_labels():
    index, labels = np.arange(500) * 7, (np.arange(500) % 10).astype(np.int32)
    right = checksum.label_checksum(index, labels)
    moved = np.random.default_rng(0).permutation(500)
    assert checksum.label_checksum(index[moved], labels[moved]) == right
    wrong = [
        checksum.label_checksum(index, labels[moved]),
        checksum.label_checksum(index, 9 - labels),
    ]
    for i in range(1, 100):  # two labels exchanged; one changed; one example twice for another
        exchanged = labels.copy()
        exchanged[[0, i]] = exchanged[[i, 0]]
        if labels[0] != labels[i]:
            wrong.append(checksum.label_checksum(index, exchanged))
        twice = np.where(np.arange(500) == i, 0, np.arange(500))
        wrong.append(checksum.label_checksum(index[twice], labels[twice]))
    assert len(wrong) == 191
    assert right not in wrong


class Logits:
    """In place of a model: the logits of a table, found by the first pixel."""

    layers, losses, trainable_variables, non_trainable_variables = (), (), (), ()

    def __init__(self, logits):
        self.logits = tf.constant(logits, tf.float32)

    def __call__(self, images, training):
        return tf.gather(self.logits, tf.cast(images[:, 0, 0, 0], tf.int32))


def test_classes_ahead_of_the_given_one_by_hand():
    """Of equal logits the first class is ahead, as argmax has it; NaN is ahead of all."""
    logits = [
        [9, 8, 7, 6, 5, 4, 3],  # 4: four ahead, the fifth
        [9, 8, 7, 6, 5, 4, 3],  # 5: the sixth
        [1, 1, 1, 1, 1, 1, 1],  # 4: tied with the four before it
        [1, 1, 1, 1, 1, 1, 1],  # 5: tied with five before it
        [0, 2, 2, 0, 2, 0, 3],  # 2: behind 6 and its equal, 1
        [0, 0, 0, 0, 0, 0, np.nan],  # 0: behind the NaN
        [np.nan, 0, 0, 0, 0, 0, 0],  # 0: NaN itself
    ]
    given = np.array([4, 5, 4, 5, 2, 0, 0], np.int32)
    images = np.arange(7, dtype=np.uint8)[:, None, None, None]
    table = Table(np.arange(7), images, given, given, 7)
    steps = make_steps(table, build=lambda: Logits(logits), input_size=1, preprocess=lambda x: x)
    found = Evaluation(steps).evaluate(steps.resident, 7, batch=4)
    assert found.ahead.tolist() == [4, 5, 4, 5, 2, 1, 7]
    assert metrics.top5(found, 7) == 4 / 7


# Replicas


def compare_replicas():
    """Two logical CPUs against one, in a process of its own (the test below starts it)."""
    found = {}
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # One strategy for all: the collectives of a second one would get the keys of the first.
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    # Batches of 15 split 7 and 8, the remainder of 5 splits 2 and 3; crops depend on the example.
    for name, changes in {
        "plain": {},
        "crop": {"table": make_table(side=9), "augment": "crop"},
        "decay": {"weight_decay": 0.1},
    }.items():
        one, two = (
            make_steps(batch_size=15, **changes),
            make_steps(batch_size=15, strategy=mirrored, **changes),
        )
        sums = [train(steps, 2, 2) for steps in (one, two)]
        outcomes = [Evaluation(steps).evaluate(steps.resident, N, batch=7) for steps in (one, two)]
        pairs = zip(one.model.get_weights(), two.model.get_weights(), strict=True)
        found[name] = {
            "replicas": two.strategy.num_replicas_in_sync,
            "weights": max(float(np.abs(a - b).max()) for a, b in pairs),
            "loss": abs(sums[0]["loss_sum"] - sums[1]["loss_sum"]),
            "counts": [[s["seen"], s["correct"], s["checksum"]] for s in sums],
            "predicted": [o.predicted.tolist() for o in outcomes],
            "evaluated": float(np.abs(outcomes[0].loss - outcomes[1].loss).max()),
        }
    print(json.dumps(found))


@pytest.mark.slow
def test_two_replicas_give_what_one_gives():
    here = Path(__file__)
    places = [str(folder) for folder in (here.parent, here.parents[1] / "support", here.parents[2])]
    code = f"import sys; sys.path[:0] = {places!r}\n"
    code += "import test_evaluation; test_evaluation.compare_replicas()"
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=quiet, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        assert found["replicas"] == 2
        assert found["weights"] < 1e-5, name
        assert found["loss"] < 1e-3, name
        assert found["counts"][0] == found["counts"][1], name
        assert found["counts"][0][0] == N
        assert found["predicted"][0] == found["predicted"][1], name
        assert len(found["predicted"][0]) == N
        assert found["evaluated"] < 1e-5, name


def test_statistics_taken_anew_depend_on_the_weights_alone_and_change_no_training():
    def build():
        return models.build("wrn_10_1", (SIDE, SIDE, 1), K, dropout=0.5, seed=1)

    table = make_table()
    plain, renewed = (make_steps(table, build=build) for _ in range(2))
    train(plain, 1), train(renewed, 1)
    layers = [x for x in renewed.model.layers if hasattr(x, "moving_variance")]
    assert len(layers) == 7

    def statistics():
        return [np.stack([x.moving_mean, x.moving_variance]) for x in layers]

    Evaluation(renewed).recalibrate()
    first = statistics()
    for layer in layers:
        layer.moving_mean.assign(layer.moving_mean + 7)
    Evaluation(renewed).recalibrate()
    for one, again in zip(first, statistics(), strict=True):
        np.testing.assert_array_equal(one, again)
    # The first layer's are debiased means over the whole batches of the order, in their order.
    conv = renewed.model.layers[1]
    order = pipeline.order(SEED, 1, N)
    weight, expected = 0.0, 0.0
    for step in range(N // BATCH):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        seen = conv(pipeline.standardise(table.images[chosen])).numpy()
        expected, weight = expected * 0.9 + 0.1 * seen.mean((0, 1, 2)), weight * 0.9 + 0.1
    np.testing.assert_allclose(first[0][0], expected / weight, rtol=1e-4, atol=1e-5)
    train(plain, 1), train(renewed, 1)
    for one, other in zip(plain.weights, renewed.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
