"""The compiled training steps, under `strategy.run` for one device, many, or several hosts.

A dispatch runs many steps: a tf.while_loop round `strategy.run`, the structure that holds for one
device, MirroredStrategy and several hosts. The data stay on the device. A step chooses the indices
of its batch, and each replica gathers its own rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf.audit.seal import SAMPLED_ROWS, sampled_tf
from rethink_tf.corruptions import checksum as label_checksums
from rethink_tf.corruptions.image_checksum import image_words_tf
from rethink_tf.data import pipeline
from rethink_tf.data.feed import Feed
from rethink_tf.data.types import Table
from rethink_tf.training import optimizers
from rethink_tf.training.devices.replica_variables import ReplicaVariables

_NEVER = 2**62


class Steps:
    """A model with its optimiser, its resident training data and its compiled steps.

    Args:
        build: makes the keras.Model; called within the strategy's scope.
        strategy: a tf.distribute strategy; the batch size is global over its replicas.
        train: resident training Table.
        batch_size: global.
        input_size: height and width that the model sees; larger images are cropped.
        augment: `none`, `crop` or `flip_rotate`.
        momentum: of SGD.
        seed: of order and augmentation.
        jit: compile forward and backward with XLA.
        preprocess: turns a batch of images into the input of the model.
        optimizer: `sgd`, `adam` or `adamw`.
        weight_decay: of `adamw`, decoupled. Coupled weight decay is one of the model's losses.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        strategy: Any,
        train: Table,
        *,
        batch_size: int,
        input_size: int,
        augment: str,
        momentum: float,
        seed: int,
        jit: bool,
        preprocess: Any = pipeline.standardise,
        optimizer: str = "sgd",
        weight_decay: float = 0.0,
    ):
        self.strategy, self.train, self.preprocess = strategy, train, preprocess
        self.batch_size = min(batch_size, train.num_examples)
        self.input_size, self.augment, self.seed = input_size, augment, seed
        with strategy.scope():
            self.model = build()
            self.weights = [v.value for v in self.model.trainable_variables]
            self.optimizer = optimizers.of_name(
                optimizer, self.model, momentum=momentum, weight_decay=weight_decay
            )
            self.sums = {
                "loss_sum": _accumulator(tf.float64),
                "correct": _accumulator(tf.int64),
                "seen": _accumulator(tf.int64),
                "checksum": _accumulator(tf.int64),
            }
            # The sum of the image words that `words_of` returns. It is not in `sums`, since its
            # expected value depends on whether images are resident or streamed (`seal_checks`).
            self.image_sum = _accumulator(tf.int64)
            self.first_bad = _of_each_replica(tf.constant(_NEVER, tf.int64))
            # Inputs, identities and labels of a few rows of the last whole batch.
            self._shown = self._shown_rows()
            shape = [self._shown, input_size, input_size, train.images.shape[-1]]
            self._got = [
                _of_each_replica(np.zeros(shape, np.float32)),
                _of_each_replica(np.zeros(self._shown, np.int64)),
                _of_each_replica(np.zeros(self._shown, np.int64)),
            ]
        self.resident = self.place(train)
        self._compile(jit)
        self.variables = ReplicaVariables(
            strategy,
            weights=self.weights,
            slots={self.optimizer.slot_name: self.optimizer.slots},
            local=[v.value for v in self.model.non_trainable_variables],
            sums=[*self.sums.values(), self.image_sum],
        )
        self.steps_per_epoch = -(-train.num_examples // self.batch_size)
        self.epoch = tf.constant(0, tf.int64)  # until the first begins

    def _compile(self, jit: bool) -> None:
        """Makes functions of the steps; `jit`: XLA compiles forward and backward.

        Without AutoGraph: no Python branch or loop depends on a tensor, and it would only read the
        sources, for a second.
        """
        self._forward_backward = self._differentiate
        if jit:
            self._forward_backward = tf.function(
                self._differentiate, autograph=False, jit_compile=True
            )
        self._many = tf.function(self._run_many, autograph=False)
        self._last = tf.function(self._run_last, autograph=False)
        self._streamed = tf.function(self._run_streamed, autograph=False)
        self._finite = tf.function(self._all_finite, autograph=False)

    def place(self, table: Table) -> Any:
        """One copy of (images, index, given) per replica, as tensors on its device.

        For streamed images a Feed.
        """
        if table.streamed:
            return Feed(
                self.strategy,
                table,
                batch_size=self.batch_size,
                augment=self.augment,
                seed=self.seed,
            )
        devices = self.strategy.extended.worker_devices

        def on(context: Any, array: Any) -> Any:
            with tf.device(devices[context.replica_id_in_sync_group % len(devices)]):
                return tf.constant(array)

        return tuple(
            self.strategy.experimental_distribute_values_from_function(
                lambda context, array=array: on(context, array)
            )
            # Labels as int64: TensorFlow keeps int32 in the host's memory, also on GPUs.
            for array in (table.images, table.index, table.given.astype(np.int64))
        )

    # One epoch

    def begin_epoch(self, epoch: int, learning_rate: float) -> None:
        """Draws the order of an epoch (counted from 1) and clears the accumulators."""
        order = pipeline.order(self.seed, epoch, self.train.num_examples)
        self.order = tf.constant(order, tf.int64)
        self.epoch = tf.constant(epoch, tf.int64)
        self._rate = tf.constant(learning_rate, tf.float32)
        self.optimizer.begin_epoch(learning_rate)
        for accumulator in (*self.sums.values(), self.image_sum):
            accumulator.assign(tf.zeros([], accumulator.dtype))
        self.first_bad.assign(_NEVER)

    def advance(self, step: int, count: int) -> int:
        """Trains up to `count` steps from step number `step` (from 0); returns the next step."""
        whole, rest = divmod(self.train.num_examples, self.batch_size)
        if self.train.streamed:  # one batch per dispatch, so that each shape is compiled once
            rows = self.batch_size if step < whole else rest
            data = self.streamed(step)
            self._streamed(data, tf.constant(step, tf.int32), self.epoch, self._rate, rows)
            return step + 1
        if step >= whole:
            self._last(self.resident, self.order, self.epoch, self._rate)
            return step + 1
        count = min(count, whole - step)
        self._many(
            self.resident,
            self.order,
            # int32, which TensorFlow keeps in host memory, for the loop's counter and the slice.
            tf.constant(step, tf.int32),
            tf.constant(count, tf.int32),
            self.epoch,
            self._rate,
        )
        return step + count

    def streamed(self, step: int) -> Any:
        """The streamed data of a step of this epoch, for `own_rows`."""
        return self.resident.training(int(self.epoch), self.order, step)

    def running(self) -> dict[str, float]:
        """Running sums of the epoch so far, over all replicas."""
        return {name: total.read_value().numpy().item() for name, total in self.sums.items()}

    def image_checksum(self) -> int:
        """The sum of image words of the epoch so far, over all replicas."""
        return self.image_sum.read_value().numpy().item()

    def got(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The input of the model for a few rows of the last whole batch, by replica of this host.

        Returns:
            For each (inputs float32 [n, H, W, C], augmented and preprocessed; identities int64 [n];
            labels int64 [n]): the first rows of the replica's part.
        """
        columns = [self.strategy.experimental_local_results(v) for v in self._got]
        return [tuple(value.numpy() for value in own) for own in zip(*columns, strict=True)]

    def own_replicas(self) -> list[int]:
        """The replicas of this host, by number."""
        numbers: list[int] = []

        def note(context: Any) -> int:
            numbers.append(context.replica_id_in_sync_group)
            return 0

        self.strategy.experimental_distribute_values_from_function(note)
        return numbers

    def _shown_rows(self) -> int:
        """How many rows of a whole batch every replica shows."""
        return min(SAMPLED_ROWS, self.batch_size // self.strategy.num_replicas_in_sync)

    def diverged_at(self) -> int | None:
        """The first step of this epoch whose loss was not finite on a replica here, or None."""
        local = self.strategy.experimental_local_results(self.first_bad)
        step = min(int(value.numpy()) for value in local)
        return None if step == _NEVER else step

    def weights_finite(self) -> bool:
        """Whether every weight is a number.

        The loss does not tell: some fused CPU kernels turn NaN into 0 in a ReLU.
        """
        return bool(self._finite())

    def _all_finite(self) -> Any:
        return tf.reduce_all([tf.math.is_finite(tf.reduce_sum(w)) for w in self.weights])

    def _run_many(
        self, data: Any, order: Any, first: Any, count: Any, epoch: Any, rate: Any
    ) -> None:
        def body(step: Any) -> Any:
            self.strategy.run(self._step, args=(data, order, step, self.batch_size, epoch, rate))
            return step + 1

        tf.while_loop(lambda step: step < first + count, body, [first])

    def _run_last(self, data: Any, order: Any, epoch: Any, rate: Any) -> None:
        whole, rest = divmod(self.train.num_examples, self.batch_size)
        self.strategy.run(
            self._step, args=(data, order, tf.constant(whole, tf.int32), rest, epoch, rate)
        )

    def _run_streamed(self, data: Any, step: Any, epoch: Any, rate: Any, rows: Any) -> None:
        self.strategy.run(self._step, args=(data, None, step, rows, epoch, rate))

    def _step(self, data: Any, order: Any, step: Any, rows: Any, epoch: Any, rate: Any) -> None:
        """One global batch of `rows` examples, in replica context."""
        seen, index, given, read = self.own_rows(data, order, step, rows, epoch)
        loss, correct, checksum, words, gradients, got = self._forward_backward(
            seen, index, given, read, step, rows
        )
        self.optimizer.apply(gradients, rate)
        self.sums["loss_sum"].assign_add(tf.cast(loss, tf.float64))
        self.sums["correct"].assign_add(correct)
        self.sums["seen"].assign_add(tf.size(given, tf.int64))
        self.sums["checksum"].assign_add(checksum)
        self.image_sum.assign_add(words)
        if rows == self.batch_size:
            for variable, value in zip(self._got, got, strict=True):
                variable.assign(value)
        bad = tf.where(
            tf.math.is_finite(loss), tf.constant(_NEVER, tf.int64), tf.cast(step, tf.int64)
        )
        self.first_bad.assign(tf.minimum(self.first_bad, bad))

    def own_rows(self, data: Any, order: Any, step: Any, rows: Any, epoch: Any) -> Any:
        """This replica's part of a global batch, in replica context.

        Args:
            data: what `place` or `streamed` gave.
            order: int64 [N], of the epoch; not read where images are streamed.
            step: int32, from 0.
            rows: of the global batch.
            epoch: int64, from 1.

        Returns:
            Augmented images, identities, labels, and what `words_of` takes.
        """
        if self.train.streamed:  # already this replica's rows, in order and augmented
            images, index, given, files, sent = data
            return images, index, given, (images, index, files, sent)
        context = tf.distribute.get_replica_context()
        replica = int(tf.get_static_value(context.replica_id_in_sync_group))
        replicas = self.strategy.num_replicas_in_sync
        # Static sizes, uneven if need be: padding would enter the batch statistics.
        low, high = replica * rows // replicas, (replica + 1) * rows // replicas
        chosen = tf.slice(order, [step * self.batch_size + low], [high - low])
        images, index, given = (tf.gather(column, chosen) for column in data)
        # Augmentation is outside of the part that XLA compiles: XLA has no kernel for rotation.
        seen = pipeline.augmented(
            images,
            index,
            augment=self.augment,
            size=self.input_size,
            seed=self.seed,
            epoch=epoch,
        )
        return seen, index, given, (images, index)

    def words_of(self, read: tuple, step: Any, every_word: bool = False) -> Any:
        """The sum of image words of a replica's part of a batch (`image_sum`): int64 [].

        Args:
            read: images and identities of the part, before augmentation; of streamed images also
                the words of their files, and those of the images as they were sent.
            step: int32, by which the rows are chosen.
            every_word: whether all rows count, and not SAMPLED_ROWS of them.
        """

        def counted(*columns: Any) -> Any:
            return columns if every_word else sampled_tf(step, columns)

        images, index, *streamed = read
        total = tf.reduce_sum(image_words_tf(*counted(images, index)))
        if streamed:
            # The words of the files, plus those of the images here minus those of the images that
            # the host sent. The difference is zero if the images arrived unchanged.
            files, sent = streamed
            total += tf.reduce_sum(files) - tf.reduce_sum(*counted(sent))
        return total

    def _differentiate(
        self, images: Any, index: Any, given: Any, read: tuple, step: Any, rows: Any
    ) -> Any:
        with tf.GradientTape() as tape:
            inputs = self.preprocess(images)
            logits = self.model(inputs, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(given, logits)
            loss = tf.reduce_sum(losses)
            objective = loss / rows
            if self.model.losses:
                decay = tf.add_n(self.model.losses) / self.strategy.num_replicas_in_sync
                objective += decay
        gradients = tape.gradient(
            objective, self.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        hit = tf.argmax(logits, axis=-1) == given
        checksum = tf.reduce_sum(label_checksums.label_words_tf(index, given))
        # Inside this function, so that XLA can compile it too. As thirty separate operations
        # these sums cost an MLP's step several times as much (docs/explanation/seals.md).
        words = self.words_of(read, step)
        got: tuple = ()
        if rows == self.batch_size:
            some = slice(self._shown)
            got = tf.cast(inputs[some], tf.float32), tf.cast(index[some], tf.int64), given[some]
        return loss, tf.reduce_sum(tf.cast(hit, tf.int64)), checksum, words, gradients, got


def _accumulator(dtype: Any) -> Any:
    return tf.Variable(
        tf.zeros([], dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _of_each_replica(value: Any) -> Any:
    """A variable that each replica changes by itself, outside of every checkpoint."""
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
