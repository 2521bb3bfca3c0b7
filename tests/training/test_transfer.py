"""A trained network moved to other images: what is frozen stays, what is new learns the same."""

import dataclasses
import shutil

import numpy as np
import pytest

from rethink_tf import main
from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import ExitCode, RequestError, StorageError
from rethink_tf.runs import checkpoint, pretrained, results
from rethink_tf.training import run as train

pytestmark = pytest.mark.usefixtures("light_runs")
OPTIONS = Options(keep_epochs=(1,), checkpoint_every=1)
SMALL = {"dataset": "digits", "examples": 150, "batch_size": 50, "input_size": 8}
CHILD = {"dataset": "digits", "examples": 120, "batch_size": 50, "epochs": 4, "corrupt": 0.5}


def quiet(_line):
    """In place of `say`."""


def run(wanted, runs_dir):
    resolved = run_config.resolve(wanted)
    folder = runs_dir / run_config.run_id(resolved)
    return train.run(resolved, folder, options=OPTIONS, say=quiet), folder


@pytest.fixture(scope="module")
def mlp(tensorflow, tmp_path_factory):
    """The folder of a trained MLP; dropout, so that it has a seed state."""
    wanted = RunConfig(model="mlp_1x512", epochs=3, dropout=0.2, **SMALL)
    return run(wanted, tmp_path_factory.mktemp("mlp"))[1]


@pytest.fixture(scope="module")
def normalised(tensorflow, tmp_path_factory):
    """The folder of a trained network with batch normalisation and its data set's moments."""
    wanted = RunConfig(model="wrn_10_1", epochs=1, preprocess="channel_norm", **SMALL)
    return run(wanted, tmp_path_factory.mktemp("normalised"))[1]


def child_of(parent, **fields):
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | CHILD | fields
    return run_config.resolve(
        pretrained.adopt(RunConfig(init_from=str(parent), **wanted), "no runs")
    )


def frozen(parent, **fields):
    return child_of(parent, **{"freeze": "all_but_last"} | fields)


def test_held_out_examples_that_the_parent_was_trained_on_are_refused(mlp):
    from rethink_tf.training import input_pipeline

    with pytest.raises(RequestError, match=r"--held_out: .*received 30 of 30 that it was; train"):
        input_pipeline.load(frozen(mlp, examples=120, held_out=30), say=quiet)
    source = input_pipeline.load(frozen(mlp, examples=150, held_out=30), say=quiet)
    assert source.test.num_examples == 30


def prepared(resolved):
    """(learner, Table of training images, preprocess, every model that was built)."""
    from rethink_tf.training import input_pipeline, trainer, transfer

    built = []

    def build(*arguments):
        built.append(trainer.build_model(*arguments))
        return built[-1]

    source = input_pipeline.load(resolved, say=quiet)
    audited = input_pipeline.audited(source)
    images = audited.train
    parent = pretrained.load_parent(resolved)
    learner = transfer.learner(
        resolved,
        parent,
        images,
        audited.test,
        source.preprocess,
        sealed=input_pipeline.sealed(resolved, source, audited),
        build=build,
        say=quiet,
    )
    return learner, images, source.preprocess, built


def make_steps(learner, build=None, **changes):
    import tensorflow as tf

    from rethink_tf.training.train_step import Steps

    kinds = {"batch_size": 50, "input_size": learner.input_size, "augment": "none"}
    kinds |= {"momentum": 0.9, "seed": 0, "jit": False, "preprocess": learner.preprocess}
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    return Steps(
        build or learner.build, strategy, changes.pop("table", learner.train), **kinds | changes
    )


def train_steps(steps, epochs=3):
    for epoch in range(1, epochs + 1):
        steps.begin_epoch(epoch, 0.05)
        step = 0
        while step < steps.steps_per_epoch:
            step = steps.advance(step, 10)
    return steps.model


def same(first, second):
    return len(first) == len(second) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in zip(first, second, strict=True)
    )


def without_seeds(arrays):
    return [array for array in arrays if array.dtype == np.float32]


def before_the_last(model):
    return [w.numpy() for w in model.weights][:-2]


@pytest.mark.parametrize("name", ["mlp", "normalised"])
def test_features_are_what_the_last_layer_gets(name, request):
    parent = request.getfixturevalue(name)
    learner, images, preprocess, built = prepared(frozen(parent))
    ended = without_seeds(_end_of(parent))[:-2]
    assert same(before_the_last(built[1]), ended), "statistics too"
    width = {"mlp": 512, "normalised": 64}[name]
    for table in (learner.train, learner.test):
        assert table.images.dtype == np.float32
        assert table.images.shape == (table.num_examples, 1, 1, width)
    kernel, bias = (w.numpy() for w in built[1].layers[-1].weights)
    logits = built[1](preprocess(images.images), training=False).numpy()
    np.testing.assert_allclose(
        learner.train.images[:, 0, 0] @ kernel + bias, logits, rtol=0, atol=1e-4
    )
    head = learner.build()
    assert same(head.get_weights(), [kernel, bias]) and len(head.trainable_variables) == 2
    np.testing.assert_allclose(head(learner.train.images), logits, rtol=0, atol=1e-4)
    for field in ("index", "true", "given"):
        np.testing.assert_array_equal(getattr(learner.train, field), getattr(images, field))


def _end_of(folder):
    """The variables of a finished parent, by way of its newest checkpoint and the model."""
    from rethink_tf.training import trainer

    own = run_config.from_dict(results.read_summary(folder)["config"])
    model = trainer.build_model(own, 1, 10)
    _, arrays = checkpoint.newest(folder / results.CHECKPOINTS, pytest.fail)
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(arrays[f"weight{i:04d}"])
    for i, variable in enumerate(model.non_trainable_variables):
        variable.assign(arrays[f"local{i:04d}"][0].astype(variable.dtype))
    return [variable.numpy() for variable in model.variables]


@pytest.mark.parametrize("model", ["mlp_1x512", "alexnet"])
def test_it_is_training_the_last_layer_of_the_frozen_network(model, tensorflow):
    fields = {"model": model, "input_size": 8, "examples": 110}
    learner, images, preprocess, built = prepared(frozen("random", **fields))
    whole = built[0]
    for layer in whole.layers[:-1]:
        layer.trainable = False
    before = before_the_last(whole)
    whole = train_steps(
        make_steps(learner, lambda: whole, table=images, input_size=8, preprocess=preprocess)
    )
    alone = train_steps(make_steps(learner))
    assert same(before_the_last(whole), before)
    for one, other in zip(alone.get_weights(), whole.get_weights()[-2:], strict=True):
        assert np.abs(one).max() > 0.01
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_fine_tuning_starts_from_the_parent_and_moves_all(mlp):
    resolved = child_of(mlp, dropout=0.0)
    learner, images, _, _ = prepared(resolved)
    assert learner.train is images and learner.input_size == 8
    steps = make_steps(learner)
    ended = without_seeds(_end_of(mlp))
    assert same(before_the_last(steps.model), ended[:-2])
    last = [w.numpy() for w in steps.model.layers[-1].weights]
    assert np.abs(last[0] - ended[-2]).max() > 0.01, "the last layer is a new one"
    assert not any(m.numpy().any() for m in steps.optimizer.slots)
    train_steps(steps, 1)
    assert all((a != b).any() for a, b in zip(before_the_last(steps.model), ended, strict=False))


def test_an_early_epoch_is_taken_from_its_snapshot(mlp):
    resolved = child_of(mlp, init_epoch=1)
    steps = make_steps(prepared(resolved)[0])
    kept = without_seeds(results.read_snapshot(mlp, 1))
    assert same(before_the_last(steps.model), kept[:-2])
    assert not same(kept, without_seeds(_end_of(mlp)))


def test_a_snapshot_between_evaluations_has_measured_statistics(normalised, tmp_path):
    """Those of moving averages would give other features."""
    wanted = RunConfig(model="wrn_10_1", epochs=2, eval_every=2, preprocess="channel_norm", **SMALL)
    _, folder = run(wanted, tmp_path)
    assert results.read_history(folder)[0]["train_accuracy"] is None
    assert same(results.read_snapshot(folder, 1), results.read_snapshot(normalised, 1))


def test_a_frozen_run_and_its_resume(mlp, tmp_path, monkeypatch):
    from rethink_tf.training.recording import samples

    drawn = []

    def draw(_config, _source, table):
        drawn.append(table.images.shape)
        return np.zeros([8, 8, 3], np.uint8)

    monkeypatch.setattr(samples, "run_samples", draw)
    resolved = frozen(mlp)
    summary, folder = run(resolved, tmp_path)
    assert summary["parameters"] == 5130  # 512 x 10 and 10
    own = results.read_summary(mlp)
    expected = {"run_id": own["run_id"], "epoch": 3, "weights_hash": own["weights_hash"]}
    assert summary["parent"] == expected == results.read_config(folder)["parent"]
    checks = {check["name"]: check["passed"] for check in summary["audit"]}
    assert checks["given_equals_reference"] and checks["images_untouched_train"]
    assert checks["standardised"] and summary["changed_fraction"] > 0.3
    assert summary["test_accuracy"] > 0.3 and summary["status"] == "DONE"
    assert (folder / results.SAMPLES).is_file()
    assert drawn == [(120, 8, 8, 1)], "the images are drawn, not the features"
    # Killed in its last epoch: the same command ends as it would have.
    (folder / results.SUMMARY).unlink()
    checkpoint.stored(folder / results.CHECKPOINTS)[-1].unlink()
    again, _ = run(resolved, tmp_path)
    assert results.read_config(folder)["resumed"][0]["epoch"] == 3
    left_out = {"timing": 0, "sha256": 0}  # a digest is of the wall clock, too
    assert {**again, **left_out} == {**summary, **left_out}


def test_corrupted_pixels_are_audited_before_the_features(mlp, tmp_path):
    summary, _ = run(frozen(mlp, pixels="random", corrupt=0.0, epochs=1), tmp_path)
    checks = {check["name"]: check["passed"] for check in summary["audit"]}
    assert checks["pixels_equal_reference_train"] and checks["pixel_multiset_kept_test"]
    assert summary["changed_fraction"] == 0


def test_random_weights_with_statistics_that_normalise(tensorflow, tmp_path):
    fields = {"model": "wrn_10_1", "input_size": 8, "corrupt": 0.0}
    resolved = frozen("random", **fields)
    learner, _, _, built = prepared(resolved)
    variances = [x.moving_variance.numpy() for x in built[0].layers if hasattr(x, "momentum")]
    assert len(variances) == 7 and not any((v == 1).all() for v in variances)
    assert 0.1 < learner.train.images.std() < 3
    again = prepared(resolved)[0]
    assert again.train.images.tobytes() == learner.train.images.tobytes()
    other = prepared(dataclasses.replace(resolved, seed=1, examples=None))[0]
    assert other.train.images[0].tobytes() != learner.train.images[0].tobytes()
    summary, _ = run(resolved, tmp_path)
    assert summary["parent"] == {"run_id": "random:digits", "epoch": 0, "weights_hash": None}
    assert summary["test_accuracy"] > 0.2  # chance is 0.1


@pytest.mark.parametrize("uses", [1, 2])
def test_random_weights_take_the_statistics_of_each_layer_as_it_is_used(tensorflow, uses):
    """A shared layer is updated at each use; one that gathers nothing keeps its own."""
    import keras

    from rethink_tf.training.transfer import _take_statistics

    class Fixed(keras.layers.Layer):
        """Calls its normalisation as in inference."""

        def __init__(self):
            super().__init__()
            self.norm = keras.layers.BatchNormalization()

        def call(self, x):
            return self.norm(x, training=False)

    inputs = keras.Input([6, 6, 1])
    shared = keras.layers.BatchNormalization(name="shared")
    used = [shared(inputs) for _ in range(uses)]
    x = keras.layers.Add()(used) if uses > 1 else used[0]
    frozen_one, fixed = keras.layers.BatchNormalization(trainable=False), Fixed()
    model = keras.Model(inputs, fixed(frozen_one(x)))
    kept = [frozen_one, fixed.norm]
    for layer in kept:
        layer.moving_mean.assign([3.0])
        layer.moving_variance.assign([7.0])
    seen = np.random.default_rng(0).normal(5, 2, (50, 6, 6, 1)).astype(np.float32)
    _take_statistics(model, seen)
    np.testing.assert_allclose(shared.moving_mean.numpy(), seen.mean(), rtol=1e-4)
    np.testing.assert_allclose(shared.moving_variance.numpy(), seen.var(), rtol=1e-4)
    for layer in kept:
        assert (layer.moving_mean.numpy(), layer.moving_variance.numpy()) == (3, 7)


def test_weights_that_are_not_the_parents_are_refused(mlp, tmp_path, tensorflow, refused):
    folder = shutil.copytree(mlp, tmp_path / mlp.name)
    shutil.rmtree(folder / results.CHECKPOINTS)
    summary = results.read_summary(folder)
    header, arrays = checkpoint.newest(mlp / results.CHECKPOINTS, pytest.fail)
    arrays["weight0001"][0] += 1e-6
    checkpoint.save(folder / results.CHECKPOINTS, header, arrays)
    argv = ["--dataset=digits", "--examples=100", "--epochs=1", f"--runs_dir={tmp_path}"]
    code, err = refused(f"--init_from={mlp.name}", "--freeze=all_but_last", *argv)
    assert code == ExitCode.STORAGE_FAILED
    assert f"expected weights of hash {summary['weights_hash']} after epoch 3, found " in err
    assert [path.name for path in tmp_path.iterdir()] == [mlp.name], "nothing is left behind"
    arrays["weight0000"] = arrays["weight0000"][1:]
    checkpoint.save(folder / results.CHECKPOINTS, header, arrays)
    with pytest.raises(StorageError, match="arrays of other shapes"):
        prepared(frozen(folder))
    code, err = refused(f"--init_from={mlp.name}", "--model=alexnet", *argv)
    assert code == ExitCode.WRONG_REQUEST
    assert f"--model: expected mlp_1x512, that of the parent {mlp.name}, received alexnet" in err


def test_weight_decay_without_effect_is_refused(tensorflow):
    fields = {"model": "alexnet", "input_size": 8, "weight_decay": 0.004}
    with pytest.raises(RequestError, match="--weight_decay: expected 0, .*received 0.004$"):
        prepared(frozen("random", **fields))
    learner = prepared(frozen("random", **fields | {"model": "mlp_1x512"}))[0]
    assert len(learner.build().losses) == 1


def test_a_dry_run_counts_what_is_trained(mlp, capsys):
    argv = [f"--init_from={mlp}", "--freeze=all_but_last", "--dataset=digits", "--dry_run"]
    assert main.main(argv) == 0
    out = capsys.readouterr().out
    assert "Parameters               5,130 trainable" in out and "freeze all_but_last" in out
