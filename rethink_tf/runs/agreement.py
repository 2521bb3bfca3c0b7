"""Reads finished runs and checks that their files agree with each other.

`summary.json` is used only if it agrees with the files beside it. Its last and best values and its
status must follow from the history and the configuration. The files must have the SHA-256 digests
in the summary. Values per example must follow from examples.npz, and the history must agree with
the checkpoint, if there is one.

This detects accidents: a file that was edited, cut short, copied from another run, or lost. It does
not protect against someone who rewrites all files of a run consistently, digests included.

Records of versions that wrote no digests ("before seals") are checked less: history, configuration,
examples.npz and checkpoint against the summary.

Imports no TensorFlow.
"""

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.config import run_config as configuration
from rethink_tf.config.fields import from_stored
from rethink_tf.corruptions import checksum
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results
from rethink_tf.runs import schema as records
from rethink_tf.runs.history_agreement import (
    DisagreementError,
    check_history,
    differ,
    disagree,
)
from rethink_tf.storage import files, paths

BEFORE_SEALS = "written before checksums of the files existed"
ANEW = records.ANEW
# Keys that both config.json, written before the first epoch, and summary.json have.
_FACTS = (
    "run_id",
    "parameters",
    "classes",
    "labels_hash",
    "train_examples",
    "test_examples",
    "changed_fraction",
    "image_shape",
)


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run whose files agree.

    Attributes:
        summary: of summary.json.
        history: the lines of history.jsonl; empty of what is no training.
        record: of config.json.
        config: the settings of a training, checked against the run id.
    """

    summary: dict[str, Any]
    history: list[dict[str, Any]]
    record: dict[str, Any]
    config: configuration.RunConfig | None = None


def read_summary(run_dir: Path | str, run_id: str | None = None) -> dict[str, Any] | None:
    """The summary of a finished run whose files agree; None if the run is not finished.

    Args:
        run_dir: of the run.
        run_id: that it must be of; None: the one that it says itself.

    Raises:
        StorageError: a file is damaged, or the files do not agree; says which, and what to do.
    """
    run = read(run_dir, run_id)
    return None if run is None else run.summary


def read(run_dir: Path | str, run_id: str | None = None) -> Finished | None:
    """A finished run with its history and config.json; arguments as of `read_summary`."""
    try:
        return _read(Path(run_dir), run_id)
    except DisagreementError as error:
        raise StorageError(f"{error}; {ANEW}") from None


def read_done(run_dir: Path | str) -> Finished:
    """As `read`, of a run that ended DONE; RequestError where there is none."""
    run = read(paths.absolute(run_dir))
    if run is None or run.summary["status"] != results.DONE:
        ended = "there is none" if run is None else f"it ended {run.summary['status']}"
        raise RequestError(
            f"{run_dir}: expected the folder of a run that ended {results.DONE}; {ended}"
        )
    return run


def read_trained(run_dir: Path | str) -> Finished:
    """As `read_done`, of a training; RequestError for what is none."""
    run = read_done(run_dir)
    if kind := run.summary.get("kind"):
        raise RequestError(f"{run_dir}: expected a run that trains a network; this one is {kind}")
    return run


def _read(run_dir: Path, run_id: str | None) -> Finished | None:
    summary = results.read_summary(run_dir)
    if summary is None:
        return None
    path = run_dir / results.SUMMARY
    records.check_finished(path, run_id if run_id is not None else summary.get("run_id"), summary)
    digests: dict[str, str] = {}  # digests of the files that are read here, by name
    record = results.read_config(run_dir, digests)
    if record is None:
        raise disagree(run_dir, results.CONFIG, "is not there")
    _check_facts(path, summary, record)
    lines, config = [], None
    training = "model" in summary["config"]
    if training == ("kind" in summary):
        raise disagree(run_dir, results.SUMMARY, "its settings are not of its kind")
    if training:
        config = _checked_config(path, summary)
        lines = results.read_history(run_dir, digests)
        check_history(path, run_dir / results.HISTORY, summary, lines)
        _check_checkpoint(run_dir, summary, lines)
        if before_seals(summary):
            _check_examples(run_dir, summary, lines)
    # Last, since the other checks name the difference.
    _check_digests(run_dir, summary, record, digests)
    return Finished(summary, lines, record, config)


def before_seals(summary: dict[str, Any]) -> bool:
    """Whether a summary is of a version that wrote no digests."""
    return records.DIGESTS not in summary


def digest_note(summary: dict[str, Any]) -> str:
    """A note for a run that could be checked less; empty for others."""
    return f" ({BEFORE_SEALS})" if before_seals(summary) else ""


def load_runs(runs_dir: Path | str, left_out: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Summaries of all finished runs below a folder, in the order of their run ids.

    Args:
        runs_dir: folder of run directories.
        left_out: takes those whose files are damaged or do not agree, reason by folder name; where
            it is None the first of them is an error.

    Returns:
        The summaries, each with its `run_dir` added and `before_seals`: whether the run is of a
        version that wrote no digests, so that it could be checked less.

    Raises:
        StorageError: a run's files are damaged or do not agree, and `left_out` is None.
    """
    summaries = []
    for path in sorted(Path(runs_dir).glob(f"*/{results.SUMMARY}")):
        folder = path.parent
        try:
            run = read(folder)
        except StorageError as error:
            if left_out is None:
                raise
            left_out[folder.name] = str(error).removeprefix(f"{folder}/")
            continue
        if run is not None:
            more = {"run_dir": str(folder), "before_seals": before_seals(run.summary)}
            summaries.append({**run.summary, **more})
    return summaries


def _check_digests(
    run_dir: Path, summary: dict[str, Any], record: dict[str, Any], read: dict[str, str]
) -> None:
    """Compares the files with the digests in the summary.

    Args:
        run_dir, summary, record: of the run.
        read: digests of files that were read already, by name.
    """
    if before_seals(summary):
        if records.FORMAT in record:  # written by a version with digests
            raise disagree(run_dir, results.SUMMARY, "its digests are missing")
        return
    digests = summary[records.DIGESTS]
    if not isinstance(digests, dict) or digests.get(results.SUMMARY) != results.summary_digest(
        summary
    ):
        raise disagree(
            run_dir, results.SUMMARY, "was changed since it was written: its digest differs"
        )
    for name, digest in digests.items():
        if name == results.SUMMARY:
            continue
        if (read.get(name) or results.file_digest(run_dir, name)) != digest:
            there = (run_dir / name).exists()
            what = f"does not have the digest that {results.SUMMARY} states"
            raise disagree(run_dir, name, what if there else "is not there")


def _check_facts(path: Path, summary: dict[str, Any], record: dict[str, Any]) -> None:
    if not isinstance(summary.get("config"), dict):
        raise DisagreementError(f"{path}: damaged: expected a config")
    for key in ("config", *(name for name in _FACTS if name in record)):
        here, there = summary.get(key), record.get(key)
        if key == "config":  # the two files may be from different versions
            here, there = with_defaults(here), with_defaults(there)
        if here != there:
            if isinstance(here, dict) and isinstance(there, dict):
                inner = sorted(k for k in {*here, *there} if here.get(k) != there.get(k))[0]
                key, here, there = f"{key}.{inner}", here.get(inner), there.get(inner)
            raise differ(path, results.CONFIG, key, here, there)


def _checked_config(path: Path, summary: dict[str, Any]) -> configuration.RunConfig:
    """The settings of a training; refused where they are another run's than the id's."""
    try:
        config = stored_config(summary)
        known = configuration.run_id(config)
    except (RequestError, TypeError, AttributeError) as error:
        raise DisagreementError(f"{path}: damaged: {error}") from None
    if known != summary["run_id"]:
        raise DisagreementError(
            f"{path}: its settings are those of {known}, not of {summary['run_id']}: damaged, or "
            "written by another version"
        )
    return config


def with_defaults(stored: Any) -> Any:
    """The `config` of a training's file with the defaults of fields that its version lacked.

    Anything else, such as the settings of a kernel run, comes back as it is.
    """
    if not (isinstance(stored, dict) and "model" in stored):
        return stored
    return {name: field.default for name, field in configuration.FIELDS.items()} | stored


def stored_config(summary: dict[str, Any]) -> configuration.RunConfig:
    """The configuration in a summary, defaults for fields that its version lacked.

    Raises:
        RequestError: there is none, or a value is out of its bounds.
    """
    stored = summary.get("config")
    if not isinstance(stored, dict):
        raise RequestError(f"expected a config, found {stored!s:.40}")
    return from_stored(configuration.RunConfig, stored)


def _check_examples(run_dir: Path, summary: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """What examples.npz says of the labels and of what was fitted, where it is there.

    Of versions without digests: it was written by the same process, but from the examples.
    """
    path = run_dir / results.EXAMPLES
    if not path.exists():
        return

    columns = results.read_examples(run_dir)
    index, true, given, since = (columns[k] for k in ("index", "true", "given", "fitted_since"))
    noisy = given != true
    derived = {
        "train_examples": len(index),
        "labels_hash": checksum.labels_hash(index, given),
        "changed_fraction": float(np.mean(noisy)),
    }
    # The last evaluation, to which `fitted_since` belongs.
    seen = next((x for x in reversed(lines) if x.get("train_accuracy") is not None), None)
    values = {key: summary.get(key) for key in derived}
    if seen is not None:
        for key, part in (
            ("train_accuracy", slice(None)),
            ("clean_accuracy", ~noisy),
            ("corrupted_accuracy", noisy),
        ):
            chosen = since[part] > 0
            derived[key] = float(np.mean(chosen)) if len(chosen) else None
            values[key] = seen.get(key)
    if summary["status"] == results.DONE:
        derived["label_checksum"] = checksum.label_checksum(index, given)
        values["label_checksum"] = summary.get("label_checksum")
    medians = _medians(columns, noisy)
    derived |= {key: value for key, value in medians.items() if key in summary}
    values |= {key: summary[key] for key in medians if key in summary}
    for key, value in derived.items():
        if values[key] != value:
            raise differ(run_dir / results.SUMMARY, results.EXAMPLES, key, values[key], value)


def _medians(columns: dict[str, np.ndarray], noisy: np.ndarray) -> dict[str, float | None]:
    """The medians of a summary out of examples.npz; None where there is no finite one."""
    medians: dict[str, float | None] = {}
    kept: dict[str, np.ndarray] = {
        name: columns[name] for name in ("forgotten", "margin") if name in columns
    }
    since = np.where(columns["fitted_since"] > 0, columns["fitted_since"], np.inf)
    for name, values in {**kept, "fitted_since": since}.items():
        for part, chosen in (("clean", ~noisy), ("corrupted", noisy)):
            median = float(np.median(values[chosen])) if chosen.any() else np.inf
            medians[f"{part}_{name}_median"] = median if np.isfinite(median) else None
    return medians


def _check_checkpoint(run_dir: Path, summary: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """The history up to the newest checkpoint is the one in its header.

    A checkpoint that cannot be read says nothing of the results; a resume names it.
    """
    header = _newest_header(run_dir / results.CHECKPOINTS)
    kept = header.get("history") if header else None  # some earlier versions stored no history
    if header is None or kept is None:
        return
    where = f"its checkpoint of epoch {header['epoch']}"
    if header.get("run_id") != summary["run_id"]:
        raise differ(
            run_dir / results.SUMMARY, where, "run_id", summary["run_id"], header.get("run_id")
        )
    for number, line in enumerate(kept):
        here = lines[number] if number < len(lines) else {}
        for key in {**line, **here}:
            if line.get(key) != here.get(key):
                raise differ(
                    run_dir / results.HISTORY,
                    where,
                    f"{key} of epoch {number + 1}",
                    here.get(key),
                    line.get(key),
                )


def _newest_header(folder: Path) -> dict[str, Any] | None:
    """The header of the latest checkpoint that can be read, without reading its arrays."""
    headers = []
    for path in folder.glob("*.ckpt"):
        try:
            # A zip archive after one line of text, which zipfile skips.
            with zipfile.ZipFile(path) as archive, archive.open("header.npy") as member:
                header = np.lib.format.read_array(io.BytesIO(member.read()), allow_pickle=False)
            value = files.parse(str(header))
            headers.append(((value["epoch"], value["step"]), value))
        except Exception:  # NumPy and zipfile raise many types for damaged files
            continue
    return max(headers, key=lambda item: item[0])[1] if headers else None
