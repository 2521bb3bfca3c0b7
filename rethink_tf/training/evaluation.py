"""Exact evaluation on the device: batch-norm statistics measured anew, every example once."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rethink_tf import models
from rethink_tf.audit.seal import SAMPLED_ROWS, Seal, sample_offsets
from rethink_tf.corruptions.checksum import label_words_tf
from rethink_tf.corruptions.image_checksum import image_words_tf
from rethink_tf.data import pipeline
from rethink_tf.data.feed import Feed
from rethink_tf.training.metrics import Outcome
from rethink_tf.training.seal_checks import Pass, SealChecks
from rethink_tf.training.train_step import Steps

EVAL_BATCH = 500
STREAMED_BATCH = 100
RECALIBRATION_STEPS = 40
# What moving averages are set to where it is measured what a pass leaves of them: float32 rounds to
# 1e-7 of it.
MARK = 2.0**60
_NEAR = 1e-3  # relative difference of a measured share and a power of the momentum
_INPUTS = 5  # place of the one value of `_outcome` without a row for each example


class Evaluation:
    """The compiled evaluation of the model that `steps` trains, on the same replicas.

    Args:
        steps: the training steps.
        checks: compare every pass with its seal; None in a benchmark, which reports no result.
    """

    def __init__(self, steps: Steps, checks: SealChecks | None = None):
        self.steps, self.strategy, self.model = steps, steps.strategy, steps.model
        self.checks = checks
        # Without AutoGraph, as in the training steps.
        self._evaluate = tf.function(self._run_evaluate, autograph=False)
        self._read = tf.function(self._read_others, autograph=False)
        self._exchange = tf.function(self._exchange_values, autograph=False)
        self._renew = tf.function(self._renew_statistics, autograph=False)
        self._unbias = tf.function(self._unbias_statistics, autograph=False)
        layers = models.layers_of(self.model)
        # Frozen layers use their statistics in training too, and keep them.
        self._normalised = [x for x in layers if hasattr(x, "moving_variance") and x.trainable]
        statistics = {id(v) for v, _ in self._statistics()}
        # What a forward pass changes beside the statistics: the states of dropout, and the kernel
        # that a spectral normalisation divides by its largest singular value.
        self._others = [v for v in self.model.non_trainable_variables if id(v) not in statistics]
        if any(isinstance(x, keras.layers.SpectralNormalization) for x in layers):
            self._others += self.model.trainable_variables
        self._left: list[float] | None = None  # of `_measure_left`

    def recalibrate(self, between: Callable[[], object] | None = None) -> None:
        """Measures the batch-norm statistics of the current weights on training batches.

        A moving average lags behind the weights: on Gaussian pixels it gave an accuracy of .52
        where these statistics give 1.0. Training never reads them, so it does not change. Their
        previous values do not matter.

        Args:
            between: called before each batch, for example to answer a signal.
        """
        if not self._normalised:
            return
        steps = self.steps
        whole = max(1, steps.train.num_examples // steps.batch_size)
        count = min(RECALIBRATION_STEPS, whole)
        before = self._exchange(self._filled(0.0), self._read())
        for step in range(count):
            if between is not None:
                # `between` may save everything, so all must be as training left it. The statistics
                # too: layers that gather nothing get theirs back at the end, also after a resume.
                gathered = self._exchange(*before)
                between()
                self._exchange(*gathered)
            data = steps.streamed(step) if steps.train.streamed else steps.resident
            place = steps.order, tf.constant(step, tf.int32), steps.epoch
            got = self._renew(data, *place)
            if self._left is None:
                self._left = self._measure_left(data, *place)
            if self.checks is not None:
                columns = [self.strategy.experimental_local_results(v) for v in got]
                self.checks.renewed(step, count, list(zip(*columns, strict=True)))
        gathered, _ = self._exchange(*before)
        self._unbias(gathered, tf.constant(count, tf.float32))

    def _statistics(self) -> list[tuple[Any, float]]:
        return [(x.moving_mean, x.momentum) for x in self._normalised] + [
            (x.moving_variance, x.momentum) for x in self._normalised
        ]

    def _measure_left(self, data: Any, order: Any, step: Any, epoch: Any) -> list[float]:
        """What a forward pass leaves of each of `_statistics` (`left_of`). All stays as it is."""
        gathered = self._exchange(self._filled(MARK), self._read())
        self._renew(data, order, step, epoch)
        marked, _ = self._exchange(*gathered)
        left = []
        for (_, momentum), value in zip(self._statistics(), marked, strict=True):
            (first, *_) = self.strategy.experimental_local_results(value)
            left.append(left_of(np.asarray(first), momentum))
        return left

    def _filled(self, content: float) -> list[Any]:
        """One number for all statistics."""
        return [tf.fill(v.shape, tf.constant(content, v.dtype)) for v, _ in self._statistics()]

    def _read_others(self) -> Any:
        return self.strategy.run(lambda: [tf.identity(v.value) for v in self._others])

    def _exchange_values(self, statistics: Any, others: Any) -> Any:
        """Assigns these values to the statistics and to `_others`; returns those before."""

        def exchange(*new: Any) -> Any:
            held = [v.value for v, _ in self._statistics()], [v.value for v in self._others]
            before = tuple([tf.identity(v) for v in variables] for variables in held)
            for variables, values in zip(held, new, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            return before

        return self.strategy.run(exchange, args=(statistics, others))

    def _renew_statistics(self, data: Any, order: Any, step: Any, epoch: Any) -> Any:
        def forward(data: Any) -> Any:
            seen, index, _, read = self.steps.own_rows(
                data, order, step, self.steps.batch_size, epoch
            )
            inputs = self.steps.preprocess(seen)
            self.model(inputs, training=True)
            words = self.steps.words_of(read, step, every_word=True)
            return words, inputs[:SAMPLED_ROWS], index[:SAMPLED_ROWS]

        return self.strategy.run(forward, args=(data,))

    def _unbias_statistics(self, gathered: Any, count: Any) -> None:
        def unbias(gathered: Any) -> None:
            rows = zip(self._statistics(), self._left or (), gathered, strict=True)
            for (value, _), left, new in rows:
                unbiased = new / (1 - left**count)
                # All zeros: the layer was called as in inference and gathered nothing.
                value.assign(tf.where(tf.reduce_any(new != 0), unbiased, value))

        self.strategy.run(unbias, args=(gathered,))

    def evaluate(
        self,
        resident: Any,
        count: int,
        batch: int = EVAL_BATCH,
        between: Callable[[], object] | None = None,
        seal: Seal | None = None,
    ) -> Outcome:
        """Loss, prediction and margin of each of `count` examples, each exactly once.

        Args:
            resident: what `Steps.place` returned for the Table.
            count: number of examples of that Table.
            batch: examples per replica and dispatch; changes no count.
            between: called before each dispatch, for example to answer a signal.
            seal: of the Table. A difference is reported to `checks`.
        """
        parts, batches = [], []
        streamed = isinstance(resident, Feed)
        batch = min(batch, STREAMED_BATCH) if streamed else batch
        stride = batch * self.strategy.num_replicas_in_sync
        for start in range(0, count, stride):
            # Positions past the end repeat the last example; their results are cut off below.
            positions = np.minimum(np.arange(start, start + stride), count - 1)
            if start + stride > count and self.strategy.num_replicas_in_sync == 1:
                positions = positions[: count - start]
            batches.append(positions)
        given = resident.evaluation(batches) if streamed else ((resident, b) for b in batches)
        for data, positions in given:
            if between is not None:
                between()
            parts.append(self._evaluate(data, tf.constant(positions, tf.int32)))
        columns = [
            np.concatenate([np.asarray(p[i]) for p in parts])[:count]
            for i in range(len(parts[0]))
            if i != _INPUTS
        ]
        loss, predicted, margin, ahead, error, *words = columns
        if seal is not None and self.checks is not None:
            drawn = self.checks.drawn(len(batches))
            shown = self._shown(batches, parts, drawn)
            self.checks.evaluated(seal, Pass(*words), shown)
        return Outcome(loss, predicted.astype(np.int32), margin, ahead, error)

    def _shown(self, batches: Any, parts: Any, drawn: int) -> Any:
        """Of one batch, drawn by the epoch: (positions int64 [n], what the model got of them)."""
        replicas = self.strategy.num_replicas_in_sync
        own = np.split(batches[drawn], replicas)
        positions = np.concatenate([part[sample_offsets(len(part))] for part in own])
        return positions, np.asarray(parts[drawn][_INPUTS])

    def _run_evaluate(self, data: Any, positions: Any) -> Any:
        values = self.strategy.run(self._outcome, args=(data, positions))
        if self.strategy.num_replicas_in_sync == 1:
            return values
        return tuple(self.strategy.gather(v, axis=0) for v in values)

    def _outcome(self, data: Any, positions: Any) -> Any:
        images, index, given, *sent = data
        context = tf.distribute.get_replica_context()
        replica = int(tf.get_static_value(context.replica_id_in_sync_group))
        rows = positions.shape[0] // self.strategy.num_replicas_in_sync
        positions = positions[replica * rows : (replica + 1) * rows]
        images, index, given, *sent = (
            tf.gather(column, positions) for column in (images, index, given, *sent)
        )
        words = label_words_tf(index, given), image_words_tf(images, index), *sent
        seen = pipeline.centre(images, self.steps.input_size)
        inputs = self.steps.preprocess(seen)
        logits = self.model(inputs, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(given, logits)
        own = tf.one_hot(given, logits.shape[-1], on_value=True, off_value=False)
        other = tf.reduce_max(tf.where(own, -np.inf, logits), axis=-1)
        margin = tf.gather(logits, given, axis=1, batch_dims=1) - other
        # As in argmax, the first of several equal logits is ahead.
        value = tf.gather(logits, given, axis=1, batch_dims=1)[:, None]
        earlier = tf.range(logits.shape[-1], dtype=given.dtype) < given[:, None]
        ahead = (logits > value) | ((logits == value) & earlier) | tf.math.is_nan(logits + value)
        ahead = tf.reduce_sum(tf.cast(ahead, tf.int32), axis=-1)
        error = tf.norm(tf.nn.softmax(logits) - tf.cast(own, logits.dtype), axis=-1)
        shown = tf.gather(inputs, sample_offsets(rows))
        return losses, tf.argmax(logits, axis=-1), margin, ahead, error, shown, *words


def left_of(marked: np.ndarray, momentum: float) -> float:
    """The share of a moving average that is left after one forward pass in training.

    Each update leaves `momentum` of it, and a layer that is used several times is updated as often.
    A layer of one's own may give the name to something else, such as the share of the batch; then
    the share is what was measured.

    Args:
        marked: float [C], the average after the pass, before which it was MARK.
        momentum: of the layer.

    Returns:
        `momentum` where nothing can be told: the average was not updated, or is not finite.
    """
    share = float(np.median(marked)) / MARK
    if not 0 < share < 1 or not 0 < momentum < 1:
        return momentum
    power = momentum ** max(1, round(math.log(share) / math.log(momentum)))
    return power if abs(share - power) < _NEAR * power else share
