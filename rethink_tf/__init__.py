"""rethink_tf: does a network learn, or does it memorise?

A reproduction of Zhang et al., "Understanding deep learning requires rethinking generalization"
(ICLR 2017). Importing the package does not import TensorFlow; the public names load on first use.
"""

import importlib
import os

__version__ = "0.1.0"

# NumPy and SciPy bring an OpenBLAS each, whose idle threads spin by default and take the cores from
# the other's: a factorisation ran at a quarter of its speed. Read when the library is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2**4 cycles

_PUBLIC = {
    "RunConfig": "rethink_tf.config.run_config",
    "load_runs": "rethink_tf.agreement",
    "run": "rethink_tf.training.run",
    "corrupted_dataset": "rethink_tf.training.corrupted_dataset",
    "audit": None,
    "datasets": None,
    "corruptions": None,
    "randomisation_test": None,
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rethink_tf' has no attribute '{name}'")
    module = _PUBLIC[name]
    if module is None:
        return importlib.import_module(f"rethink_tf.{name}")
    return getattr(importlib.import_module(module), name)
