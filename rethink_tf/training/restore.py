"""Restores a finished run: its network with trained and initial weights, and its data.

Everything is checked again: the weights must have the hash in the summary, the data must pass the
run's audit, and the training accuracy is measured anew.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf.audit.seal import sample_offsets
from rethink_tf.config.run_config import RunConfig, from_dict
from rethink_tf.corruptions import checksum
from rethink_tf.corruptions.image_checksum import image_words_tf
from rethink_tf.data import pipeline, types
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import agreement, results
from rethink_tf.runs.pretrained import Parent
from rethink_tf.storage import paths
from rethink_tf.training import input_pipeline, trainer, transfer
from rethink_tf.training.seal_checks import Sealed, first_unequal, inputs_differ, refuse

BATCH = 500


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        run_dir, config, summary: of the run; the configuration is resolved.
        model: keras.Model with the weights of the end.
        initial: what `model.trainable_variables` were before the first step. They are a function of
            configuration and seed, drawn anew here.
        table: the training Table, corrupted and audited as it was.
        test: the Table of the test set, its labels untouched.
        preprocess: turns its images into the input of the model.
        sealed: the seals of its data.
    """

    run_dir: Path
    config: RunConfig
    summary: dict[str, Any]
    model: Any
    initial: list[np.ndarray]
    table: types.Table
    test: types.Table
    preprocess: Callable
    sealed: Sealed

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) that the model sees."""
        return tuple(self.model.inputs[0].shape[1:])

    def forward(
        self,
        count: int | None = None,
        progress: Callable[[float], object] = lambda share: None,
        split: str = "train",
    ) -> Callable[[], np.ndarray]:
        """A function that gives the logits, float32 [count, K], with the current weights.

        Args:
            count: of examples, evenly spaced over the split; default: all of them.
            progress: gets the share of them that is done.
            split: `train` or `test`.

        The function raises AuditError where an image is not the sealed one.
        """
        sealed, table = self.sealed, self.table if split == "train" else self.test
        seal = sealed.train if split == "train" else sealed.test
        reference = sealed.inputs_of(seal)
        chosen = evenly(table.num_examples, count)
        starts = range(0, len(chosen), BATCH)
        rows = [chosen[start : start + BATCH] for start in starts]
        batches = [
            (tf.constant(table.images[some]), tf.constant(table.index[some])) for some in rows
        ]

        @tf.function
        def logits(images: Any, index: Any) -> Any:
            inputs = self.preprocess(pipeline.centre(images, self.config.input_size))
            shown = tf.gather(inputs, sample_offsets(images.shape[0]))
            return self.model(inputs, training=False), image_words_tf(images, index), shown

        def logits_of_all() -> Any:
            parts, words = [], []
            for batch in batches:
                values, own, shown = logits(*batch)
                parts.append(values.numpy())
                words.append(own.numpy())
                progress(len(parts) / len(batches))
            where = f"a pass over the {'training' if split == 'train' else 'test'} set"
            refuse(
                first_unequal(
                    f"{where}: images", np.concatenate(words), seal.words[chosen], f"{split} images"
                )
            )
            shown_rows = rows[-1][sample_offsets(len(rows[-1]))]
            refuse(inputs_differ(f"in {where}", seal, reference, shown_rows, shown.numpy()))
            return np.concatenate(parts)

        return logits_of_all

    def given(self, count: int | None = None) -> np.ndarray:
        """The labels to learn of the same examples: int32 [count].

        Raises:
            AuditError: they are not the sealed ones.
        """
        refuse(self.sealed.train.columns(self.table))
        return self.table.given[evenly(self.table.num_examples, count)]


def evenly(total: int, count: int | None) -> np.ndarray:
    """Positions of `count` of `total` examples, evenly spaced; all where count is None or more."""
    if count is None or count >= total:
        return np.arange(total)
    return np.arange(count) * total // count


def read(
    run_dir: Path | str,
    *,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    say: Callable[[str], None] = print,
) -> Trained:
    """Reads a finished run back.

    Args:
        run_dir: its folder.
        data_dir, cache_dir: where its data lie, see `registry.load`.
        say: takes lines for the reader.

    Raises:
        RequestError: there is no finished run, it is a transferred one, or its data or weights are
            gone.
        StorageError: a file is damaged, or the weights or labels are not those of the summary.
    """
    run_dir = paths.absolute(run_dir)
    summary = agreement.read_done(run_dir).summary
    try:
        config, named = from_dict(summary["config"]), summary["run_id"]
        epoch, known = summary["epochs"], summary["weights_hash"]
    except (KeyError, TypeError):
        raise StorageError(f"{run_dir}: its summary lacks its configuration or weights") from None
    if config.init_from is not None:
        raise RequestError(
            f"{run_dir}: expected a run trained from the start; {named} starts from other weights, "
            "so it has no distance from initialisation"
        )
    info = input_pipeline.info(config, data_dir, cache_dir)
    if info.streamed:
        raise RequestError(
            f"{run_dir}: expected a run on images that are held in memory; those of "
            f"{config.dataset} are streamed, which the measures do not support"
        )
    shape = info.image_shape[-1], info.num_classes
    parent = Parent(config, run_dir, named, epoch, known, info.image_shape, info.num_classes)
    try:
        weights = transfer.parent_weights(parent, trainer.build_model, say)
    except RequestError as error:  # its message names --init_from, which was not typed
        raise RequestError(str(error).replace("--init_from", str(run_dir), 1)) from None
    model = trainer.build_model(config, *shape)
    initial = [v.numpy() for v in model.trainable_variables]
    model.set_weights(weights)
    source = input_pipeline.load(config, data_dir=data_dir, cache_dir=cache_dir, say=say)
    audited = input_pipeline.audited(source)
    table = audited.train
    labels_hash = checksum.labels_hash(table.index, table.given)
    if labels_hash != summary["labels_hash"]:
        raise StorageError(
            f"{run_dir}: expected labels of hash {summary['labels_hash']}, these data give "
            f"{labels_hash}"
        )
    _warn_of_versions(run_dir, say)
    sealed = input_pipeline.sealed(config, source, audited)
    return Trained(
        run_dir, config, summary, model, initial, table, audited.test, source.preprocess, sealed
    )


def _warn_of_versions(run_dir: Path, say: Callable[[str], None]) -> None:
    """Says where other versions drew the initial weights: theirs may not be these."""
    from rethink_tf.training.devices import setup as devices

    recorded = (results.read_config(run_dir) or {}).get("versions") or {}
    now = devices.describe()["versions"]
    for name in ("tensorflow", "keras"):
        if recorded.get(name) != now[name]:
            say(
                f"{run_dir}: trained with {name} {recorded.get(name, 'of unknown version')}, now "
                f"{now[name]}; its initial weights may differ"
            )
