"""Many networks, each trained on a random part of one training set, in one process.

Weights and part of network k are functions of (seed, k). The steps are compiled once: between two
networks the data, the weights and everything else that training changes are replaced. Network k is
bit for bit the run that `member` describes.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from rethink_tf.audit.seal import Seal
from rethink_tf.config import schedule
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import subset
from rethink_tf.data.types import Table
from rethink_tf.errors import DivergedError
from rethink_tf.runs import checkpoint
from rethink_tf.training import input_pipeline, trainer
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.loop import DISPATCH_SECONDS
from rethink_tf.training.seal_checks import SealChecks, Sealed, refuse
from rethink_tf.training.train_step import Steps

_GOLDEN = 0x9E3779B1  # apart from seeds that are typed, which are small


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """What one network became.

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

    Its labels are those of `config`: the run has the same weights if they are given to it by
    --labels_from (`rethink-tf noise --export` writes them), or if none is corrupted.

    Args:
        config: resolved, of all networks.
        number: from 0.
        examples: of its part.
    """
    return dataclasses.replace(config, seed=seed_of(config.seed, number), examples=examples)


def part_of(table: Table, examples: int, seed: int) -> np.ndarray:
    """The rows of a network's part: class-balanced, as --examples takes them: int64, ascending."""
    return subset.rows(table.index, table.true, examples, seed=seed)


class Networks:
    """The networks of one training set.

    Args:
        config: resolved; its images are not corrupted.
        data: `trainer.Prepared` of it.
        examples: of the part of each network.
        options: of a run (`flags.Options`).
        started: TensorFlow as it runs (`training.run.Started`), on one device.
    """

    def __init__(self, config: RunConfig, data: Any, examples: int, options, started):
        self.config, self.data, self.examples = config, data, examples
        self.options, self.started = options, started
        self.train, self.test = data.learner.train, data.learner.test
        self.steps: Steps | None = None

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
            checks = self._begin(own, rows)
            epochs = self._train(own, number, checks, progress)
            right, test_right = self._measured()
            trained = np.zeros(self.train.num_examples, bool)
            trained[rows] = True
            variables = [v.numpy() for v in self._steps.model.variables]
            weights_hash = checkpoint.weights_hash(iter(variables))
            yield Network(number, own.seed, trained, right, test_right, epochs, weights_hash)

    @property
    def _steps(self) -> Steps:
        if self.steps is None:
            raise ValueError("no network was begun")
        return self.steps

    def _begin(self, own: RunConfig, rows: np.ndarray) -> SealChecks:
        """Puts a network at its start; returns what its training is held against."""
        table, sealed = self._part(own, rows)
        channels, classes = table.images.shape[-1], table.num_classes
        # The seed of augmentation is a constant of what is compiled.
        if self.steps is None or own.augment != "none":
            learner = dataclasses.replace(
                self.data.learner,
                build=lambda: trainer.build_model(own, channels, classes),
                train=table,
                sealed=sealed,
            )
            self.steps, _ = trainer.build_steps(own, self.options, self.started, learner)
            self._start = self.steps.variables.state()
            self.evaluation = Evaluation(self.steps)
            self._whole = self._checks_of_all(table)
            self._places = [self.steps.place(each) for each in (self.train, self.test)]
        else:
            steps = self.steps
            steps.train, steps.seed = table, own.seed
            steps.resident = steps.place(table)
            steps.variables.restore(self._start)  # momenta and whatever else an optimiser keeps
            with self.started.strategy.scope():
                fresh = trainer.build_model(own, channels, classes)
            for variable, value in zip(steps.model.variables, fresh.variables, strict=True):
                variable.assign(value.numpy())
        return SealChecks(sealed, self.steps)

    def _part(self, own: RunConfig, rows: np.ndarray) -> tuple[Table, Sealed]:
        """The Table of a network, and its seals."""
        columns = {
            name: getattr(self.train, name)[rows] for name in ("index", "images", "true", "given")
        }
        table = dataclasses.replace(self.train, **columns)
        source, audited = self.data.source, self.data.audited
        split = source.train
        part = dataclasses.replace(
            split,
            index=split.index[rows],
            images=split.images[rows],
            labels=split.labels[rows],
        )
        seal: Seal = audited.train_seal
        names = ("index", "true", "given", "words")
        seal = dataclasses.replace(seal, **{name: getattr(seal, name)[rows] for name in names})
        sealed = input_pipeline.sealed(
            own,
            dataclasses.replace(source, train=part),
            dataclasses.replace(audited, train=table, train_seal=seal),
        )
        return table, sealed

    def _checks_of_all(self, table: Table) -> SealChecks:
        """What a pass over all examples is held against, trained on or not."""
        steps = self._steps
        steps.train = self.train
        checks = SealChecks(self.data.learner.sealed, steps)
        steps.train = table
        return checks

    def _train(self, own: RunConfig, number: int, checks: SealChecks, progress) -> int:
        """Trains a network as its run would be; returns its epochs."""
        steps, count = self._steps, 1
        for epoch in range(1, own.epochs + 1):
            steps.begin_epoch(epoch, schedule.learning_rate(own, epoch))
            checks.begin_epoch()
            step = 0
            while step < steps.steps_per_epoch and steps.diverged_at() is None:
                first, before = step, time.monotonic()
                step = checks.advance(step, count)
                # As in a run, so that Ctrl-C is answered.
                each = (time.monotonic() - before) / (step - first)
                count = max(1, round(DISPATCH_SECONDS / each))
                progress(number, (epoch - 1 + step / steps.steps_per_epoch) / own.epochs)
            if steps.diverged_at() is not None or not steps.weights_finite():
                raise DivergedError(
                    f"the loss of network {number} became NaN or infinite in epoch {epoch}; try a "
                    f"smaller --learning_rate than {own.learning_rate:g}"
                )
            checks.end_epoch()
            refuse(checks.violation)
            if epoch == own.epochs or self._fitted(own, epoch, checks):
                break
        self.evaluation.checks = checks
        self.evaluation.recalibrate()
        refuse(checks.violation)
        return epoch

    def _fitted(self, own: RunConfig, epoch: int, checks: SealChecks) -> bool:
        """Whether its own examples are fitted as --stop_at_train_accuracy asks."""
        if own.stop_at_train_accuracy is None or epoch % own.eval_every:
            return False
        self.evaluation.checks = checks
        self.evaluation.recalibrate()
        seal, table = checks.sealed.train, self._steps.train
        resident = self._steps.resident
        found = self.evaluation.evaluate(resident, seal.num_examples, seal=seal)
        refuse(checks.violation)
        return float(np.mean(found.predicted == table.given)) >= own.stop_at_train_accuracy

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether every training example is as labelled, and every test example right."""
        checks, sealed = self._whole, self.data.learner.sealed
        self.evaluation.checks = checks
        on_train, on_test = (
            self.evaluation.evaluate(place, seal.num_examples, seal=seal)
            for place, seal in zip(self._places, (sealed.train, sealed.test), strict=True)
        )
        checks.columns(self.train, self.test)
        checks.measured(on_train, on_test)
        refuse(checks.violation)
        return on_train.predicted == self.train.given, on_test.predicted == self.test.true
