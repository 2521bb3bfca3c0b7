"""Run directories made by hand, and commands that go as far as the resume: no TensorFlow."""

import contextlib
import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fuzzing import contents

from rethink_tf.config import run_config
from rethink_tf.data.sources import digits
from rethink_tf.runs import checkpoint, results, resume
from rethink_tf.storage import files

ARGV = ["--model=mlp_1x512", "--dataset=digits", "--epochs=3", "--corrupt=0.5"]
CONFIG = run_config.resolve(run_config.RunConfig("mlp_1x512", "digits", epochs=3, corrupt=0.5))
RUN_ID = run_config.run_id(CONFIG)
ENVIRONMENT = {"versions": {"tensorflow": "2.21"}, "threads": 2, "labels_hash": "abc"}
LINES = [
    {
        "epoch": epoch,
        "loss": 2.5 / epoch,
        "accuracy": 0.25,
        "learning_rate": 0.03,
        "label_checksum": -5,
        "train_loss": 2.25,
        "train_accuracy": 0.5,
        "clean_accuracy": 0.75,
        "corrupted_accuracy": 0.25,
        "corrupted_original_accuracy": 0.125,
        "test_loss": 3.5,
        "test_accuracy": 0.375,
        "best_test_accuracy": 0.375,
        "best_test_epoch": 1,
        "timing": {"finished": 17.5},
    }
    for epoch in (1, 2, 3)
]
RECORD = {"config": dataclasses.asdict(CONFIG), "run_id": RUN_ID, "argv": ARGV, "audit": []}
SUMMARY = {k: v for k, v in LINES[-1].items() if k != "epoch"} | {
    "status": "DONE",
    "reason": None,
    "run_id": RUN_ID,
    "config": dataclasses.asdict(CONFIG),
    "epochs": 3,
    "changed_fraction": 0.45,
    "audit": [{"name": "a", "passed": True, "detail": ""}],
}
ARRAYS = {"weight0000": np.arange(6, dtype=np.float32), "margin": np.zeros(3, np.float32)}
INDEX, TRUE = np.arange(40), np.arange(40) % 10
GIVEN = (TRUE * 7 + INDEX // 3) % 10
COLUMNS = {"index": INDEX, "true": TRUE, "given": GIVEN}


def header(epoch, **changes):
    """The header of a checkpoint as a run writes it."""
    kept = {"epoch": epoch, "step": 0, "run_id": RUN_ID, "best": {}, "environment": ENVIRONMENT}
    return kept | {"history": LINES[:epoch]} | changes


def sealed(content):
    """A checkpoint with the right checksum, whatever its content."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return b"rethink_tf checkpoint 1 sha256 " + digest + b"\n" + content


def write_run(run_dir, finished):
    """Three epochs with all files, in place of training."""
    run_dir.mkdir(parents=True)
    files.write_json(run_dir / results.CONFIG, RECORD)
    for epoch in (2, 3):
        checkpoint.save(run_dir / results.CHECKPOINTS, header(epoch), ARRAYS)
    results.rewrite_history(run_dir, LINES)
    results.save_snapshot(run_dir, 2, {"0000/kernel": np.ones(3)})
    results.save_examples(run_dir, **COLUMNS, margin=np.zeros(40, np.float32))
    if finished:
        results.finish(run_dir, SUMMARY)


@contextlib.contextmanager
def place_of_runs(folder):
    """A finished run in `done` and an unfinished one in `open`, below the current folder.

    Yields:
        `folder`; `finished` and `unfinished`, the run directories; `resumed`, the (epoch, history)
        from which each run went on that would have trained.
    """
    runs = {
        name: folder / place / RUN_ID
        for name, place in (("finished", "done"), ("unfinished", "open"))
    }
    found = SimpleNamespace(folder=folder, resumed=[], **runs)

    def as_far_as_the_resume(wanted, run_dir, options, argv, say, stop, started, legend):
        where = resume.resume_point(wanted, run_dir, ENVIRONMENT, options.resume, say)
        history = resume.begin(run_dir, RECORD, where, {"argv": argv})
        found.resumed.append((where.header["epoch"] if where else 0, history))
        return SUMMARY

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr("rethink_tf.training.run._start", lambda *_: SimpleNamespace(workers=None))
        patch.setattr("rethink_tf.training.run._train", as_far_as_the_resume)
        patch.setattr(
            "rethink_tf.training.run.plan", lambda resolved, _: run_config.run_id(resolved)
        )
        patch.setattr(digits, "load", functools.cache(digits.load))
        write_run(found.finished, True)
        write_run(found.unfinished, False)
        yield found


@contextlib.contextmanager
def put_back(run_dir):
    """Afterwards the files of a run directory are as they were; yields a function for meanwhile."""
    before = contents(run_dir)

    def restore():
        now = contents(run_dir)
        for path in set(now) - set(before):
            os.unlink(path)
        for path, content in before.items():
            if now.get(path) != content:
                Path(path).parent.mkdir(exist_ok=True)
                Path(path).write_bytes(content)
        return before

    try:
        yield restore
    finally:
        restore()
