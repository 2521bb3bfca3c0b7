"""What a finished run left, and in what two runs differ: all but the wall clock must be equal."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.runs import results
from rethink_tf.runs import schema as records


def events(folder: Path) -> list[tuple[str, str, int, float | None]]:
    """All TensorBoard events of a run in order: curve, tag, epoch, value (None where no number)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorBoard imports TensorFlow
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found = []
    for path in sorted(folder.rglob("events.*")):
        curve = path.parent.relative_to(folder).as_posix()
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = None
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tensor_util.make_ndarray(value.tensor))
                found.append((curve, value.tag, event.step, number))
    return sorted(found, key=lambda entry: entry[:3])


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    # A digest is of the wall clock, too.
    return {key: value for key, value in line.items() if key not in ("timing", records.DIGESTS)}


def outcome(run_dir: Path) -> dict[str, Any]:
    """What must be equal of two finished runs of one configuration, by name."""
    summary = results.read_summary(run_dir)
    with np.load(run_dir / results.EXAMPLES, allow_pickle=False) as file:
        columns = {name: (file[name].dtype.str, file[name].tobytes()) for name in file.files}
    return {
        "weights hash": summary["weights_hash"],
        "history": [_timeless(line) for line in results.read_history(run_dir)],
        "summary": _timeless(summary),
        results.EXAMPLES: columns,
        "TensorBoard events": events(run_dir / results.TENSORBOARD),
    }


def differences(whole: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names under which two outcomes differ, hashes and counts with both values."""
    found = []
    for name in whole:
        if whole[name] == other[name]:
            continue
        both = [values[name] for values in (whole, other)]
        if name == "TensorBoard events":
            both = [len(values) for values in both]
        shown = name in ("weights hash", "TensorBoard events")
        found.append(f"{name} {both[0]} and {both[1]}" if shown else name)
    return found
