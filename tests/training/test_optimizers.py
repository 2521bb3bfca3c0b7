"""Adam and AdamW against NumPy; decay, precision, replicas, and a resume that is equal in bits."""

import json
import signal

import numpy as np
import pytest
import tensorflow as tf
from own_process import found_by
from short_runs import signal_after, timeless
from tiny_steps import BATCH, RATE, SIDE, K, N, Reference, make_steps, make_table, train

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.runs import checkpoint, results
from rethink_tf.training import run as train_run
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.preemption import StoppedError

LABELLED = {"model": "mlp_1x512", "dataset": "digits", "corrupt": 0.5, "examples": 200}


class Adam(Reference):
    """Kingma and Ba (2015); `decay` is coupled, or decoupled (Loshchilov and Hutter, 2019)."""

    def __init__(self, weights, weight_decay, decoupled):
        super().__init__(weights, weight_decay)
        self.v = [np.zeros_like(w) for w in self.w]
        self.decoupled = decoupled

    def update(self, i, g):
        decay = self.decay if self.w[i].ndim == 2 else 0.0
        if self.decoupled:
            self.w[i] = self.w[i] * (1 - RATE * decay)
        else:
            g = g + decay * self.w[i]
        self.m[i] = 0.9 * self.m[i] + 0.1 * g
        self.v[i] = 0.999 * self.v[i] + 0.001 * g**2
        # Keras adds its epsilon of 1e-7 to the root that is not yet corrected for the start.
        step = RATE * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        self.w[i] = self.w[i] - step * self.m[i] / (np.sqrt(self.v[i]) + 1e-7)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_training_equals_a_loop_in_numpy(name, weight_decay):
    table, decoupled = make_table(), name == "adamw"
    # As `trainer` does: coupled decay is the model's, decoupled decay the optimiser's.
    coupled = 0.0 if decoupled else weight_decay
    own = {"optimizer": name, "decoupled_decay": weight_decay if decoupled else 0.0}
    steps = make_steps(table, weight_decay=coupled, **own)
    expected = Adam(steps.model.get_weights(), weight_decay, decoupled)
    for number in (1, 2):
        steps.begin_epoch(number, RATE)
        steps.advance(steps.advance(0, 100), 100)
        expected.epoch(table, number)
        for got, wanted in zip(steps.model.get_weights(), expected.w, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)
    assert steps.running()["loss_sum"] == pytest.approx(expected.loss_sum, abs=1e-3)


def test_decoupled_decay_spares_biases_and_gains_and_is_no_part_of_the_loss(tensorflow):
    import keras

    def attentive():
        x = inputs = keras.Input([SIDE, SIDE, 1])
        x = keras.layers.Reshape([SIDE, SIDE])(x)
        x = keras.layers.MultiHeadAttention(2, 4)(x, x)
        x = keras.layers.LayerNormalization()(x)
        return keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(x)))

    steps = make_steps(build=attentive, optimizer="adamw", decoupled_decay=5.0)
    assert not steps.model.losses
    spared = [v for v in steps.model.trainable_variables if "kernel" not in v.name]
    assert len(spared) == 4 + 2 + 1, "biases of attention, gain and offset, last bias"
    for variable in steps.model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    steps.begin_epoch(1, RATE)  # the gradient of equal weights moves by the rate at most
    steps.advance(0, 1)
    for variable in steps.model.trainable_variables:
        middle = 1.0 if any(variable is other for other in spared) else 1 - 5 * RATE
        assert np.abs(variable.numpy() - middle).max() <= RATE * 1.01, variable.path


def test_bfloat16_keeps_weights_and_state_in_float32():
    from rethink_tf import models

    def build():
        return models.build("mlp_1x512", (SIDE, SIDE, 1), K, precision="mixed_bfloat16", seed=0)

    steps = make_steps(build=build, optimizer="adamw", decoupled_decay=0.1)
    assert train(steps)["seen"] == N and steps.weights_finite()
    kinds = [v.dtype for v in (*steps.weights, *steps.optimizer.slots)]
    assert kinds.count(tf.float32) == len(kinds) - 1, "all but the number of the step"
    assert Evaluation(steps).evaluate(steps.resident, N).loss.dtype == np.float32


# Replicas


def on_two(folder):
    """AdamW on two replicas: weights after two epochs, and whether the state is equal on both."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    steps = make_steps(strategy=strategy, optimizer="adamw", decoupled_decay=0.1)
    train(steps, 2)
    parts = [strategy.experimental_local_results(v) for v in steps.optimizer.slots]
    equal = [all((a.numpy() == b.numpy()).all() for a, b in [own]) for own in parts]
    state = steps.variables.state()
    np.savez(folder / "two.npz", **state)
    # Taken back by other steps, and carried on: the same bits as without a stop.
    train_more(steps)
    again = make_steps(strategy=strategy, optimizer="adamw", decoupled_decay=0.1)
    again.variables.restore(state)
    train_more(again)
    pairs = zip(again.model.get_weights(), steps.model.get_weights(), strict=True)
    print(json.dumps({"equal": equal, "resumed": all((a == b).all() for a, b in pairs)}))


def train_more(steps):
    steps.begin_epoch(3, RATE)
    steps.advance(steps.advance(0, 100), 100)


def test_two_replicas_equal_one(tmp_path):
    found = found_by("on_two", __file__, tmp_path)
    assert len(found["equal"]) == 1 + 2 * 4 and all(found["equal"])
    assert found["resumed"]
    one = make_steps(optimizer="adamw", decoupled_decay=0.1)
    start = [w.copy() for w in one.model.get_weights()]
    train(one, 2)
    state = one.variables.state()
    with np.load(tmp_path / "two.npz") as two:
        names = [name for name in state if name[:4] in ("weig", "slot")]
        assert len(names) == 4 + 9
        for name in names:
            np.testing.assert_allclose(two[name], state[name], rtol=0, atol=2e-5, err_msg=name)
    moved = max(np.abs(a - b).max() for a, b in zip(start, one.model.get_weights(), strict=True))
    assert moved > 0.1


# A run and its resume


def resolved(**changes):
    kinds = LABELLED | {"epochs": 3, "optimizer": "adamw", "weight_decay": 0.05}
    kinds |= {"lr_schedule": "cosine", "warmup_epochs": 1, "batch_size": BATCH}
    return run_config.resolve(RunConfig(**(kinds | changes)))


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "precision": "mixed_bfloat16"}])
def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path, monkeypatch, changes):
    config, silent = resolved(**changes), lambda _: None
    train_run.run(config, tmp_path / "whole", say=silent)
    with monkeypatch.context() as patch:
        signal_after(patch, 17, signal.SIGTERM)  # in the second epoch of 13 steps
        with pytest.raises(StoppedError):
            train_run.run(config, tmp_path / "parts", say=silent)
    (path,) = checkpoint.stored(tmp_path / "parts" / results.CHECKPOINTS)
    header, arrays = checkpoint.read(path)
    assert (header["epoch"], header["step"]) == (1, 4)
    assert sum(name.startswith("slot") for name in arrays) == 1 + 2 * 4
    assert arrays["slot0000"] == 17, "the number of the step"
    train_run.run(config, tmp_path / "parts", say=silent)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    rates = [line["learning_rate"] for line in results.read_history(tmp_path / "whole")]
    assert rates == pytest.approx([0.0005, 0.001, 0.0005])


def test_a_checkpoint_of_another_optimiser_does_not_fit(tmp_path):
    steps, other = make_steps(), make_steps(optimizer="adam")
    with pytest.raises(KeyError, match="slot0000"):
        other.variables.restore(steps.variables.state())


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(RequestError, match="--optimizer: .*sgd, adam, adamw; received adagrad"):
        resolved(optimizer="adagrad")
