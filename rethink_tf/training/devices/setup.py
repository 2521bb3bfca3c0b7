"""Starting TensorFlow: quietly, with pinned threads, and with memory growth on GPUs."""

import functools
import json
import os
import platform
import sys
import tempfile
from typing import Any

from rethink_tf import __version__
from rethink_tf.environment import cores
from rethink_tf.errors import RequestError
from rethink_tf.training.devices import workers


def start(
    threads: int = 0, devices: int = 0, deterministic: bool = False, multi_worker: bool = False
) -> int:
    """Imports TensorFlow and sets the devices up. If TensorFlow runs already, its settings stay.

    Args:
        threads: of arithmetic within one operation; 0 for as many as there are cores. Pinned,
            since the number of threads is part of a result's last digits.
        devices: how many; where there is no GPU, the CPU is divided into so many logical ones.
        deterministic: every operation gives the same bits on GPUs too (CPUs do so anyway).
        multi_worker: does not start the devices; the strategy must do that.

    Returns:
        The number of threads in force.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _native_stderr_held_back():
        import tensorflow as tf

        threading = tf.config.threading
        try:
            threading.set_intra_op_parallelism_threads(threads or cores())
            threading.set_inter_op_parallelism_threads(threads or cores())
            gpus = tf.config.list_physical_devices("GPU")
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
            if devices and gpus:
                tf.config.set_visible_devices(gpus[:devices], "GPU")
            elif devices > 1 and not multi_worker:
                cpu = tf.config.list_physical_devices("CPU")[0]
                parts = [tf.config.LogicalDeviceConfiguration()] * devices
                tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError:  # TensorFlow has started already, as in a notebook
            pass
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        if not multi_worker:
            tf.config.list_logical_devices()
    tf.get_logger().setLevel("ERROR")
    return threading.get_intra_op_parallelism_threads() or cores()


def strategy(name: str = "auto", devices: int = 0) -> Any:
    """The tf.distribute strategy of a run; to be called after `start`.

    Args:
        name: `auto` is `mirrored` over all visible GPUs where there are several, else one_device;
            `multi_worker` waits until all processes of TF_CONFIG or of the Slurm step have come.
        devices: how many to use, 0 for all.

    Raises:
        RequestError: there are fewer devices; no cluster is described, or it cannot be joined.
    """
    import tensorflow as tf

    if name == "multi_worker":
        return _join(devices)
    gpus = tf.config.list_logical_devices("GPU")
    available = gpus or tf.config.list_logical_devices("CPU")
    if devices > len(available):
        raise RequestError(f"--devices: expected at most {len(available)}, received {devices}")
    if name == "auto":
        name = "mirrored" if (devices or len(gpus)) > 1 else "one_device"
    if name == "one_device":
        if devices > 1:
            raise RequestError(
                f"--devices: expected 1 with --strategy=one_device, received {devices}; "
                "type --strategy=mirrored"
            )
        return tf.distribute.OneDeviceStrategy(available[0].name)
    return _mirrored(tuple(device.name for device in available[: devices or None]))


# A second strategy on the same devices would use the same keys for its collectives.
@functools.cache
def _mirrored(names: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))


def _join(devices: int) -> Any:
    """TensorFlow's MultiWorkerMirroredStrategy."""
    import tensorflow as tf

    if devices > 1 and not tf.config.list_physical_devices("GPU"):
        raise RequestError(
            f"--devices: expected 1 with --strategy=multi_worker and no GPU, received {devices}; "
            "start more workers"
        )
    cluster = workers.cluster()
    os.environ["TF_CONFIG"] = json.dumps(cluster)
    tf.get_logger().setLevel("ERROR")
    try:
        with _native_stderr_held_back():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        address = cluster["cluster"]["worker"][cluster["task"]["index"]]
        raise RequestError(
            f"--strategy=multi_worker: worker {cluster['task']['index']} at {address} cannot join: "
            f"{str(error).splitlines()[0]}"
        ) from None


class _native_stderr_held_back:
    """Keeps what native code prints on stderr, some of it before any logging level applies.

    Shown only where the block fails, since then it may be the reason.
    """

    def __enter__(self) -> None:
        sys.stderr.flush()
        self.kept = tempfile.TemporaryFile()
        self.stderr = os.dup(2)
        os.dup2(self.kept.fileno(), 2)

    def __exit__(self, kind: Any, *_: Any) -> None:
        sys.stderr.flush()
        os.dup2(self.stderr, 2)
        os.close(self.stderr)
        if kind is not None and issubclass(kind, Exception):
            self.kept.seek(0)
            os.write(2, self.kept.read())
        self.kept.close()


def gpu_settings(precision: str, jit: bool, capabilities: list[tuple[int, int]]) -> str:
    """The line about XLA and mixed precision on GPUs.

    Args:
        precision: of the run's configuration, which no device changes.
        jit: whether its steps are compiled with XLA.
        capabilities: CUDA compute capability of each GPU, as far as it is known.
    """
    text = "XLA is on" if jit else "XLA is off (with --deterministic, --sync_batch_norm), slower"
    has_bfloat16 = bool(capabilities) and min(capabilities) >= (8, 0)
    if precision == "float32" and has_bfloat16:
        return f"{text}; --precision=mixed_bfloat16 is made for these, and is another run"
    if precision != "float32" and capabilities and not has_bfloat16:
        return f"{text}; these have no bfloat16: --precision=float32 is faster, and is another run"
    return f"{text}; {precision}"


def capabilities() -> list[tuple[int, int]]:
    """CUDA compute capabilities of the visible GPUs, where they are known."""
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    known = (details(g).get("compute_capability") for g in tf.config.get_visible_devices("GPU"))
    return [capability for capability in known if capability is not None]


def describe() -> dict:
    """The platform of a result: versions of what computes, devices by name."""
    import keras
    import numpy as np
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in gpus]
    return {
        "versions": {
            "rethink_tf": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "devices": names or [f"CPU {platform.machine()}"],
    }
