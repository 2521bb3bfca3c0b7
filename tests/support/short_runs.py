"""What the tests of going on share: written checkpoints, and real runs of seconds."""

import os

import numpy as np

from rethink_tf.runs import checkpoint, results

ARRAYS = {"weight0000": np.arange(6, dtype=np.float32).reshape(2, 3), "sum": np.array(7)}
ENVIRONMENT = {
    "versions": {"tensorflow": "2.20", "numpy": "2.0"},
    "threads": 2,
    "xla": True,
    "replicas": 1,
    "labels_hash": "abc",
}


def header(epoch, step=0, **changes):
    return {"epoch": epoch, "step": step, "best": {}, "environment": ENVIRONMENT | changes}


def save(folder, epoch, step=0, arrays=ARRAYS, **changes):
    return checkpoint.save(folder, header(epoch, step, **changes), arrays)


def timeless(run_dir):
    """History and summary but the wall clock, and the digests of what has it."""
    lines = [*results.read_history(run_dir), results.read_summary(run_dir)]
    return [{k: v for k, v in line.items() if k not in ("timing", "sha256")} for line in lines]


def signal_after(patch, dispatches, signum):
    """A dispatch becomes one step, and the signal comes after so many of them.

    Never after the first: there is nothing to save yet, so the whole process would be ended.
    """
    from rethink_tf.training.train_step import Steps  # which imports TensorFlow

    assert dispatches != 1

    advance, calls = Steps.advance, []

    def signalled(self, first, count):
        calls.append(first)
        done = advance(self, first, 1)
        if len(calls) == dispatches:
            os.kill(os.getpid(), signum)
        return done

    patch.setattr(Steps, "advance", signalled)
