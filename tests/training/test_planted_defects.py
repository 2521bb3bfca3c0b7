"""Defects planted after the audit: each ends the run INVALID, by the seal that is meant for it.

Every test breaks one thing inside a real run on digits; the honest run beside them ends DONE.
"""

import contextlib
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from rethink_tf.analysis import rademacher
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import pipeline
from rethink_tf.data import registry as datasets
from rethink_tf.errors import AuditError, ExitCode
from rethink_tf.runs import results
from rethink_tf.training import input_pipeline, restore, trainer, transfer
from rethink_tf.training import run as train
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.recording import samples
from rethink_tf.training.train_step import Steps

SMALL = {"model": "alexnet", "dataset": "digits", "examples": 100, "epochs": 3, "batch_size": 40}


def small_model(config, channels, num_classes):
    """In place of every network: what is tested is what reaches it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input([config.input_size, config.input_size, channels])
    outputs = keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No large network, and no pictures."""
    monkeypatch.setattr(trainer, "build_model", small_model)
    monkeypatch.setattr(samples, "record_samples", lambda *_: None)


def resolved(**changes):
    return run_config.resolve(RunConfig(**SMALL | {"corrupt": 0.5} | changes))


def run(folder, **changes):
    return train.run(resolved(**changes), folder, say=lambda _: None)


def refused(folder, seal, epochs=1, **changes):
    """The reason of a run that ends INVALID by a seal, after so many epochs; it stays so."""
    with pytest.raises(AuditError, match="INVALID") as error:
        run(folder, **changes)
    assert error.value.exit_code == ExitCode.INVALID == 3
    summary = results.read_summary(folder)
    assert (summary["status"], summary["epochs"]) == ("INVALID", epochs)
    assert f"(seal: {seal})" in summary["reason"], summary["reason"]
    assert str(error.value) == f"INVALID: {summary['reason']}"
    assert "\n" not in summary["reason"]
    return summary["reason"]


@pytest.fixture
def source(monkeypatch):
    """The Source that a run reads, once it has: {"train": Split, "test": Split}."""
    found, load = {}, input_pipeline.load

    def noted(*args, **kinds):
        read = load(*args, **kinds)
        found.update(train=read.train, test=read.test)
        return read

    monkeypatch.setattr(input_pipeline, "load", noted)
    return found


def on_the_device(monkeypatch, split, change):
    """Breaks what is placed on the device of one split."""
    place = Steps.place

    def wrong(self, table):
        return place(self, change(table) if (table is self.train) == (split == "train") else table)

    monkeypatch.setattr(Steps, "place", wrong)


def in_the_host(monkeypatch, split, change):
    """Breaks the Table of one split that the run goes on with."""
    audited = input_pipeline.audited

    def wrong(source):
        found = audited(source)
        return replace(found, **{split: change(getattr(found, split))})

    monkeypatch.setattr(input_pipeline, "audited", wrong)


PLACES = {"device": on_the_device, "host": in_the_host}
PIXELS = [{"pixels": "shuffled"}, {"pixels": "random"}, {"pixels": "gaussian", "pixel_mix": 0.5}]


@pytest.mark.parametrize("kinds", [{}, *PIXELS, {"augment": "flip_rotate", "input_size": 12}])
def test_the_honest_run_is_done(kinds, tmp_path):
    summary = run(tmp_path, **kinds)
    assert summary["status"] == "DONE"
    assert summary["seals"]["train"]["examples"] == 100
    assert summary["seals"]["train"]["labels"] == summary["label_checksum"]
    history = results.read_history(tmp_path)
    assert [line["violation"] for line in history] == [None] * 3


# Labels


@pytest.mark.parametrize("place", PLACES)
def test_true_labels_in_place_of_the_given_ones(place, monkeypatch, tmp_path):
    PLACES[place](monkeypatch, "train", lambda table: replace(table, given=table.true.copy()))
    reason = refused(tmp_path, "train labels")
    assert ("checksum " in reason and "expected " in reason) == (place == "device")
    assert ("its seal says " in reason) == (place == "host")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("column", ["given", "true"])
def test_corrupted_test_labels(place, column, monkeypatch, tmp_path):
    def rolled(table):
        return replace(table, **{column: np.roll(getattr(table, column), 1)})

    PLACES[place](monkeypatch, "test", rolled)
    if (place, column) == ("device", "true"):  # it is not there: accuracies take the host's
        assert run(tmp_path)["status"] == "DONE"
    else:
        refused(tmp_path, "test labels")


# Images


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kinds", PIXELS, ids=lambda kinds: kinds["pixels"])
def test_original_images_in_place_of_corrupted_ones(place, kinds, monkeypatch, tmp_path, source):
    def originals(table):
        return replace(table, images=source["train"].images.astype(table.images.dtype))

    PLACES[place](monkeypatch, "train", originals)
    assert "training epoch 1" in refused(tmp_path, "train images", **kinds)


@pytest.mark.parametrize("place", PLACES)
def test_replaced_test_images(place, monkeypatch, tmp_path):
    PLACES[place](monkeypatch, "test", lambda table: replace(table, images=255 - table.images))
    assert "297 of 297 differ" in refused(tmp_path, "test images")


def test_one_test_image_is_enough(monkeypatch, tmp_path):
    def one(table):
        images = table.images.copy()
        images[200, 8, 8] ^= 1
        return replace(table, images=images)

    on_the_device(monkeypatch, "test", one)
    assert "1 of 297 differ, first at position 200: " in refused(tmp_path, "test images")


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_the_other_split(split, monkeypatch, tmp_path, source):
    def other(table):
        images = source["test" if split == "train" else "train"].images
        return replace(table, images=np.resize(images, table.images.shape))

    on_the_device(monkeypatch, split, other)
    refused(tmp_path, f"{split} images")


def test_images_one_against_their_labels_in_the_table(monkeypatch, tmp_path):
    on_the_device(
        monkeypatch, "train", lambda table: replace(table, images=np.roll(table.images, 1, axis=0))
    )
    refused(tmp_path, "train images")


def test_an_image_that_comes_twice(monkeypatch, tmp_path):
    def twice(table):
        images = table.images.copy()
        images[50:] = images[:50]
        return replace(table, images=images)

    on_the_device(monkeypatch, "train", twice)
    refused(tmp_path, "train images")


def test_an_example_that_comes_twice(monkeypatch, tmp_path):
    def twice(table):
        columns = {name: getattr(table, name).copy() for name in ("index", "images", "given")}
        for column in columns.values():
            column[1] = column[0]
        return replace(table, **columns)

    on_the_device(monkeypatch, "train", twice)
    refused(tmp_path, "train labels")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_part_of_the_set_evaluated_and_counted_consistently(split, monkeypatch, tmp_path):
    def half(table):
        columns = {n: getattr(table, n)[:50] for n in ("index", "images", "true", "given")}
        return replace(table, **columns)

    in_the_host(monkeypatch, split, half)
    reason = refused(tmp_path, f"{split} examples", corrupt=1.0)
    assert f"50 examples, its seal says {100 if split == 'train' else 297}" in reason


def test_evaluation_of_a_part(monkeypatch, tmp_path):
    evaluate = Evaluation.evaluate

    def of_half(self, resident, count, *args, **kinds):
        return evaluate(self, resident, count // 2, *args, **kinds)

    monkeypatch.setattr(Evaluation, "evaluate", of_half)
    assert "50 examples, its seal says 100" in refused(tmp_path, "train examples")


# Between the table and the model


def test_images_one_against_their_labels_in_the_step(monkeypatch, tmp_path):
    own_rows = Steps.own_rows

    def rolled(self, *args, **kinds):
        seen, *others = own_rows(self, *args, **kinds)
        return tf.roll(seen, 1, axis=0), *others

    monkeypatch.setattr(Steps, "own_rows", rolled)
    assert "1, step " in str(refused(tmp_path, "train inputs"))


def test_preprocessing_skipped(monkeypatch, tmp_path):
    init = Steps.__init__

    def without(self, *args, **kinds):
        init(self, *args, **kinds | {"preprocess": lambda images: tf.cast(images, tf.float32)})

    monkeypatch.setattr(Steps, "__init__", without)
    refused(tmp_path, "train inputs")


def test_preprocessing_skipped_in_evaluation_alone(monkeypatch, tmp_path):
    outcome = Evaluation._outcome

    def without(self, data, positions):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.steps, "preprocess", lambda images: tf.cast(images, tf.float32))
            return outcome(self, data, positions)

    monkeypatch.setattr(Evaluation, "_outcome", without)
    assert "of the train set" in str(refused(tmp_path, "train inputs"))


@pytest.mark.parametrize("augment", ["flip_rotate", "crop"])
def test_augmentation_applied_twice(augment, monkeypatch, tmp_path):
    once = pipeline.augmented

    def twice(images, index, *, size, **kinds):
        return once(once(images, index, size=14, **kinds), index, size=size, **kinds)

    honest = {"augment": augment, "input_size": 12}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "augmented", twice)
        refused(tmp_path / "twice", "train inputs", **honest)
    assert run(tmp_path / "once", **honest)["status"] == "DONE"


# Batch-norm statistics


def small_normalised(config, channels, num_classes):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input([config.input_size, config.input_size, channels])
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


@contextlib.contextmanager
def statistics_from(change):
    """Batch-norm statistics are taken from other data than those that are resident."""
    renew = Evaluation._renew_statistics

    def wrong(self, data, *args):
        return renew(self, change(data), *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build_model", small_normalised)
        patch.setattr(Evaluation, "_renew_statistics", wrong)
        yield


def test_batch_norm_statistics_of_other_images(tmp_path):
    with statistics_from(lambda data: (255 - data[0], *data[1:])):
        assert "for batch-norm statistics after epoch 1" in refused(tmp_path, "train images")


def test_batch_norm_statistics_of_images_that_were_not_preprocessed(tmp_path):
    forward, renew = Steps.own_rows, Evaluation._renew_statistics

    def unscaled(self, *args):
        seen, *others = forward(self, *args)
        return tf.cast(seen, tf.float32) ** 2, *others

    def wrong(self, *args):
        with pytest.MonkeyPatch.context() as patch:  # while it is traced, and training is not
            patch.setattr(Steps, "own_rows", unscaled)
            return renew(self, *args)

    with statistics_from(lambda data: data):
        assert run(tmp_path / "honest")["status"] == "DONE"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Evaluation, "_renew_statistics", wrong)
            reason = refused(tmp_path / "wrong", "train inputs")
    assert "for batch-norm statistics after epoch 1, batch " in reason


# Frozen features, measures, random signs


@pytest.fixture
def transferred(monkeypatch):
    """The configuration of a transfer by frozen features of a network that was never trained."""
    monkeypatch.setattr(trainer, "build_model", small_normalised)
    return resolved(init_from="random", freeze="all_but_last", weight_decay=0.0)


def test_frozen_features_of_the_honest_images(transferred, tmp_path):
    summary = train.run(transferred, tmp_path, say=lambda _: None)
    assert summary["status"] == "DONE"


@pytest.mark.parametrize("split", ["train", "test"])
def test_frozen_features_of_other_images(split, transferred, monkeypatch, tmp_path):
    batches = transfer._batches

    def other(table):
        if (table.num_examples == 100) == (split == "train"):
            table = replace(table, images=table.images[::-1])
        return batches(table)

    monkeypatch.setattr(transfer, "_batches", other)
    with pytest.raises(AuditError, match=rf"INVALID: the images .*\(seal: {split} images\)"):
        train.run(transferred, tmp_path, say=lambda _: None)
    assert results.read_history(tmp_path) == []


def test_frozen_features_exchanged_after_they_were_computed(transferred, monkeypatch, tmp_path):
    on_the_device(
        monkeypatch, "train", lambda table: replace(table, images=table.images[::-1].copy())
    )
    with pytest.raises(
        AuditError, match=r"INVALID: the images of training .*\(seal: train images\)"
    ):
        train.run(transferred, tmp_path, say=lambda _: None)


def test_measures_of_other_images_or_labels(tiny, monkeypatch):
    monkeypatch.undo()  # the network of that run
    honest = restore.read(tiny.run_dir, say=lambda _: None)
    for count in (None, 30):
        honest.forward(count)(), honest.given(count)
    images = replace(honest, table=replace(honest.table, images=honest.table.images[::-1]))
    with pytest.raises(AuditError, match=r"INVALID: a pass .*\(seal: train images\)") as error:
        images.forward(30)()
    assert error.value.exit_code == 3
    given = replace(honest, table=replace(honest.table, given=honest.table.true))
    with pytest.raises(AuditError, match=r"INVALID: given .*\(seal: train labels\)"):
        given.given(30)
    scaled = replace(honest, preprocess=lambda images: honest.preprocess(images) * 1.01)
    with pytest.raises(AuditError, match=r"INVALID: what the model .*\(seal: train inputs\)"):
        scaled.forward(30)()


@pytest.mark.parametrize(
    "split, change, seal",
    [
        ("train", lambda table: replace(table, given=1 - table.given), "train labels"),
        ("train", lambda table: replace(table, images=table.images[::-1]), "train images"),
    ],
)
def test_random_signs_of_other_data(split, change, seal, monkeypatch, tensorflow):
    wanted = resolved(corrupt=0.0, epochs=1)
    assert rademacher.run(wanted, say=lambda _: None)["examples"] == 100
    on_the_device(monkeypatch, split, change)
    with pytest.raises(AuditError, match=rf"INVALID: .*\(seal: {seal}\)"):
        rademacher.run(wanted, say=lambda _: None)


def test_the_seal_is_made_of_the_source_alone(tensorflow):
    """Not of the tables: what is altered after the audit has another word for every image."""
    from rethink_tf.corruptions.image_checksum import image_words

    source = input_pipeline.load(resolved(pixels="random"))
    found = input_pipeline.audited(source)
    split, _ = datasets.load("digits")
    split = datasets.take(split, 100, seed=0)
    np.testing.assert_array_equal(found.train_seal.index, split.index)
    np.testing.assert_array_equal(
        found.train_seal.words, image_words(found.train.images, split.index)
    )
    assert (found.train_seal.words != image_words(split.images, split.index)).all()
