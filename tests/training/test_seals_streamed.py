"""Seals of streamed images: what is read, what arrives, what is decoded; defects are refused."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import streamed_set

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions.image_checksum import bytes_word
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import feed
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import jpeg
from rethink_tf.data.streaming import StreamedImages
from rethink_tf.errors import AuditError
from rethink_tf.runs import results
from rethink_tf.storage import array_cache
from rethink_tf.training import run as train
from rethink_tf.training import trainer
from rethink_tf.training.recording import samples

SMALL = {"model": "alexnet", "dataset": "imagenet2012", "input_size": 8, "epochs": 2}
SMALL |= {"batch_size": 8, "learning_rate": 0.01, "corrupt": 0.5}


def small_model(config, channels, num_classes):
    keras.utils.set_random_seed(0)
    inputs = keras.Input([config.input_size, config.input_size, channels])
    return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs)))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(trainer, "build_model", small_model)
    monkeypatch.setattr(samples, "record_samples", lambda *_: None)


@pytest.fixture(scope="module")
def data_dir(tensorflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed_stream")
    streamed_set.write(folder)
    return folder


def load(data_dir, **kinds):
    return datasets.load("imagenet2012", data_dir=data_dir, cache_dir=data_dir / "cache", **kinds)


def run(data_dir, run_dir, **changes):
    options = Options(data_dir=str(data_dir), cache_dir=str(data_dir / "cache"))
    wanted = run_config.resolve(RunConfig(**SMALL | changes))
    return train.run(wanted, run_dir, options=options, say=lambda _: None)


def refused(data_dir, run_dir, seal, epochs=1, **changes):
    with pytest.raises(AuditError, match="INVALID") as error:
        run(data_dir, run_dir, **changes)
    assert error.value.exit_code == 3
    summary = results.read_summary(run_dir)
    assert (summary["status"], summary["epochs"]) == ("INVALID", epochs)
    assert summary["reason"].endswith(f"(seal: {seal})"), summary["reason"]
    return summary["reason"]


@pytest.mark.parametrize(
    "kinds", [{"augment": "inception"}, {"pixels": "random"}, {"pixels": "gaussian"}]
)
def test_the_honest_run_is_done(data_dir, tmp_path, kinds):
    summary = run(data_dir, tmp_path, **kinds)
    assert summary["status"] == "DONE"
    words = load(data_dir)[0].images.words
    assert summary["seals"]["train"]["images"] == int(words.sum())
    checks = {check["name"]: check["passed"] for check in summary["audit"]}
    assert checks["decoded_as_by_another_train"] and checks["decoded_as_by_another_test"]


def test_words_are_of_the_bytes_that_were_read_when_every_image_was_decoded(data_dir):
    for split in load(data_dir):
        found = split.images
        files = [data for _, data, _ in found.jpegs(np.arange(len(found))).as_numpy_iterator()]
        words = [bytes_word(d, i) for d, i in zip(files, split.index.tolist(), strict=True)]
        assert found.words.tolist() == words
        rows = np.array([5, 2])
        assert found.take(rows).words.tolist() == [words[5], words[2]]


def test_a_cache_without_words_is_made_again(data_dir, tmp_path):
    load(data_dir)
    (entry,) = (data_dir / "cache").rglob("*-places")
    cache = tmp_path / "cache"
    shutil.copytree(data_dir / "cache", cache)
    folder = cache / entry.relative_to(data_dir / "cache")
    arrays = array_cache.load(folder)
    shutil.rmtree(folder)
    array_cache.store(folder, {k: v for k, v in arrays.items() if not k.endswith("_words")})
    said = []
    split, _ = datasets.load("imagenet2012", data_dir=data_dir, cache_dir=cache, report=said.append)
    assert "of the images' files" in str(said[0])
    np.testing.assert_array_equal(split.images.words, arrays["train_words"])


@pytest.mark.parametrize("augment", ["none", "inception"])
def test_one_batch_replaced_on_its_way_to_the_device(data_dir, tmp_path, monkeypatch, augment):
    place, calls = feed.Feed._place, []

    def wrong(self, rows, batch, cut):
        calls.append(len(rows))
        if len(calls) == 2:
            batch = (255 - batch[0], *batch[1:])
        return place(self, rows, batch, cut)

    monkeypatch.setattr(feed.Feed, "_place", wrong)
    reason = refused(data_dir, tmp_path, "train images", augment=augment)
    assert "epoch 1 are not the sealed ones: checksum " in reason


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_batch_of_other_files(data_dir, tmp_path, monkeypatch, split):
    """Of the training, the first that is read of this split; of the evaluation of the test set."""
    sealed, read = StreamedImages.sealed_batches, []

    def wrong(self, rows, size, **kinds):
        read.append(self.split)
        if read.count(SplitId[split.upper()]) == 1 and read[-1] == SplitId[split.upper()]:
            rows = np.roll(rows, 1)
        return sealed(self, rows, size, **kinds)

    def after_the_audit(config, *args):
        monkeypatch.setattr(StreamedImages, "sealed_batches", wrong)
        return small_model(config, *args)

    monkeypatch.setattr(trainer, "build_model", after_the_audit)
    refused(data_dir, tmp_path, f"{split} images")


def test_images_replaced_on_their_way_into_the_evaluation(data_dir, tmp_path, monkeypatch):
    evaluation = feed.Feed.evaluation

    def wrong(self, positions):
        for (images, *others), rows in evaluation(self, positions):
            yield (images[::-1], *others), rows

    monkeypatch.setattr(feed.Feed, "evaluation", wrong)
    reason = refused(data_dir, tmp_path, "train images")
    assert ": images as they arrived: 30 of 30 differ" in reason


def test_a_decoder_that_changes_after_the_first_pass(data_dir, tmp_path, monkeypatch):
    central, evaluation, passes = jpeg.central, feed.Feed.evaluation, []

    def counted(self, positions):
        passes.append(len(positions))
        if len(passes) == 4:  # the test set in epoch 2
            monkeypatch.setattr(jpeg, "central", lambda data, size: 255 - central(data, size))
        return evaluation(self, positions)

    monkeypatch.setattr(feed.Feed, "evaluation", counted)
    reason = refused(data_dir, tmp_path, "test images", epochs=2)
    assert ": images as once decoded: 12 of 12 differ" in reason


def test_a_decoder_that_another_does_not_agree_with_is_refused_by_the_audit(
    data_dir, tmp_path, monkeypatch
):
    central = jpeg.central
    monkeypatch.setattr(jpeg, "central", lambda data, size: central(data, size)[:, ::-1])
    with pytest.raises(AuditError, match="decoded_as_by_another_train: FAILED") as error:
        run(data_dir, tmp_path)
    assert error.value.exit_code == 3 and results.read_history(tmp_path) == []


def test_labels_of_a_stream_exchanged(data_dir, tmp_path, monkeypatch):
    init = feed.Feed.__init__

    def wrong(self, strategy, table, **kinds):
        init(self, strategy, replace(table, given=np.roll(table.given, 1)), **kinds)

    monkeypatch.setattr(feed.Feed, "__init__", wrong)
    with pytest.raises(AuditError, match=r"labels that entered .*\(seal: train labels\)"):
        run(data_dir, tmp_path)
