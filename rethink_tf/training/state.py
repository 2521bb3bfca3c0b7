"""The values of a run: its data, what does not change while it trains, and what does."""

import dataclasses
from pathlib import Path
from typing import Any

from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.config.schedule import learning_rate
from rethink_tf.data.types import DatasetInfo, Table
from rethink_tf.errors import StorageError
from rethink_tf.runs import checkpoint, schema
from rethink_tf.runs.pretrained import Parent
from rethink_tf.training import input_pipeline, metrics, transfer
from rethink_tf.training.devices.workers import Workers
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.per_example import Record
from rethink_tf.training.seal_checks import SealChecks, Sealed
from rethink_tf.training.train_step import Steps


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The data of a run, corrupted, audited and sealed.

    Attributes:
        info: what is known of the data set.
        parent: the run that it starts from, or None.
        source: what the corrupting pipeline read.
        audited: what it yielded, the checks that were made, the seals.
        learner: the network on images, or its last layer on features.
    """

    info: DatasetInfo
    parent: Parent | None
    source: input_pipeline.Source
    audited: input_pipeline.Audited
    learner: transfer.Learner


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What does not change while a run trains.

    Attributes:
        config: resolved.
        steps: the model and its compiled steps.
        train: the Table that is trained on.
        test: the Table of the test set; None where only the training set is evaluated.
        sealed: the seals of both.
        checks: compare every pass with its seal.
        evaluation: the exact passes.
        workers: the processes of the run.
    """

    config: RunConfig
    steps: Steps
    train: Table
    test: Table | None
    sealed: Sealed
    checks: SealChecks
    evaluation: Evaluation
    workers: Workers

    def agreed_violation(self) -> str | None:
        """The first violation of a seal on any worker; every worker must call it."""
        self.checks.violation = self.workers.first_text(self.checks.violation)
        return self.checks.violation


@dataclasses.dataclass
class TrainingState:
    """The state of a run that a checkpoint saves and restores, besides the variables.

    Attributes:
        record: per training example.
        epoch: epochs completed.
        step: steps completed of the next epoch.
        line: the last line of the history.
        history: its lines, as far as they are in the file.
        best: `metrics.best_so_far`.
        differed: where the run was resumed in a changed environment, see `results`.
        resumed: whether this process resumed it from a checkpoint.
        compiled: whether this process has run its first step.
    """

    record: Record
    epoch: int = 0
    step: int = 0
    line: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: dict[str, Any] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(metrics.BEST_KEYS)
    )
    differed: list[str] = dataclasses.field(default_factory=list)
    resumed: bool = False
    compiled: bool = False

    def header(self, context: RunContext, environment: schema.Environment) -> dict[str, Any]:
        """What a checkpoint says of the state, as JSON values.

        Args:
            context: of the run.
            environment: what must not change between a checkpoint and its resume.
        """
        return {
            "format": checkpoint.FORMAT,
            "epoch": self.epoch,
            "step": self.step,
            "run_id": run_id(context.config),
            "best": self.best,
            "environment": environment,
            "differed": self.differed,
            "history": self.history,
            "seals": context.checks.state(),
        }

    def restore(
        self, context: RunContext, header: dict[str, Any], arrays: dict[str, Any], run_dir: Path
    ) -> None:
        """Restores a checkpoint, into this state and the variables of `context.steps`.

        Args:
            context: of the run.
            header, arrays: of the checkpoint; the header has the `history` up to it.
            run_dir: for the message.

        Raises:
            StorageError: it is of another network or of other examples.
        """
        self.epoch, self.step = header["epoch"], header["step"]
        self.history = header["history"]
        self.line = self.history[-1] if self.history else {}
        self.best |= header["best"]  # the header of an older version has fewer keys
        self.resumed, self.differed = True, header["differed"]
        if self.step:
            context.steps.begin_epoch(self.epoch + 1, learning_rate(context.config, self.epoch + 1))
        try:
            if self.step:
                context.checks.resume(header.get("seals"))
            self.record.restore(arrays)
            context.steps.variables.restore(arrays, before_seals(header))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            why = (str(error).splitlines() or [""])[0]
            raise StorageError(
                f"{run_dir}: its checkpoint does not fit this run ({type(error).__name__}: "
                f"{why:.200}); add --resume=restart to start over"
            ) from None


def before_seals(header: dict[str, Any]) -> bool:
    """Whether a checkpoint was written by a version without sums of image words."""
    return checkpoint.header_format(header) < checkpoint.SEALED
