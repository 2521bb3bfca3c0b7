"""Many networks, each trained on a random part of one training set, in one process.

Weights and part of network k are functions of (seed, k). The steps are compiled once. Between two
networks, the data, the weights and everything else that training changes are replaced. Network k
has the same bits as the run that `member` describes, unless the set is itself a part
(`--examples`): such a run draws from the whole data set.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import subset
from rethink_tf.data.types import Table
from rethink_tf.errors import AuditError, DivergedError
from rethink_tf.runs import checkpoint, results
from rethink_tf.training import input_pipeline, trainer
from rethink_tf.training.devices.workers import Started
from rethink_tf.training.loop import Callback, Dispatch, train_epochs
from rethink_tf.training.per_example import Record
from rethink_tf.training.seal_checks import SealChecks, Sealed, refuse
from rethink_tf.training.state import Prepared, RunContext, TrainingState
from rethink_tf.training.train_step import Steps

_GOLDEN = 0x9E3779B1  # spreads these seeds far from those that users type, which are small


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """One trained network.

    Attributes:
        number: k.
        seed: of its weights, its part and its order.
        trained: bool [N], which examples it was trained on.
        right: bool [N], which it predicts as labelled.
        test_right: bool [M], which test examples it predicts as their true class.
        epochs: that it was trained for.
        weights_hash: of all its variables, as in the summary of a run.
    """

    number: int
    seed: int
    trained: np.ndarray
    right: np.ndarray
    test_right: np.ndarray
    epochs: int
    weights_hash: str


def seed_of(seed: int, number: int) -> int:
    """The seed of network `number`: of its weights, its part of the examples, and its order."""
    return (seed + (number + 1) * _GOLDEN) % 2**32


def member(config: RunConfig, number: int, examples: int) -> RunConfig:
    """The run that network `number` is.

    Its labels are those of `config`. A separate run has the same weights if it gets these labels by
    --labels_from (`rethink-tf noise --export` writes them), or if no label is corrupted.

    Args:
        config: resolved, of all networks.
        number: from 0.
        examples: of its part.
    """
    # Evaluations change no weights: if no accuracy stops the training, one at the end is enough.
    every = config.epochs if config.stop_at_train_accuracy is None else config.eval_every
    seed = seed_of(config.seed, number)
    return dataclasses.replace(config, seed=seed, examples=examples, eval_every=every)


def part_of(table: Table, examples: int, seed: int) -> np.ndarray:
    """The rows of a network's part: class-balanced, as --examples takes them: int64, ascending."""
    return subset.rows(table.index, table.true, examples, seed=seed)


class Networks:
    """The networks of one training set.

    Args:
        config: resolved; its images are not corrupted.
        data: of it.
        examples: of the part of each network.
        options: of a run.
        started: TensorFlow as it runs, on one device.
    """

    def __init__(
        self, config: RunConfig, data: Prepared, examples: int, options: Options, started: Started
    ):
        self.config, self.data, self.examples = config, data, examples
        self.options, self.started = options, started
        self.train, self.test = data.learner.train, data.learner.test
        self._compiled: _Compiled | None = None

    def train_each(
        self,
        numbers: Iterable[int],
        progress: Callable[[int, float], object] = lambda number, share: None,
    ) -> Iterator[Network]:
        """Trains the networks of these numbers, one after the other, and yields each.

        Args:
            numbers: of the networks.
            progress: gets a number, and the share of its training that is done.

        Raises:
            DivergedError: a loss became NaN or infinite.
            AuditError: a pass took other images or labels than the sealed ones.
        """
        for number in numbers:
            own = member(self.config, number, self.examples)
            rows = part_of(self.train, self.examples, own.seed)
            compiled = self._begin(own, rows)
            epochs = _fit(compiled.context, number, progress)
            right, test_right = self._measured(compiled)
            trained = np.zeros(self.train.num_examples, bool)
            trained[rows] = True
            variables = compiled.context.steps.model.variables
            weights_hash = checkpoint.weights_hash(v.numpy() for v in variables)
            yield Network(number, own.seed, trained, right, test_right, epochs, weights_hash)

    def _begin(self, own: RunConfig, rows: np.ndarray) -> "_Compiled":
        """Puts a network at its start, on its part."""
        table, sealed = self._part(own, rows)
        channels, classes = table.images.shape[-1], table.num_classes
        # The seed of the augmentation is a constant in the compiled step.
        if self._compiled is None or own.augment != "none":
            learner = dataclasses.replace(
                self.data.learner,
                build=lambda: trainer.build_model(own, channels, classes),
                train=table,
                sealed=sealed,
            )
            xla = trainer.uses_xla(own, self.options, self.started.threads)
            strategy, workers = self.started.strategy, self.started.workers
            context = trainer.build(own, learner, strategy, workers, xla=xla, test_too=False)
            steps = context.steps
            self._compiled = _Compiled(
                context,
                steps.variables.state(),
                self._checks_of_all(steps),
                [steps.place(each) for each in (self.train, self.test)],
            )
            return self._compiled
        steps = self._compiled.context.steps
        steps.train, steps.seed = table, own.seed
        steps.resident = steps.place(table)
        # Also momenta and all else that the optimiser keeps.
        steps.variables.restore(self._compiled.start)
        with self.started.strategy.scope():
            fresh = trainer.build_model(own, channels, classes)
        for variable, value in zip(steps.model.variables, fresh.variables, strict=True):
            variable.assign(value.numpy())
        checks = SealChecks(sealed, steps)
        self._compiled.context = dataclasses.replace(
            self._compiled.context, config=own, train=table, sealed=sealed, checks=checks
        )
        self._compiled.context.evaluation.checks = checks
        return self._compiled

    def _part(self, own: RunConfig, rows: np.ndarray) -> tuple[Table, Sealed]:
        """The Table of a network, and its seals."""
        columns = {
            name: getattr(self.train, name)[rows] for name in ("index", "images", "true", "given")
        }
        table = dataclasses.replace(self.train, **columns)
        source, audited = self.data.source, self.data.audited
        split, seal = source.train, audited.train_seal
        part = dataclasses.replace(
            split,
            index=split.index[rows],
            images=split.images[rows],
            labels=split.labels[rows],
        )
        names = ("index", "true", "given", "words")
        seal = dataclasses.replace(seal, **{name: getattr(seal, name)[rows] for name in names})
        sealed = input_pipeline.sealed(
            own,
            dataclasses.replace(source, train=part),
            dataclasses.replace(audited, train=table, train_seal=seal),
        )
        return table, sealed

    def _checks_of_all(self, steps: Steps) -> SealChecks:
        """What a pass over all examples is held against, trained on or not."""
        part, steps.train = steps.train, self.train
        checks = SealChecks(self.data.learner.sealed, steps)
        steps.train = part
        return checks

    def _measured(self, compiled: "_Compiled") -> tuple[np.ndarray, np.ndarray]:
        """Whether every training example is as labelled, and every test example right."""
        evaluation, checks = compiled.context.evaluation, compiled.checks_of_all
        sealed, evaluation.checks = self.data.learner.sealed, checks
        on_train, on_test = (
            evaluation.evaluate(place, seal.num_examples, seal=seal)
            for place, seal in zip(compiled.places, (sealed.train, sealed.test), strict=True)
        )
        checks.columns(self.train, self.test)
        checks.measured(on_train, on_test)
        refuse(checks.violation)
        return on_train.predicted == self.train.given, on_test.predicted == self.test.true


@dataclasses.dataclass
class _Compiled:
    """What is compiled once: the context of the network that is trained with it now.

    Attributes:
        context: of the network.
        start: what training changes, as it was before the first step.
        checks_of_all: of passes over all training and test examples.
        places: these examples on the device.
    """

    context: RunContext
    start: dict[str, np.ndarray]
    checks_of_all: SealChecks
    places: list[Any]


class _Progress(Callback):
    """Tells how far the training of a network is."""

    def __init__(self, context: RunContext, tell: Callable[[float], object]):
        self.context, self.tell = context, tell

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """See `Callback`."""
        epochs = state.epoch + state.step / self.context.steps.steps_per_epoch
        self.tell(epochs / self.context.config.epochs)


def _fit(context: RunContext, number: int, progress: Callable[[int, float], object]) -> int:
    """Trains a network by the loop of a run; returns its epochs."""
    state = TrainingState(Record(context.train.num_examples))
    tell = _Progress(context, lambda share: progress(number, share))
    status, reason = train_epochs(context, state, [tell])
    if status == results.INVALID:
        raise AuditError(f"INVALID: network {number}: {reason}")
    if status == results.DIVERGED:
        raise DivergedError(f"network {number}: {reason}")
    return state.epoch
