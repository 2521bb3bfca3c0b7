"""rethink_tf: does a network learn, or does it memorise?

A reproduction of Zhang et al., "Understanding deep learning requires rethinking generalization"
(ICLR 2017). Importing the package does not import TensorFlow; the public names load on first use.
"""

import importlib
import os

__version__ = "0.1.0"

# NumPy and SciPy each bring an OpenBLAS. Idle threads of one spin by default and take the cores
# from the other: a factorisation ran at a quarter of its speed. Read when OpenBLAS is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2**4 cycles

# Public name: the module that defines it, or the module itself.
_PUBLIC = {
    "RunConfig": "rethink_tf.config.run_config",
    "run": "rethink_tf.api",
    "load_runs": "rethink_tf.api",
    "build_model": "rethink_tf.api",
    "load_dataset": "rethink_tf.api",
    "corrupt_labels": "rethink_tf.api",
    "corrupt_pixels": "rethink_tf.api",
    "audit_labels": "rethink_tf.api",
    "corrupted_dataset": "rethink_tf.training.corrupted_dataset",
    "randomisation_test": "rethink_tf.api",
    "MemorisationCallback": "rethink_tf.keras_callback",
    "MODELS": "rethink_tf.models",
    "DATASETS": "rethink_tf.data.registry",
    "audit": "rethink_tf.audit",
    "corruptions": "rethink_tf.corruptions",
    "datasets": "rethink_tf.data.registry",
}
_MODULES = ("audit", "corruptions", "datasets")

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rethink_tf' has no attribute '{name}'")
    module = importlib.import_module(_PUBLIC[name])
    return module if name in _MODULES else getattr(module, name)
