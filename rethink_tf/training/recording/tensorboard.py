"""TensorBoard events of a run: train and test overlaid in one chart, pictures, and HParams."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from rethink_tf.errors import StorageError
from rethink_tf.runs.description import shown_value

# tag of a chart: {writer of a curve: its key in history.jsonl}
CHARTS = {
    "loss": {"train": "train_loss", "test": "test_loss", "online": "loss"},
    "accuracy": {"train": "train_accuracy", "test": "test_accuracy", "online": "accuracy"},
    "top5_accuracy": {"train": "train_top5_accuracy", "test": "test_top5_accuracy"},
    "fitted": {
        "clean": "clean_accuracy",
        "corrupted": "corrupted_accuracy",
        "corrupted_original": "corrupted_original_accuracy",
    },
    "learning_rate": {"train": "learning_rate"},
    "best_test_accuracy": {"test": "best_test_accuracy"},
    "best_test_top5_accuracy": {"test": "best_test_top5_accuracy"},
}


@contextlib.contextmanager
def storage(folder: Path | None) -> Iterator[Any]:
    """Turns what TensorFlow raises for a failing write into one clear line.

    TensorFlow reports a full disk as ResourceExhaustedError, like a lack of memory.
    """
    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", str(error)).strip()
        why = reason.partition("\n")[0].removeprefix(f"{folder}/")
        raise StorageError(f"{folder}: {why}; nothing finished was lost") from None


class TensorBoardLog:
    """Writes the lines of a history as events below a folder.

    Args:
        folder: of the events; one subfolder for each curve. None: nothing is written.
        config: the resolved fields, shown as hyperparameters.

    Raises:
        StorageError: by all that writes.
    """

    def __init__(self, folder: Path | None, config: dict[str, Any]):
        self.folder = folder
        with storage(folder):
            self._open(config)

    def _open(self, config: dict[str, Any]) -> None:
        folder = self.folder

        def writer(name: str) -> Any:
            if folder is None:
                return tf.summary.create_noop_writer()
            return tf.summary.create_file_writer(str(folder / name))

        curves = dict.fromkeys(curve for chart in CHARTS.values() for curve in chart)
        self.writers = {c: writer(c) for c in curves}
        root = writer("")
        with root.as_default():
            hparams.hparams({name: shown_value(name, value) for name, value in config.items()})
        self.writers[""] = root

    def write(self, line: dict[str, Any]) -> None:
        """Adds one epoch; keys that are null are left out."""
        with storage(self.folder):
            self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        for tag, curves in CHARTS.items():
            for curve, key in curves.items():
                if line.get(key) is not None:
                    with self.writers[curve].as_default(step=line["epoch"]):
                        tf.summary.scalar(tag, line[key])
        # HParams shows the metrics in the folder of the hyperparameters.
        with self.writers[""].as_default(step=line["epoch"]):
            for key in ("train_accuracy", "test_accuracy"):
                if line.get(key) is not None:
                    tf.summary.scalar(f"final/{key}", line[key])
        for writer in self.writers.values():
            writer.flush()

    def image(self, tag: str, picture: np.ndarray) -> None:
        """Adds a picture, uint8 [height, width, 3], at step 0."""
        # TensorFlow does not report a large event that it could not write, only the next small one.
        with storage(self.folder):
            with self.writers[""].as_default(step=0):
                tf.summary.image(tag, picture[None])
            self.writers[""].flush()

    def close(self) -> None:
        """Closes the files."""
        with storage(self.folder):
            for writer in self.writers.values():
                writer.close()
