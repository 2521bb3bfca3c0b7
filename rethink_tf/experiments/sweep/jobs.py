"""The jobs of a sweep: each run once, parents before their transfers, divided into shards.

Imports no TensorFlow.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from rethink_tf.config import run_config
from rethink_tf.errors import ExitCode, RethinkError, StorageError
from rethink_tf.experiments import plan as experiments
from rethink_tf.experiments.plan import Planned
from rethink_tf.narrowing import present
from rethink_tf.runs import agreement, results
from rethink_tf.runs.status import DAMAGED, DIVERGED, FINISHED, INVALID, MISSING, state
from rethink_tf.storage import temporaries

WAITING, STARTED, ENDED = "waiting", "started", "ended"
LOGS = ".sweep"
# The exit code that the command of a finished or damaged run would return.
_CODES = {
    FINISHED: ExitCode.DONE,
    INVALID: ExitCode.INVALID,
    DIVERGED: ExitCode.DIVERGED,
    DAMAGED: ExitCode.STORAGE_FAILED,
}


@dataclasses.dataclass(eq=False)
class Job:
    """One run of a sweep, and where it stands.

    Attributes:
        plan: the run; planned anew once its parent is finished.
        runs_dir: of the sweep.
        parent: the job to be done first.
        stage: WAITING, STARTED or ENDED.
        code: its exit code, once it has ended; below 0 the signal that killed it.
        why: in words, where it could not be started.
        before: whether it had ended before this sweep.
        retry_at: monotonic time before which it is not tried again.
        began: monotonic time of its start.
    """

    plan: Planned
    runs_dir: Path
    parent: "Job | None" = None
    stage: str = WAITING
    code: int | None = None
    why: str | None = None
    before: bool = False
    retry_at: float = 0.0
    began: float = 0.0

    @property
    def name(self) -> str:
        """The run by its place in its experiment: `figure1b mlp_1x512 corrupt=0.5 seed 0`."""
        axes = "".join(f" {flag}={value}" for flag, value in self.plan.axes.items())
        return f"{self.plan.experiment} {self.plan.row}{axes} seed {self.plan.seed}"

    @property
    def run_dir(self) -> Path | None:
        """None as long as its parent is not finished."""
        return self.runs_dir / self.plan.run_id if self.plan.run_id else None

    @property
    def log(self) -> Path:
        """What the run printed. Each sweep has logs of its own: another may start the same run."""
        own = f"{temporaries.machine()}-{os.getpid()}"
        return self.runs_dir / LOGS / f"{self.plan.run_id}.{own}.log"

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than well."""
        return self.stage == ENDED and self.code != ExitCode.DONE

    def state(self) -> str:
        """As `status.state`."""
        return state(self.run_dir) if self.run_dir else MISSING

    def remove_old_logs(self) -> None:
        """Removes the run's logs of sweeps of this machine that have ended."""
        for path in self.log.parent.glob(f"{self.plan.run_id}.*log"):
            _, _, own = path.name.removesuffix(".log").rpartition(".")
            machine, _, pid = own.partition("-")
            ended = pid.isdecimal() and not temporaries.lives(int(pid))
            if machine == temporaries.machine() and ended:
                with contextlib.suppress(OSError):
                    path.unlink()

    def end(self, code: int, why: str | None = None) -> None:
        """Notes how it ended."""
        self.stage, self.code, self.why = ENDED, code, why

    def settle(self) -> str:
        """Its state; ends it where its directory says how it ended."""
        state = self.state()
        if state in _CODES:
            self.end(_CODES[state], None if state == FINISHED else self._reason())
        return state

    def _reason(self) -> str:
        try:
            folder = present(self.run_dir, "a run directory")
            summary = present(agreement.read_summary(folder, self.plan.run_id), "a summary")
            return f"{summary['status']}: {summary['reason']}"
        except StorageError as error:
            return str(error)

    def plan_again(self) -> None:
        """Names the run now that its parent is finished; ends it where that is not possible."""
        if self.plan.run_id is None:
            try:
                self.plan = experiments.plan_again(self.plan, self.runs_dir)
            except RethinkError as error:
                self.end(int(error.exit_code), str(error))
        if self.stage == WAITING and self.plan.run_id is None:
            self.end(int(ExitCode.WRONG_REQUEST), self.plan.waits)

    def epochs_done(self) -> int:
        """Epochs in its history; 0 where it cannot be read."""
        try:
            return len(results.read_history(self.run_dir)) if self.run_dir else 0
        except StorageError:
            return 0


def jobs_of(plans: Iterable[Planned], runs_dir: Path, shard: tuple[int, int] = (0, 1)) -> list[Job]:
    """The jobs of some runs: each once, each after its parent.

    Args:
        plans: of one or several experiments.
        runs_dir: of the sweep.
        shard: (i, n): every n-th run, from the i-th on; what starts from a run goes with it. The
            parts depend on `plans` alone, not on what is finished.
    """
    jobs: dict[str, Job] = {}
    units: dict[str, int] = {}
    for plan in plans:
        origin = plan.parent or plan
        name = present(origin.run_id, "the run id of a run that waits for no other")
        unit = units.setdefault(name, len(units))
        if unit % shard[1] != shard[0]:
            continue
        parent = None
        if plan.parent is not None:
            parent = jobs.setdefault(name, Job(plan.parent, runs_dir))
        # If the parent is not finished, the id is computed without the parent's weights.
        key = plan.run_id or run_config.run_id(plan.config)
        jobs.setdefault(key, Job(plan, runs_dir, parent))
    return list(jobs.values())
