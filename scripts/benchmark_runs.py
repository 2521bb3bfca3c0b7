"""Runs of rethink_tf.main in processes of their own, for benchmark.py.

As a script it is the process between the two. A child's peak memory, as the system counts it,
begins with what its parent held when it was started, so the parent must be a small one.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAIN, TEST = 50_000, 10_000  # of CIFAR-10


def environment() -> dict[str, str]:
    """The environment of a process that imports this package."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def run(flags: dict, scratch: Path, stop_when=None) -> dict:
    """Trains with these flags.

    Args:
        flags: of rethink_tf.main, by name.
        scratch: an existing folder.
        stop_when: is asked all the time; once it says True, the run gets a SIGTERM.

    Returns:
        `started` (by the clock of the history), `code`, `error` (the last line, where it ended
        otherwise than DONE), `peak_bytes` of memory.
    """
    usage = scratch / "usage.json"
    command = [sys.executable, __file__, str(usage), sys.executable, "-m", "rethink_tf.main"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with tempfile.TemporaryFile("w+") as errors:
        started = time.time()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=environment()
        )
        try:
            while stop_when is not None and process.poll() is None:
                if stop_when():
                    process.terminate()
                    break
                time.sleep(0.05)
            code = process.wait()
        finally:
            process.terminate()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    error = (lines or [f"exit code {code}"])[-1] if code else None
    return {"started": started, "code": code, "error": error, **json.loads(usage.read_text())}


def data(options, examples: int, scratch: Path) -> tuple[dict, int]:
    """Flags for a CIFAR-10 of `examples` training images, decoded already, and its test images.

    The user's own, or one of noise with a fifth as many test images.
    """
    from rethink_tf.data import registry as datasets

    flags = {"dataset": "cifar10", "cache_dir": scratch / "cache"}
    num_test = TEST
    if options.data_dir is not None:
        flags |= {"data_dir": options.data_dir, "examples": examples}
    else:
        flags["data_dir"], num_test = scratch / f"noise{examples}", examples // 5
        if not flags["data_dir"].exists():
            write_noise(flags["data_dir"], examples)
    places = {name: flags[name] for name in ("data_dir", "cache_dir")}
    datasets.load("cifar10", **places, report=str)
    return flags, num_test


def write_noise(folder: Path, examples: int) -> None:
    """Writes a TFDS cifar10 of noise, as many test images as a fifth of the training images."""
    import io
    from contextlib import redirect_stdout

    import numpy as np
    import tensorflow_datasets as tfds
    from absl import logging

    def split(name, count):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        return [
            (i, {"id": f"{name}_{i:05d}", "image": images[i], "label": i % 10})
            for i in range(count)
        ]

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    with redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name="cifar10",
            version="3.0.2",
            features=tfds.features.FeaturesDict({
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }),
            split_datasets={
                "train": split("train", examples), "test": split("test", examples // 5)
            },
            data_dir=folder,
            file_format="tfrecord",
        )  # fmt: skip


def _between(usage: Path, command: list[str]) -> int:
    """Runs a command, passes SIGTERM on to it, writes its peak memory; returns its exit code."""
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    usage.write_text(json.dumps({"peak_bytes": peak}))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_between(Path(sys.argv[1]), sys.argv[2:]))
