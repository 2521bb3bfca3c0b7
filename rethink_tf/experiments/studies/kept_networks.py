"""The networks of `rethink-tf memorisation` as files, each kept as soon as it is trained."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.errors import StorageError
from rethink_tf.runs import results

# Folders of a run; each shard has a folder below the second.
NETWORKS, SHARDS = "networks", "shards"


def paths_of(kind: str, folder: Path, values: dict[str, Any]) -> dict[int, Path]:
    """The kept networks of a run by number, of whatever shard; also of runs of other --models.

    Args:
        kind: of the task, with which its run ids begin.
        folder: of the run.
        values: its settings.
    """
    by_number: dict[int, Path] = {}
    beside = sorted(folder.parent.glob(f"{kind}-*/{results.CONFIG}"))
    for run in [*(path.parent for path in beside), folder]:
        if run != folder:
            known = (results.read_config(run) or {}).get("config", {})
            if _of_a_network(known) != _of_a_network(values):
                continue
        kept = [*run.glob(f"{SHARDS}/*/*.npz"), *run.glob(f"{NETWORKS}/*.npz")]
        by_number |= {int(path.stem): path for path in kept if path.stem.isdigit()}
    return by_number


def _of_a_network(values: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that each single network depends on."""
    return {name: values.get(name) for name in ("share", "network")}


def packed(network, facts: dict[str, Any]) -> bytes:
    """A network as an .npz file."""
    buffer = io.BytesIO()
    arrays = {f.name: getattr(network, f.name) for f in dataclasses.fields(network)}
    for name in ("trained", "right", "test_right"):
        arrays[name] = np.packbits(arrays[name])
    np.savez(buffer, **arrays, **facts)
    return buffer.getvalue()


def read(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """A kept network: its arrays unpacked.

    Raises:
        StorageError: it cannot be read, or is of other data.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            network = {name: file[name] for name in file.files}
        known = {name: network[name].item() for name in facts}
        for name in ("trained", "right", "test_right"):
            count = facts["test_examples" if name == "test_right" else "examples"]
            network[name] = np.unpackbits(network[name], count=count).astype(bool)
            if len(network[name]) != count:
                raise ValueError(f"{name} of {len(network[name])} examples")
        network = network | {
            n: network[n].item() for n in ("number", "epochs", "weights_hash", "seed")
        }
        if network["number"] != int(path.stem):  # a copy would count as a network of its own
            raise ValueError(f"number {network['number']}")
    except Exception as error:  # NumPy and zipfile raise many types for damaged files
        why = (str(error).splitlines() or [""])[0]
        raise StorageError(
            f"{path}: expected a network as it was kept, found {type(error).__name__}: {why:.100}; "
            "delete the file, and the same command trains it again"
        ) from None
    if known != facts:
        different = next(name for name in facts if known[name] != facts[name])
        raise StorageError(
            f"{path}: expected {different} {facts[different]}, found {known[different]}: it "
            "belongs to other data; delete the file"
        )
    return network
