"""What TensorBoard shows is the history: tags, values, curves, hyperparameters."""

import dataclasses

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from rethink_tf.config.run_config import RunConfig, resolve

LINES = [
    {
        "epoch": 1,
        "loss": 2.5,
        "accuracy": 0.125,
        "train_loss": 2.25,
        "train_accuracy": 0.25,
        "test_loss": 3.5,
        "test_accuracy": 0.0625,
        "clean_accuracy": 0.5,
        "corrupted_accuracy": 0.375,
        "corrupted_original_accuracy": 0.75,
        "learning_rate": 0.5,
        "best_test_accuracy": 0.0625,
        "best_test_epoch": 1,
        "label_checksum": 3,
        "timing": {"train_seconds": 1.0},
    },
    {
        "epoch": 2,
        "loss": 1.5,
        "accuracy": 0.625,
        "train_loss": None,
        "train_accuracy": None,
        "test_loss": None,
        "test_accuracy": None,
        "clean_accuracy": None,
        "corrupted_accuracy": None,
        "corrupted_original_accuracy": None,
        "learning_rate": 0.25,
        "best_test_accuracy": 0.0625,
        "best_test_epoch": 1,
        "label_checksum": 3,
        "timing": {"train_seconds": 1.0},
    },
]
# curve (subfolder): tag: (epoch, value) pairs
EXPECTED = {
    "train": {
        "loss": [(1, 2.25)],
        "accuracy": [(1, 0.25)],
        "learning_rate": [(1, 0.5), (2, 0.25)],
    },
    "test": {
        "loss": [(1, 3.5)],
        "accuracy": [(1, 0.0625)],
        "best_test_accuracy": [(1, 0.0625), (2, 0.0625)],
    },
    "online": {"loss": [(1, 2.5), (2, 1.5)], "accuracy": [(1, 0.125), (2, 0.625)]},
    "clean": {"fitted": [(1, 0.5)]},
    "corrupted": {"fitted": [(1, 0.375)]},
    "corrupted_original": {"fitted": [(1, 0.75)]},
}
CONFIG = resolve(RunConfig(model="mlp_1x512", dataset="digits", corrupt=0.5))


@pytest.fixture(scope="module")
def folder(tensorflow, tmp_path_factory):
    from rethink_tf.training.recording.tensorboard import TensorBoardLog

    folder = tmp_path_factory.mktemp("tb")
    log = TensorBoardLog(folder, dataclasses.asdict(CONFIG))
    for line in LINES:
        log.write(line)
    log.close()
    return folder


def read(folder):
    """(accumulator, tag: [(step, value)]) of one folder's own events."""
    import tensorflow as tf

    events = EventAccumulator(str(folder)).Reload()
    scalars = {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if not tag.startswith("_hparams_")
    }
    return events, scalars


def test_the_curves_are_subfolders(folder):
    assert {p.name for p in folder.iterdir() if p.is_dir()} == set(EXPECTED)
    assert len([p for p in folder.iterdir() if p.is_file()]) == 1


@pytest.mark.parametrize("curve", EXPECTED)
def test_tags_steps_and_values(folder, curve):
    assert read(folder / curve)[1] == EXPECTED[curve]


def test_train_and_test_overlay_in_one_chart():
    for tag in ("loss", "accuracy"):
        assert {tag in EXPECTED[curve] for curve in ("train", "test", "online")} == {True}


def test_every_key_of_a_history_is_drawn_or_no_scalar():
    from rethink_tf.training.recording.tensorboard import CHARTS

    drawn = {key for curves in CHARTS.values() for key in curves.values()}
    assert set(LINES[0]) - drawn == {"epoch", "best_test_epoch", "label_checksum", "timing"}


def hyperparameters(events):
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    shown = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in shown.items()}


def test_hyperparameters_are_the_resolved_fields_with_metrics_beside(folder):
    events, scalars = read(folder)
    shown = hyperparameters(events)
    assert set(shown) == set(dataclasses.asdict(CONFIG))
    expected = {
        "model": "mlp_1x512",
        "dataset": "digits",
        "corrupt": 0.5,
        "epochs": 150.0,
        "learning_rate": 0.03,
        "seed": 0.0,
        "examples": "all",
    }
    assert {name: shown[name] for name in expected} == expected
    assert scalars == {"final/train_accuracy": [(1, 0.25)], "final/test_accuracy": [(1, 0.0625)]}


def test_hyperparameters_that_are_unset_are_not_called_all(folder):
    shown = hyperparameters(read(folder)[0])
    assert shown["stop_at_train_accuracy"] != "all"
    assert shown["labels_from"] != "all"
