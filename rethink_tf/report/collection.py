"""The runs that a report is made of: those of a folder, and those this project has measured."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rethink_tf.analysis import corrupted_test
from rethink_tf.analysis.corrupted_test import CorruptedTestError
from rethink_tf.config import run_config as configuration
from rethink_tf.config.fields import from_stored
from rethink_tf.config.parent_ref import is_parent_ref
from rethink_tf.console import counted
from rethink_tf.data.registry import DATASETS
from rethink_tf.data.sources.tfrecord_index import MOST_UNREADABLE
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.experiments import plan
from rethink_tf.report import parallel, plain_summaries
from rethink_tf.report.history import History
from rethink_tf.runs import agreement, description, results
from rethink_tf.runs import status as run_progress
from rethink_tf.storage import files

OWN, MEASURED = "runs", "measured"
MOST_SEEDS = 50  # tables and figures use seeds below this
MANY = 200  # number of folders from which on they are read on all cores


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: DONE, INVALID or DIVERGED.

    `config` is a RunConfig; of what is no training, such as a kernel's solution, the plain fields.
    `source` is OWN for a run of the folder, MEASURED for one that is shipped; `lines` are those of
    its history (of a shipped run of more than 100 epochs some of them); `machine` says where it was
    trained, as far as that is recorded; `before_seals`, that it is of a version that wrote no
    digests; `corrupted_test`, what was measured of it on corrupted test labels, where that lies
    beside the run.
    """

    run_id: str
    config: Any
    summary: dict[str, Any]
    source: str
    lines: History
    machine: dict[str, Any]
    place: Path | None = None
    before_seals: bool = False
    corrupted_test: CorruptedTestError | None = None

    @property
    def status(self) -> str:
        """How the run ended, as its summary says."""
        return self.summary["status"]

    def history(self) -> History:
        """Its history by column; the history of what has no epochs is empty."""
        return self.lines


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A run that has not ended.

    Attributes:
        progress: `12 of 70 epochs, in training now`.
        config: a RunConfig; None where it cannot be told, and of what has no epochs.
        lines: of its history so far.
        running: whether a living process trains it.
    """

    progress: str
    config: configuration.RunConfig | None
    lines: History
    running: bool


@dataclasses.dataclass
class Collection:
    """The runs that there are; `broken` names what could not be read, and why.

    That is a run, by its id, or a file beside a run that counts without it, by RUN/FILE.
    """

    runs: list[Run] = dataclasses.field(default_factory=list)
    unfinished: dict[str, Unfinished] = dataclasses.field(default_factory=dict)
    broken: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self._by_id = {run.run_id: run for run in self.runs if run.source == OWN}
        self._shipped = {run.run_id for run in self.runs if run.source == MEASURED}
        self._by_key = {(key_of(run.config, run.run_id), run.source): run for run in self.runs}
        self._alike: dict[Any, list[Run]] = {}
        for run in self.runs:
            if key := key_but_for_changes(run.config, run.run_id, run.source):
                self._alike.setdefault((key, run.source), []).append(run)

    def matching_run(self, config: Any, run_id: str | None, source: str) -> Run | None:
        """The run of a configuration, or one that differs in CHANGEABLE settings alone, or None.

        In the folder a known id is that run alone, so that none counts whose parent was another.
        Of several that differ the one of the row's precision and the most evaluations.
        """
        if source == OWN and run_id is not None:
            run = self._by_id.get(run_id)
        else:
            run = self._by_key.get((key_of(config, run_id), source))
        if run is not None and self.readable(run):
            return run
        key = key_but_for_changes(config, run_id, source)
        alike = self._alike.get((key, source), ()) if key else ()
        there = [other for other in alike if other is not run and self.readable(other)]
        return min(there, key=lambda other: _distance(config, other), default=None)

    def readable(self, run: Run) -> bool:
        """Whether the history is there as a whole; where it is not, the run is broken."""
        why = lacks(run)
        if why:
            self.broken[run.run_id] = why  # by id, since a link may have another name
        return not why

    @property
    def whole(self) -> list[Run]:
        """The runs that can be read as a whole.

        A shipped run is one of them even where the folder's run of the same id cannot be read.
        """
        return [
            run
            for run in self.runs
            if run.run_id not in self.broken or (run.source == MEASURED and not lacks(run))
        ]

    def is_shipped(self, run_id: str) -> bool:
        """Whether a run of this id is among the shipped ones."""
        return run_id in self._shipped

    def number_of_seeds(self, configs: Iterable[Any]) -> int:
        """As many seeds as there are of such networks and data sets: the largest one and one more.

        Args:
            configs: of the runs that are asked for, any of their seeds.
        """
        groups = {_group(config) for config in configs}
        there = (seed_of(run) for run in self.runs if _group(run.config) in groups)
        return 1 + max((seed for seed in there if seed < MOST_SEEDS), default=0)

    def beyond(self) -> int:
        """The runs whose seed is too large to count unless it is asked for."""
        return sum(seed_of(run) >= MOST_SEEDS for run in self.runs)


def seed_of(run: Run) -> int:
    """The seed of a run; 0 if it has none. Some tasks only have that of their networks."""
    network = plan.setting(run.config, "network") or {}
    return plan.setting(run.config, "seed") or network.get("seed") or 0


def _group(config: Any) -> tuple[Any, ...]:
    """What runs that differ in their seeds alone share, and few others."""
    if isinstance(config, configuration.RunConfig):
        return config.model, config.dataset
    return ()


def lacks(run: Run) -> str:
    """Why a run's history is not there as a whole; empty where it is, and of what has no epochs."""
    if not isinstance(run.config, configuration.RunConfig):
        return ""
    lines = run.history()
    last = lines[-1]["epoch"] if lines else 0  # 0: it diverged in its first epoch
    epochs = run.summary.get("epochs", last)
    until, there = (f" up to {epochs}", f"those up to {last}") if last else ("", "none")
    why = f"{results.HISTORY}: expected the run's epochs{until}, found {there}"
    return "" if last == epochs else f"{why}; delete the run"


def why_inexact(run: Run) -> str:
    """Why a run that counts is not exact, as what follows its name; empty where it is."""
    if run.summary.get("solved") is False or not _is_solved(run.summary):
        return "has a residual above --tolerance"
    if run.summary.get("exact") is not False:
        return ""
    if isinstance(run.config, configuration.RunConfig):
        return "was resumed in a changed environment (--resume=anyway)"
    return "needed a shift for its factor, or its diagonal has a large rounding error"


def _is_solved(summary: dict[str, Any]) -> bool:
    """Whether the solutions that the summary of a kernel run states are solved; True of all else.

    These are the ones with the most filters, with the least and with the largest ridge.
    """
    every = summary.get("solutions") or ()
    most = max((one["filters"] for one in every), default=0)
    stated = sorted((v for v in every if v["filters"] == most), key=lambda v: v["ridge"])
    return not any(one.get("solved") is False for one in (*stated[:1], *stated[-1:]))


def part_of(run: Run) -> str:
    """Of a run on a part of a streamed set, whose id is that of a run on the whole, how large the
    part was; empty of others, and where --examples chose it."""
    info = DATASETS.get(plan.setting(run.config, "dataset"))
    done = run.summary.get("train_examples")
    chosen = plan.setting(run.config, "examples") is not None
    if info is None or not info.streamed or done is None or chosen:
        return ""
    lost = MOST_UNREADABLE * (info.num_train + info.num_test)
    part = f"{done:,.0f} of {info.name}'s {info.num_train:,} training images"
    return "" if done >= info.num_train - lost else part


def key_of(config: Any, run_id: str | None) -> str | None:
    """What makes two runs the same one.

    That is the run id; but of a transferred run the hash of the parent's weights is left out,
    since it is not known where the parent is not there.
    """
    parent = getattr(config, "init_from", None)
    if not is_parent_ref(parent):
        return run_id
    ref = configuration.parent_ref(config)
    values = configuration.identity(config) | {"init_from": [ref.run_id, ref.epoch]}
    return json.dumps(values, sort_keys=True)


def key_but_for_changes(config: Any, run_id: str | None, source: str) -> str | None:
    """As `key_of`, of a training without the settings of CHANGEABLE; None of what else there is.

    In the folder the weights of a parent count, so of a run whose parent is not there it is None.
    """
    if not isinstance(config, configuration.RunConfig):
        return None
    values = configuration.identity(config)
    if is_parent_ref(config.init_from):
        if source == OWN and run_id is None:
            return None
        if source != OWN:
            ref = configuration.parent_ref(config)
            values["init_from"] = [ref.run_id, ref.epoch]
    kept = {name: value for name, value in values.items() if name not in plan.CHANGEABLE}
    return json.dumps(kept, sort_keys=True)


def _distance(config: configuration.RunConfig, run: Run) -> tuple:
    """By what of several runs like a configuration one is chosen, the least first."""
    precision, every = run.config.precision, run.config.eval_every
    return precision != config.precision, every != config.eval_every, every, precision


def differences(config: Any, run: Run) -> list[str]:
    """In what a run differs from the configuration of its row: `evaluated every 10 epochs`."""
    if not isinstance(run.config, configuration.RunConfig):
        return []
    texts = []
    if run.config.precision != config.precision:
        texts.append(run.config.precision)
    if run.config.eval_every != config.eval_every:
        texts.append(f"evaluated every {counted(run.config.eval_every, 'epoch')}")
    return texts


def as_run(
    path: Path,
    summary: dict[str, Any],
    source: str,
    lines: History,
    machine: dict[str, Any],
    place: Path | None = None,
    before_seals: bool = False,
    config: configuration.RunConfig | None = None,
) -> Run:
    """A Run of a summary, its configuration checked against its id.

    Args:
        path: of the file, for messages.
        summary, source, lines, machine, place, before_seals: see `Run`.
        config: where it was checked already.

    Raises:
        StorageError: names `path`: the configuration is missing, damaged or another run's.
    """
    run_id, stored = summary["run_id"], summary.get("config")
    if not isinstance(stored, dict):
        raise StorageError(f"{path}: damaged: expected a config, found {stored!s:.40}")
    if "model" not in stored:
        plain_summaries.check(path, run_id, summary)
        return Run(run_id, stored, summary, source, lines, machine, place, before_seals)
    if config is None:
        config = _checked_config(path, run_id, stored)
    epochs, wanted = summary.get("epochs"), config.epochs
    whole = epochs == wanted or config.stop_at_train_accuracy is not None
    if summary["status"] == results.DONE and not whole:
        raise StorageError(f"{path}: damaged: expected all {wanted} epochs, found {epochs}")
    return Run(run_id, config, summary, source, lines, machine, place, before_seals)


def _checked_config(path: Path, run_id: str, stored: dict[str, Any]) -> configuration.RunConfig:
    try:
        config = from_stored(configuration.RunConfig, stored)
        known = configuration.run_id(config)
    except (RequestError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: damaged: {error}") from None
    if known != run_id:
        raise StorageError(
            f"{path}: its settings are those of {known}, not of {run_id}: damaged, or written by "
            "another version"
        )
    return config


def _machine(record: dict[str, Any]) -> dict[str, Any]:
    kept = ("devices", "threads", "xla", "versions", "git_commit")
    return {key: record[key] for key in kept if record.get(key) is not None}


def read_folder(folder: Path) -> Run | None:
    """The finished run of a directory, None where it is not finished.

    Raises:
        StorageError: what is there is damaged, or another run's.
    """
    run = _read_finished(folder)
    return None if run is None else _with_corrupted_test(run, folder)


def _with_corrupted_test(run: Run, folder: Path) -> Run:
    """A run with what was measured of it on corrupted test labels; StorageError: damaged."""
    return dataclasses.replace(run, corrupted_test=corrupted_test.read(folder, run.summary))


def _read_finished(folder: Path) -> Run | None:
    """`read_folder` without what lies beside the run's own files."""
    run = agreement.read(folder, folder.resolve().name)
    if run is None:
        return None
    return as_run(
        folder / results.SUMMARY,
        run.summary,
        OWN,
        History(run.history),
        _machine(run.record),
        folder,
        agreement.before_seals(run.summary),
        run.config,
    )


def _read_unfinished(folder: Path) -> Unfinished | None:
    """A run that has not ended, None for a folder that is no run's."""
    record = results.read_config(folder)
    if record is None:
        return None
    stored = record.get("config")
    total = stored.get("epochs") if isinstance(stored, dict) else None
    lines = results.read_history(folder)
    whole = isinstance(total, int)
    progress = f"{len(lines)} of {total} epochs" if whole else f"{len(lines)} epochs"
    running = run_progress.state(folder) == run_progress.RUNNING
    if running:
        progress += ", in training now"
    try:
        config = description.stored_config(folder)
    except (StorageError, TypeError, AttributeError):
        config = None
    return Unfinished(progress, config, History(lines), running)


def collect(runs_dir: Path | str | None, measured: list[Run]) -> Collection:
    """The runs below a folder, and the measured ones that the folder has not.

    Args:
        runs_dir: folder of run directories; one that is not there has none.
        measured: shipped runs (`measured.read`).

    Raises:
        StorageError: the folder cannot be listed.
    """
    collection = Collection()
    paths = [path for path in _folders(runs_dir) if not _is_other_name(path)]
    contents = parallel.mapped(_content, paths, at_least=MANY)
    for path, (content, untested) in zip(paths, contents, strict=True):
        if untested:
            collection.broken[f"{path.name}/{corrupted_test.FILE}"] = untested
        if isinstance(content, Run):
            collection.runs.append(content)
        elif isinstance(content, Unfinished):
            collection.unfinished[path.name] = content
        elif content is not None:  # by its id, since a link may have another name
            collection.broken[path.resolve().name] = content
    own = {run.run_id for run in collection.runs}
    shipped = [run for run in measured if run.run_id not in own]
    return dataclasses.replace(collection, runs=collection.runs + shipped)


def _content(folder: Path) -> tuple[Run | Unfinished | str | None, str]:
    """What a folder has, and why its errors on corrupted test labels cannot be read, else empty.

    The first is its run; text: why that cannot be read; None for a folder of no run.
    """
    try:
        run = _read_finished(folder) or _read_unfinished(folder)
    except StorageError as error:
        return _without_place(error, folder), ""
    if run is None and (folder / results.HISTORY).exists():
        return f"has a {results.HISTORY} but no {results.CONFIG}", ""
    if not isinstance(run, Run):
        return run, ""
    try:
        return _with_corrupted_test(run, folder), ""
    except StorageError as error:
        return run, _without_place(error, folder)


def _without_place(error: StorageError, folder: Path) -> str:
    """An error's text; a page is passed on, and where the runs lie says nothing to its readers."""
    return str(error).replace(f"{folder}/", "").replace(str(folder), folder.name)


def _is_other_name(path: Path) -> bool:
    """Whether a folder is another name of a run beside it."""
    return path.is_symlink() and path.resolve().parent == path.parent.resolve()


def _folders(runs_dir: Path | str | None) -> list[Path]:
    folder = Path(runs_dir) if runs_dir is not None else None
    if folder is None or not folder.exists():
        return []
    with files.storage(folder):
        return sorted(path for path in folder.iterdir() if path.is_dir())
