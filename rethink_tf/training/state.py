"""One run while it trains: its parts, where it stands, and how that is saved and taken back."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.config.schedule import learning_rate
from rethink_tf.data.types import Table
from rethink_tf.errors import StorageError
from rethink_tf.runs import checkpoint, results
from rethink_tf.training import metrics
from rethink_tf.training.devices.workers import Workers
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.per_example import Record
from rethink_tf.training.preemption import Stop, StoppedError
from rethink_tf.training.recording.profiling import Profile
from rethink_tf.training.recording.tensorboard import TensorBoardLog
from rethink_tf.training.seal_checks import SealChecks, Sealed
from rethink_tf.training.train_step import Steps


@dataclasses.dataclass
class Session:
    """One run while it trains: what the epochs work on, and where they stand.

    Attributes:
        config, steps, train, test, sealed, run_dir, log, say, stop, workers: the parts.
        environment: what must not change between a checkpoint and its resume.
        checkpoint_every: epochs between checkpoints; 0 for none but on a signal.
        keep_epochs: after which a snapshot of the weights is kept.
        epoch: epochs completed.
        step: steps completed of the next epoch.
        compiled: whether this process has run its first step.
        estimated: whether the whole time was said.
        line: the last line of the history.
        history: its lines, as far as they are in the file.
        best: `metrics.best_so_far`.
        resumed: whether it goes on from a checkpoint.
        differed: where it went on in a changed environment, see `results`.
        record: per training example.
        profile: the trace of --profile.
        saving: seconds that each checkpoint of this process took.
    """

    config: RunConfig
    steps: Steps
    train: Table
    test: Table
    sealed: Sealed
    run_dir: Path
    log: TensorBoardLog
    say: Callable[[str], None]
    stop: Stop
    workers: Workers
    environment: dict[str, Any]
    checkpoint_every: int
    keep_epochs: tuple[int, ...]
    record: Record
    profile: Profile
    epoch: int = 0
    step: int = 0
    compiled: bool = False
    estimated: bool = False
    resumed: bool = False
    differed: list[str] = dataclasses.field(default_factory=list)
    line: dict[str, Any] = dataclasses.field(default_factory=dict)
    saving: list[float] = dataclasses.field(default_factory=list)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: dict[str, Any] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(metrics.BEST_KEYS)
    )

    def __post_init__(self):
        self.checks = SealChecks(self.sealed, self.steps)
        self.evaluation = Evaluation(self.steps, self.checks)

    def save(self) -> None:
        """Writes a checkpoint of everything, at the end of an epoch or within one."""
        started = time.monotonic()
        header = {
            "format": checkpoint.FORMAT,
            "epoch": self.epoch,
            "step": self.step,
            "run_id": run_id(self.config),
            "best": self.best,
            "environment": self.environment,
            "differed": self.differed,
            "history": self.history,
            "seals": self.checks.state(),
        }
        arrays = self.steps.variables.state() | self.record.arrays()
        if self.workers.chief:
            checkpoint.save(self.run_dir / results.CHECKPOINTS, header, arrays)
        self.saving.append(time.monotonic() - started)

    def restore(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Takes a checkpoint back; the sums of a half epoch count once `begin` has run.

        Raises:
            StorageError: it is of another network or of other examples.
        """
        self.epoch, self.step = header["epoch"], header["step"]
        self.best |= header["best"]  # one of an older version has fewer keys
        self.resumed, self.differed = True, header["differed"]
        if self.step:
            self.steps.begin_epoch(self.epoch + 1, self.rate)
        try:
            if self.step:
                self.checks.resume(header.get("seals"))
            self.record.restore(arrays)
            self.steps.variables.restore(arrays, self.unsealed(header))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            why = (str(error).splitlines() or [""])[0]
            raise StorageError(
                f"{self.run_dir}: its checkpoint does not fit this run ({type(error).__name__}: "
                f"{why:.200}); add --resume=restart to start over"
            ) from None

    @staticmethod
    def unsealed(header: dict[str, Any]) -> bool:
        """Whether a checkpoint is of before there was a sum of image words."""
        return checkpoint.header_format(header) < checkpoint.SEALED

    def agreed_violation(self) -> str | None:
        """The first violation of a seal on any worker; every worker must call it."""
        self.checks.violation = self.workers.first_text(self.checks.violation)
        return self.checks.violation

    @property
    def rate(self) -> float:
        """The learning rate of the epoch that is next or under way."""
        return learning_rate(self.config, self.epoch + 1)

    def give_way(self) -> None:
        """Between dispatches: where a signal came to any worker, saves and raises StoppedError."""
        signum = max(self.workers.gather(self.stop.signum or 0))
        if not signum:
            return
        self.stop.answered()
        self.save()
        raise StoppedError(
            f"stopped in epoch {self.epoch + 1} after step {self.step} of "
            f"{self.steps.steps_per_epoch}, saved; the same command resumes from there",
            signum,
        )
