"""Starting TensorFlow: quietly, with pinned threads, and with memory growth on GPUs."""

import os
import platform
import sys
import tempfile

from rethink_tf import __version__


def start(threads: int) -> None:
    """Imports TensorFlow and Keras and sets the devices up. Call once, before anything else.

    Args:
        threads: of arithmetic within one operation. Pinned, since the number of threads is part of
            a result's last digits.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _native_stderr_held_back():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.list_logical_devices()
    tf.get_logger().setLevel("ERROR")


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
        if kind is not None:
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
