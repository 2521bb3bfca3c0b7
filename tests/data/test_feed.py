"""Training and evaluation on streamed images: each example once, equal on replicas and resumed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import streamed_set
import tensorflow as tf
from tiny_steps import same_bits

from rethink_tf.cli import show
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve
from rethink_tf.corruptions import checksum
from rethink_tf.data import feed, pipeline
from rethink_tf.data import registry as datasets
from rethink_tf.data.types import Table
from rethink_tf.runs import results
from rethink_tf.training import run as train
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.preemption import StoppedError
from rethink_tf.training.recording import samples
from rethink_tf.training.recording.samples import run_samples
from rethink_tf.training.train_step import Steps

pytestmark = pytest.mark.usefixtures("light_runs")
SIDE, BATCH, SEED, N = 10, 8, 4, streamed_set.NUM_TRAIN  # 3 whole batches and a remainder of 6


def load(data_dir):
    return datasets.load("imagenet2012", data_dir=data_dir, cache_dir=data_dir / "cache")


def tables(data_dir):
    """The training set streamed, and the same in memory, with labels of six classes."""
    split, _ = load(data_dir)
    images = split.images.resized(SIDE)
    columns = split.index, np.arange(N, dtype=np.int32) % 5, np.arange(N, dtype=np.int32) % 6
    return [Table(columns[0], found, *columns[1:], 6) for found in (images, images[:])]


def model():
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input([SIDE, SIDE, 3])
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Dense(6)(keras.layers.Flatten()(keras.layers.ReLU()(x)))
    return keras.Model(inputs, x)


def make(table, strategy=None, augment="none", batch_size=BATCH):
    return Steps(
        model,
        strategy or tf.distribute.OneDeviceStrategy("/CPU:0"),
        table,
        batch_size=batch_size,
        input_size=SIDE,
        augment=augment,
        momentum=0.9,
        seed=SEED,
        jit=False,
    )


def epochs(steps, count=2):
    for epoch in range(1, count + 1):
        steps.begin_epoch(epoch, 0.05)
        step = 0
        while step < steps.steps_per_epoch:
            step = steps.advance(step, 2)
    return steps.running()


@pytest.fixture(scope="module")
def data_dir(tensorflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    streamed_set.write(folder)
    return folder


def test_streamed_training_is_that_of_resident_images_bit_for_bit(data_dir):
    table, resident = tables(data_dir)
    found, expected = (make(t) for t in (table, resident))
    assert epochs(found) == epochs(expected)
    assert same_bits(found, expected)
    assert isinstance(found.resident, feed.Feed)
    assert found.running()["checksum"] == checksum.label_checksum(table.index, table.given)
    for steps in (found, expected):
        Evaluation(steps).recalibrate()
    assert same_bits(found, expected)
    one, other = (Evaluation(s).evaluate(s.resident, N, batch=7) for s in (found, expected))
    for name in ("loss", "predicted", "margin", "ahead"):
        assert len(getattr(one, name)) == N
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_any_step_may_come_next(data_dir):
    """As after a resume: the data of a step are those of an epoch gone through from its start."""
    table, _ = tables(data_dir)
    steps = make(table, augment="inception")
    order = pipeline.order(SEED, 3, N)
    through = [steps.resident.training(3, order, step) for step in range(4)]
    assert [len(images) for images, *_ in through] == [8, 8, 8, 6]
    for step in (2, 0, 3, 1):
        images, index, given, *_ = steps.resident.training(3, order, step)
        rows = order[step * BATCH : (step + 1) * BATCH]
        np.testing.assert_array_equal(images, through[step][0])
        np.testing.assert_array_equal(index, table.index[rows])
        np.testing.assert_array_equal(given, table.given[rows])
        expected = table.images.augmented(rows, augment="inception", seed=SEED, epoch=3)
        np.testing.assert_array_equal(images, expected)
    other = steps.resident.training(4, order, 0)[0].numpy()
    assert (other != through[0][0].numpy()).mean() > 0.5


def compare_replicas(data_dir):
    """Two logical CPUs against one, in a process of its own (the test below starts it)."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    table, resident = tables(Path(data_dir))
    # Batches of 7 are split 3 and 4, the remainder of 2 one by one.
    streamed, in_memory = (make(t, mirrored, batch_size=7) for t in (table, resident))
    sums = [epochs(steps) for steps in (streamed, in_memory)]
    outcomes = []
    for steps in (streamed, in_memory):
        Evaluation(steps).recalibrate()
        steps.variables.sync()
        outcomes.append(Evaluation(steps).evaluate(steps.resident, N, batch=4))
    found = {
        "sums": sums,
        "same": same_bits(streamed, in_memory),
        "evaluated": [o.loss.tolist() for o in outcomes],
        "rows": [
            [len(part) for part in mirrored.experimental_local_results(images)]
            for images, *_ in (streamed.resident.training(1, np.arange(N), step) for step in (0, 4))
        ],
    }
    print(json.dumps(found))


@pytest.mark.slow
def test_two_replicas_get_the_rows_of_resident_images(data_dir):
    here = Path(__file__)
    places = [str(folder) for folder in (here.parent, here.parents[1] / "support", here.parents[2])]
    code = f"import sys; sys.path[:0] = {places!r}\n"
    code += f"import test_feed; test_feed.compare_replicas({str(data_dir)!r})"
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=quiet, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["sums"][0] == found["sums"][1] and found["sums"][0]["seen"] == N
    assert found["same"]
    assert found["evaluated"][0] == found["evaluated"][1] and len(found["evaluated"][0]) == N
    assert found["rows"] == [[3, 4], [1, 1]]


def run(data_dir, run_dir, said, **changes):
    kinds = {"model": "mlp_1x512", "dataset": "imagenet2012", "input_size": 8, "corrupt": 1.0}
    kinds |= {"epochs": 2, "batch_size": BATCH, "learning_rate": 0.05} | changes
    options = Options(data_dir=str(data_dir), cache_dir=str(data_dir / "cache"))
    return train.run(resolve(RunConfig(**kinds)), run_dir, options=options, say=said.append)


@pytest.mark.slow
def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(data_dir, tmp_path, monkeypatch):
    kinds = {"pixels": "random", "examples": 20}
    whole = run(data_dir, tmp_path / "whole", [], **kinds)
    advance, calls = Steps.advance, []

    def stop(self, step, count):
        calls.append(step)
        if len(calls) == 5:  # of three steps an epoch: the second of epoch 2 is done
            os.kill(os.getpid(), 15)
        return advance(self, step, count)

    monkeypatch.setattr(Steps, "advance", stop)
    with pytest.raises(StoppedError, match="stopped in epoch 2 after step 2 of 3"):
        run(data_dir, tmp_path / "cut", [], **kinds)
    monkeypatch.setattr(Steps, "advance", advance)
    said = []
    cut = run(data_dir, tmp_path / "cut", said, **kinds)
    assert "resumes after epoch 1, step 2 of the next" in said
    for key in ("weights_hash", "train_loss", "test_loss", "loss", "label_checksum"):
        assert cut[key] == whole[key], key
    lines = [results.read_history(tmp_path / name) for name in ("whole", "cut")]
    assert [{k: v for k, v in x.items() if k != "timing"} for x in lines[0]] == [
        {k: v for k, v in x.items() if k != "timing"} for x in lines[1]
    ]


def test_a_run_is_audited_and_measured(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "run_samples", run_samples)  # the real one draws from the stream
    said = []
    summary = run(data_dir, tmp_path, said, pixels="gaussian")
    checks = {check["name"]: check for check in summary["audit"]}
    for name in (
        "given_equals_reference",
        "true_equals_source",
        "pixels_equal_reference_train",
        "pixels_equal_reference_test",
        "same_images_over_two_passes",
        "unreadable_images",
    ):
        assert checks[name]["passed"] is True, name
    assert checks["given_equals_reference"]["detail"] == "30 of 30 given labels equal"
    assert summary["test_top5_accuracy"] <= summary["best_test_top5_accuracy"] <= 1
    assert summary["train_top5_accuracy"] >= summary["train_accuracy"]
    assert (tmp_path / results.SAMPLES).exists(), said
    assert (
        np.load(tmp_path / results.EXAMPLES)["index"].tolist() == load(data_dir)[0].index.tolist()
    )


def test_the_plan_counts_what_is_resident(tensorflow):
    wanted = resolve(RunConfig(model="mlp_1x512", dataset="imagenet2012", input_size=20))
    words = train.plan(wanted)
    # 128 x 20 x 20 x 3 bytes a batch; 1,331,167 examples of 120 bytes.
    assert re.search(r"0\.2 MB on the device, .*in the host about 160 MB", str(words))
    fewer = resolve(RunConfig(model="mlp_1x512", dataset="imagenet2012", examples=64))
    assert "for up to 50,064 images, and 68.7 MB of images read ahead" in train.plan(fewer)


def test_the_grid_shows_augmented_images(data_dir, tmp_path):
    where = [f"--data_dir={data_dir}", f"--cache_dir={data_dir}/cache", f"--out={tmp_path}/a.png"]
    settings = ["--dataset=imagenet2012", "--augment=inception", "--input_size=16"]
    assert show.main([*settings, "--corrupt=0.5", *where]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
