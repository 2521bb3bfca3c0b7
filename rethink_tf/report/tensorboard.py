"""TensorBoard of many runs: rethink-tf tensorboard [--runs_dir=DIR]

Writes RUNS_DIR/tensorboard beside the runs: the columns of the HParams table, a layout for Custom
Scalars (training against test in one card), and curves by the share of corrupted labels, means over
seeds. Then: tensorboard --logdir RUNS_DIR
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.report import derived
from rethink_tf.report.collection import Collection, Run
from rethink_tf.report.listing import regularisers
from rethink_tf.runs import results
from rethink_tf.runs.description import shown_value
from rethink_tf.storage import files
from rethink_tf.storage.content_hash import shown

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
# category: card: the tag that the card shows for every run
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
    """By name and corruption: the runs that differ only in corruption and seed.

    Only families of at least two levels of corruption.
    """
    similar: dict[RunConfig, dict[float, list[Run]]] = {}
    for run in runs:
        same = dataclasses.replace(run.config, corrupt=0.0, seed=0)
        similar.setdefault(same, {}).setdefault(run.config.corrupt, []).append(run)
    for config, levels in similar.items():  # true labels are level 0 of every type of noise
        true = similar.get(dataclasses.replace(config, label_noise="uniform"), {}).get(0.0)
        if true is not None:
            levels[0.0] = true
    named: dict[str, dict[float, list[Run]]] = {}
    for config, levels in similar.items():
        if len(levels) > 1:
            parts = [config.model, config.dataset, regularisers(config)]
            parts += [f"{config.pixels} pixels"] if config.pixels != "original" else []
            parts += [shown(config.label_noise)] if config.label_noise != "uniform" else []
            parts += [f"{config.examples} examples"] if config.examples else []
            name = " ".join(part for part in parts if part).replace("/", "_")
            number = sum(other == name or other.startswith(f"{name} #") for other in named)
            named[f"{name} #{number + 1}" if number else name] = dict(sorted(levels.items()))
    return named


def hyperparameters(runs: list[Run]) -> dict[str, list]:
    """The columns of the HParams table, each with its values: what differs between the runs."""
    values = {
        name: {shown_value(name, getattr(run.config, name)) for run in runs} for name in FIELDS
    }
    return {
        name: sorted(differing, key=lambda v: (isinstance(v, str), v))
        for name, differing in values.items()
        if name in ALWAYS or len(differing) > 1
    }


def write(folder: Path, runs: list[Run]) -> None:
    """Writes all events; older ones in the folder are replaced.

    Args:
        folder: of the events, beside the runs.
        runs: finished trainings.

    Raises:
        StorageError: it cannot be written.
    """
    with files.storage(folder):
        if folder.exists():
            shutil.rmtree(folder)
        with EventFile(folder) as events:
            events.add(_layout())
            events.add(_columns(runs))
        for name, levels in families(runs).items():
            _write_family(folder / name, levels)


class EventFile:
    """A file of TensorBoard events, written without TensorFlow, whose import takes 600 MB."""

    def __init__(self, folder: Path):
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.rethink_tf.{os.getpid()}"
        self._file = open(folder / name, "wb")
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, summary: Any, step: int = 0) -> None:
        """Adds a summary, a TensorBoard protocol buffer."""
        self._add(summary=summary, step=step)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Adds a point of a curve."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self.add(scalar_pb(tag, value), step)

    def _add(self, **content: Any) -> None:
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())


def _layout() -> Any:
    """The cards of Custom Scalars as a summary."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util import tensor_util

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
    layout = layout_pb2.Layout(category=categories)
    summary = summary_pb2.Summary()
    # Not `custom_scalar.summary.pb`, which imports TensorFlow.
    summary.value.add(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=tensor_util.make_tensor_proto(layout.SerializeToString()),
    )
    return summary


def _columns(runs: list[Run]) -> Any:
    """The columns of the HParams table as a summary."""
    from tensorboard.plugins.hparams import summary_v2 as hparams  # its `api` imports TensorFlow

    def domain(values):
        types = {type(value) for value in values}
        return hparams.Discrete(values) if len(types) == 1 else None

    return hparams.hparams_config_pb(
        hparams=[
            hparams.HParam(name, domain(values)) for name, values in hyperparameters(runs).items()
        ],
        metrics=[
            hparams.Metric(tag, group=group or None, display_name=title)
            for (group, tag), title in METRICS.items()
        ],
    )


def _write_family(folder: Path, levels: dict[float, list[Run]]) -> None:
    """The curves of one family, by epoch and by corruption."""
    for corrupt, runs in levels.items():
        with EventFile(folder / f"p={corrupt:g}") as events:
            for tag, key in BY_EPOCH.items():
                curves = [derived.points(run.history(), key) for run in runs]
                for epoch, value, _, _ in derived.band(curves):
                    events.scalar(tag, value, round(epoch))
    for part in ("train", "test"):
        with EventFile(folder / part) as events:
            for corrupt, runs in levels.items():
                step = round(100 * corrupt)
                if losses := _last(runs, f"{part}_loss"):
                    events.scalar("loss_by_corruption", derived.mean(losses), step)
                if accuracies := _last(runs, f"{part}_accuracy"):
                    events.scalar("error_by_corruption", 1 - derived.mean(accuracies), step)


def _last(runs: list[Run], key: str) -> list[float]:
    return [run.summary[key] for run in runs if run.summary.get(key) is not None]


def trained(collection: Collection) -> list[Run]:
    """The finished trainings of a collection."""
    return [
        run
        for run in collection.runs
        if run.status == results.DONE and isinstance(run.config, RunConfig)
    ]
