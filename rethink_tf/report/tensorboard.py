"""TensorBoard of many runs: rethink-tf tensorboard [--runs_dir=DIR]

Writes RUNS_DIR/tensorboard beside the runs: the columns of the HParams table, a layout for Custom
Scalars (training against test in one card), and curves by the share of corrupted labels, means over
seeds. Then: tensorboard --logdir RUNS_DIR
"""

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.report import derived
from rethink_tf.report.collection import Collection, Run
from rethink_tf.report.listing import regulariser_words
from rethink_tf.runs import results
from rethink_tf.storage import files

FOLDER = "tensorboard"
ALWAYS = ("model", "dataset", "corrupt", "seed")
METRICS = {
    ("", "final/train_accuracy"): "training accuracy",
    ("", "final/test_accuracy"): "test accuracy",
    ("test", "best_test_accuracy"): "best test accuracy",
    ("train", "loss"): "training loss",
    ("test", "loss"): "test loss",
}
# tag: key of a history
BY_EPOCH = {"loss_by_epoch": "loss", "test_accuracy_by_epoch": "test_accuracy"}
# category: card: the tag that it shows of every run
LAYOUT = {
    "By epoch": {
        "Loss: training, test, running": "loss",
        "Accuracy: training, test, running": "accuracy",
        "Fitted: clean, corrupted as given, corrupted against true labels": "fitted",
    },
    "By corruption": {
        "Training loss by epoch, a line for each p": "loss_by_epoch",
        "Test accuracy by epoch, a line for each p": "test_accuracy_by_epoch",
        "Loss at the end (step: % of labels drawn at random)": "loss_by_corruption",
        "Error at the end (step: % of labels drawn at random)": "error_by_corruption",
    },
}


def families(runs: Iterable[Run]) -> dict[str, dict[float, list[Run]]]:
    """Name: corruption: the runs that differ in nothing but corruption and seed.

    Only families of at least two levels of corruption.
    """
    found: dict[RunConfig, dict[float, list[Run]]] = {}
    for run in runs:
        same = dataclasses.replace(run.config, corrupt=0.0, seed=0)
        found.setdefault(same, {}).setdefault(run.config.corrupt, []).append(run)
    for config, levels in found.items():  # true labels are the start of every kind of noise
        true = found.get(dataclasses.replace(config, label_noise="uniform"), {}).get(0.0)
        if true is not None:
            levels[0.0] = true
    named: dict[str, dict[float, list[Run]]] = {}
    for config, levels in found.items():
        if len(levels) > 1:
            words = [config.model, config.dataset, regulariser_words(config)]
            words += [f"{config.pixels} pixels"] if config.pixels != "original" else []
            words += [config.label_noise] if config.label_noise != "uniform" else []
            words += [f"{config.examples} examples"] if config.examples else []
            name = " ".join(word for word in words if word).replace("/", "_")
            number = sum(other == name or other.startswith(f"{name} #") for other in named)
            named[f"{name} #{number + 1}" if number else name] = dict(sorted(levels.items()))
    return named


def hyperparameters(runs: list[Run]) -> dict[str, list]:
    """The columns of the HParams table, each with its values: what differs between the runs."""
    from rethink_tf.training.recording.tensorboard import shown_value

    values = {
        name: {shown_value(name, getattr(run.config, name)) for run in runs} for name in FIELDS
    }
    return {
        name: sorted(found, key=lambda v: (isinstance(v, str), v))
        for name, found in values.items()
        if name in ALWAYS or len(found) > 1
    }


def write(folder: Path, runs: list[Run]) -> None:
    """Writes all events, in place of what the folder had.

    Args:
        folder: of the events.
        runs: finished trainings.

    Raises:
        StorageError: it cannot be written.
    """
    import tensorflow as tf
    from tensorboard.plugins.custom_scalar import layout_pb2
    from tensorboard.plugins.custom_scalar import summary as custom_scalar
    from tensorboard.plugins.hparams import api as hparams

    from rethink_tf.training.recording.tensorboard import storage

    with files.storage(folder):
        if folder.exists():
            shutil.rmtree(folder)

    def domain(values):
        kinds = {type(value) for value in values}
        return hparams.Discrete(values) if len(kinds) == 1 else None

    categories = [
        layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(
                    title=card, multiline=layout_pb2.MultilineChartContent(tag=[f"^{tag}$"])
                )
                for card, tag in cards.items()
            ],
        )
        for title, cards in LAYOUT.items()
    ]
    with storage(folder):
        with tf.summary.create_file_writer(str(folder)).as_default(step=0):
            layout = custom_scalar.pb(layout_pb2.Layout(category=categories))
            tf.summary.experimental.write_raw_pb(layout.SerializeToString())
            hparams.hparams_config(
                hparams=[
                    hparams.HParam(name, domain(values))
                    for name, values in hyperparameters(runs).items()
                ],
                metrics=[
                    hparams.Metric(tag, group=group or None, display_name=words)
                    for (group, tag), words in METRICS.items()
                ],
            )
        for name, levels in families(runs).items():
            _write_family(tf, folder / name, levels)


def _write_family(tf, folder: Path, levels: dict[float, list[Run]]) -> None:
    """The curves of one family, by epoch and by corruption."""
    ends = {name: tf.summary.create_file_writer(str(folder / name)) for name in ("train", "test")}
    for corrupt, runs in levels.items():
        histories = [run.history() for run in runs]
        with tf.summary.create_file_writer(str(folder / f"p={corrupt:g}")).as_default():
            for tag, key in BY_EPOCH.items():
                for epoch, value, _, _ in derived.band([derived.points(h, key) for h in histories]):
                    tf.summary.scalar(tag, value, step=epoch)
        for name, writer in ends.items():
            with writer.as_default(step=round(100 * corrupt)):
                losses = _last(runs, f"{name}_loss")
                if losses:
                    tf.summary.scalar("loss_by_corruption", derived.mean(losses))
                accuracies = _last(runs, f"{name}_accuracy")
                if accuracies:
                    tf.summary.scalar("error_by_corruption", 1 - derived.mean(accuracies))
    for writer in ends.values():
        writer.close()


def _last(runs: list[Run], key: str) -> list[float]:
    return [run.summary[key] for run in runs if run.summary.get(key) is not None]


def trained(found: Collection) -> list[Run]:
    """The finished trainings of a collection."""
    return [
        run
        for run in found.runs
        if run.status == results.DONE and isinstance(run.config, RunConfig)
    ]
