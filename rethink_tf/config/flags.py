"""The flags of a run: RunConfig's fields, and the options of how and where it is executed.

Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable

from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.run_config import FIELDS, OF_THE_PARENT, RunConfig
from rethink_tf.errors import RequestError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
RESUME_MODES = ("exact", "anyway", "restart")
_GROUP = "Folders and execution (recorded, but not part of the run id)"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that cannot change a result: folders, and how the run is executed."""

    runs_dir: str = fields.field(
        "runs",
        str,
        "folder of the runs; each run has its own folder RUNS_DIR/<run_id>",
        group=_GROUP,
    )
    data_dir: str | None = fields.field(
        None,
        str,
        "folder of data sets prepared by TFDS",
        group=_GROUP,
        by="TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    cache_dir: str | None = fields.field(
        None,
        str,
        "folder that caches decoded data sets",
        group=_GROUP,
        by="~/.cache/rethink_tf",
    )
    dry_run: bool = fields.field(
        False,
        bool,
        "print the resolved configuration, run id, parameters and memory, then stop",
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
        "threads for arithmetic; 0: one for each core that this process may use",
        group=_GROUP,
        low=0,
        high=4096,
    )
    strategy: str = fields.field(
        "auto",
        str,
        "how devices are used. auto: mirrored if there are several GPUs, else one_device. "
        "multi_worker: several processes, described by TF_CONFIG or Slurm; each process listens "
        "on all interfaces without a password, so protect the ports with a firewall",
        group=_GROUP,
        choices=STRATEGIES,
    )
    devices: int = fields.field(
        0,
        int,
        "number of GPUs, or without a GPU, parts of the CPU; 0: all GPUs",
        group=_GROUP,
        low=0,
        high=1024,
    )
    deterministic: bool = fields.field(
        False,
        bool,
        "bit-equal results on GPUs too, slower (without XLA); on CPUs they always are",
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
        "epochs, such as 1,5,20, after which a snapshot of the weights is saved",
        group=_GROUP,
        low=1,
        by="none",
    )
    resume: str = fields.field(
        "exact",
        str,
        "how an unfinished run continues. exact: only if the result stays bit-equal; anyway: also "
        "in a changed environment; restart: from the start",
        group=_GROUP,
        choices=RESUME_MODES,
    )
    profile: str | None = fields.field(
        None,
        "optional",
        "folder for a TensorBoard trace of some steps; --profile without a value: the run's tb",
        group=_GROUP,
        by="none",
    )


PLACES = ("runs_dir", "data_dir", "cache_dir", "threads")  # options of every task
COMMAND = "python -m rethink_tf.main"
_ABOUT = f"""
Trains a network on corrupted labels or pixels, and measures exactly what it fits and predicts. For
example: {COMMAND} --model=inception --corrupt=1.0

Defaults are in brackets; --dry_run shows the values of the resolved ones.
"""
RUN = FlagSet(RunConfig, checked=False)
TRANSFER = ("init_from", "init_epoch", "freeze")
LINE = CommandLine(COMMAND, _ABOUT, (RUN, Options))


def run_without(names: Iterable[str]) -> FlagSet:
    """The flags of a run for a command that refuses some of them, and does not list these."""
    refused = set(names)
    return dataclasses.replace(RUN, listed=tuple(name for name in FIELDS if name not in refused))


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
