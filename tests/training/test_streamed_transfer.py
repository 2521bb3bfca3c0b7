"""Transfer from and to streamed images: the same features, the parent's norm, or one clear line."""

import dataclasses
import re

import numpy as np
import pytest
import streamed_set

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.runs import pretrained, results
from rethink_tf.training import input_pipeline
from rethink_tf.training import run as train

pytestmark = pytest.mark.usefixtures("light_runs")
SIZE = 8
SMALL = {"model": "mlp_1x512", "epochs": 1, "batch_size": 10, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def data_dir(tensorflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed_transfer")
    streamed_set.write(folder)
    return folder


def run(wanted, data_dir, name, said):
    options = Options(data_dir=str(data_dir), cache_dir=str(data_dir / "cache"))
    return train.run(run_config.resolve(wanted), data_dir / name, options=options, say=said.append)


@pytest.fixture(scope="module")
def parent(data_dir):
    """The folder of a network trained on streamed images."""
    wanted = {"dataset": "imagenet2012", "input_size": SIZE, "preprocess": "channel_norm"}
    run(RunConfig(**SMALL | wanted), data_dir, "parent", [])
    return data_dir / "parent"


def child_of(parent, **fields):
    left_open = dict.fromkeys(run_config.OF_THE_PARENT)
    wanted = RunConfig(init_from=str(parent), **SMALL | left_open | fields)
    return pretrained.adopt(wanted, "no runs")


def test_a_parent_of_streamed_images_gives_size_and_norm(data_dir, parent):
    child = run_config.resolve(
        child_of(parent, dataset="digits", examples=50, freeze="all_but_last")
    )
    source = input_pipeline.load(
        child, data_dir=data_dir, cache_dir=data_dir / "cache", say=pytest.fail
    )
    assert source.train.images.shape == (50, SIZE, SIZE, 3)
    own = dataclasses.replace(child, dataset="imagenet2012", init_from=None, freeze="none")
    own = dataclasses.replace(own, init_epoch=None, examples=None)
    seen = input_pipeline.load(own, data_dir=data_dir, cache_dir=data_dir / "cache").train.images[:]
    np.testing.assert_allclose(source.norm[0], seen.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(source.norm[1], seen.std(axis=(0, 1, 2)))
    said = []
    summary = run(child, data_dir, "to_digits", said)
    assert summary["parent"]["run_id"] == results.read_summary(parent)["run_id"]
    assert any(line.startswith("features of 347 images computed, once: 512") for line in said)


@pytest.mark.parametrize("freeze", ["all_but_last", "none"])
def test_streamed_images_under_a_trained_network(data_dir, parent, freeze):
    said = []
    wanted = child_of(parent, dataset="imagenet2012", freeze=freeze, corrupt=1.0)
    summary = run(wanted, data_dir, f"to_streamed_{freeze}", said)
    assert (summary["status"], summary["train_examples"]) == ("DONE", streamed_set.NUM_TRAIN)
    trained = {"all_but_last": 512_000 + 1000, "none": 192 * 512 + 512 + 512_000 + 1000}
    assert summary["parameters"] == trained[freeze]
    told = [line for line in said if line.startswith("features of 42 images computed, once")]
    assert len(told) == (freeze == "all_but_last")


def test_a_grey_parent_is_refused_in_one_line(data_dir, tensorflow):
    digits = RunConfig(dataset="digits", examples=50, input_size=SIZE, **SMALL)
    run(digits, data_dir, "grey", [])
    wanted = child_of(data_dir / "grey", dataset="imagenet2012", freeze="all_but_last")
    with pytest.raises(RequestError) as error:
        run(wanted, data_dir, "from_grey", [])
    assert re.search("--init_from:.*of 1 channel", str(error.value))


def test_fresh_weights_for_its_images_see_their_whole_size():
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | {
        "dataset": "digits",
        "freeze": "all_but_last",
    }
    adopted = pretrained.adopt(RunConfig(init_from="random:imagenet2012", **wanted), "no runs")
    assert adopted.input_size == 299
