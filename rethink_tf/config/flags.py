"""The flags of a run: RunConfig's fields, and the options of how and where it is carried out.

Imports no TensorFlow.
"""

import dataclasses

from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.run_config import OF_THE_PARENT, RunConfig
from rethink_tf.errors import RequestError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
RESUME_MODES = ("exact", "anyway", "restart")
_GROUP = "Where and how (no part of a run's identity, but recorded with it)"


@dataclasses.dataclass(frozen=True)
class Options:
    """What cannot change a number: where things lie and how the run is carried out."""

    runs_dir: str = fields.field(
        "runs",
        str,
        "folder of the runs; each has its own folder RUNS_DIR/<run_id>",
        group=_GROUP,
    )
    data_dir: str | None = fields.field(
        None,
        str,
        "folder of TFDS-prepared sets",
        group=_GROUP,
        by="TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    cache_dir: str | None = fields.field(
        None,
        str,
        "folder of decoded sets",
        group=_GROUP,
        by="~/.cache/rethink_tf",
    )
    dry_run: bool = fields.field(
        False,
        bool,
        "print the resolved configuration, run id, parameters and memory, and stop",
        group=_GROUP,
    )
    verbose: bool = fields.field(
        False,
        bool,
        "print the whole resolved configuration before training",
        group=_GROUP,
    )
    threads: int = fields.field(
        0,
        int,
        "threads for arithmetic; 0: as many as there are cores for this process",
        group=_GROUP,
        low=0,
        high=4096,
    )
    strategy: str = fields.field(
        "auto",
        str,
        "how devices are used: mirrored over all GPUs where there are several, else "
        "one (auto), or by several processes, as TF_CONFIG or Slurm describe them (multi_worker): "
        "each then listens on all interfaces without a password, so a firewall must keep others "
        "out",
        group=_GROUP,
        choices=STRATEGIES,
    )
    devices: int = fields.field(
        0,
        int,
        "GPUs to use, or parts of the CPU where there is none; 0: all GPUs",
        group=_GROUP,
        low=0,
        high=1024,
    )
    deterministic: bool = fields.field(
        False,
        bool,
        "the same bits on GPUs too, slower (without XLA); CPUs give them anyway",
        group=_GROUP,
    )
    checkpoint_every: int = fields.field(
        5,
        int,
        "epochs between checkpoints; 0: only when a signal stops the run",
        group=_GROUP,
        low=0,
        high=1_000_000,
    )
    keep_epochs: tuple[int, ...] = fields.field(
        (),
        "epochs",
        "epochs, such as 1,5,20, after which a snapshot of the weights is kept",
        group=_GROUP,
        low=1,
        by="none",
    )
    resume: str = fields.field(
        "exact",
        str,
        "how an unfinished run is resumed: exactly or not at all (exact), in a "
        "changed environment too (anyway), or from the start (restart)",
        group=_GROUP,
        choices=RESUME_MODES,
    )
    profile: str | None = fields.field(
        None,
        "optional",
        "folder for a TensorBoard trace of some steps; --profile alone: the run's tb",
        group=_GROUP,
        by="none",
    )


PLACES = ("runs_dir", "data_dir", "cache_dir", "threads")  # options that every task has
COMMAND = "python -m rethink_tf.main"
_ABOUT = f"""
Trains a network on data corrupted in a stated way, and measures exactly what it learnt. For
example: {COMMAND} --model=inception --corrupt=1.0

Defaults stand in brackets; --dry_run shows what the open ones become.
"""
RUN = FlagSet(RunConfig, checked=False)
LINE = CommandLine(COMMAND, _ABOUT, (RUN, Options))


def parse(argv: list[str]) -> tuple[RunConfig, Options] | None:
    """Turns a command line into a request; None where it asks for help.

    Args:
        argv: arguments without the program's name.

    Returns:
        The RunConfig as asked for (not yet resolved), and the Options.

    Raises:
        RequestError: see `CommandLine.parse`.
    """
    parsed = LINE.parse(argv)
    return None if parsed is None else (wanted(parsed), parsed[Options])


def wanted(parsed: Parsed) -> RunConfig:
    """The RunConfig of a command line; what is left out beside a parent is the parent's."""
    run = parsed[RunConfig]
    if "init_from" not in parsed.typed:
        return run
    left_out = [name for name in OF_THE_PARENT if name not in parsed.typed]
    return dataclasses.replace(run, **dict.fromkeys(left_out))


def refuse_fields(parsed: Parsed, expected: str) -> None:
    """Refuses fields of a run that were typed: RequestError that says what was expected."""
    names = {field.name for field in dataclasses.fields(RunConfig)}
    for name in parsed.typed:
        if name in names:
            raise RequestError(f"--{name}: expected {expected}")
