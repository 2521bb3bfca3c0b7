"""Starting TensorFlow: quietly, with pinned threads, and with memory growth on GPUs."""

import os
import platform
import sys
import tempfile

from rethink_tf import __version__


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(threads: int = 0) -> int:
    """Imports TensorFlow and sets the devices up. Where it runs already, its settings stay.

    Args:
        threads: of arithmetic within one operation; 0 for as many as there are cores. Pinned,
            since the number of threads is part of a result's last digits.

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
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # running already, as in a notebook
            pass
        tf.config.list_logical_devices()
    tf.get_logger().setLevel("ERROR")
    return threading.get_intra_op_parallelism_threads() or cores()


class _native_stderr_held_back:
    """Keeps what native code prints on stderr, some of it before any logging level applies.

    Shown only where the block fails, since then it may be the reason.
    """

    def __enter__(self):
        sys.stderr.flush()
        self.kept = tempfile.TemporaryFile()
        self.stderr = os.dup(2)
        os.dup2(self.kept.fileno(), 2)

    def __exit__(self, kind, *_):
        sys.stderr.flush()
        os.dup2(self.stderr, 2)
        os.close(self.stderr)
        if kind is not None and issubclass(kind, Exception):
            self.kept.seek(0)
            os.write(2, self.kept.read())
        self.kept.close()


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
