"""Runs by the real command on several replicas, and what they saw: the process of test_replicas.

`python replica_runs.py REPLICAS FOLDER` trains the runs one after the other, FOLDER/<name> each.
"""

import functools
import json
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from rethink_tf import main
from rethink_tf.cli import app
from rethink_tf.config import flags
from rethink_tf.runs import request
from rethink_tf.training import input_pipeline, trainer
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.preemption import StoppedError
from rethink_tf.training.recording import samples
from rethink_tf.training.train_step import Steps

COMMON = ["--dataset=digits", "--corrupt=0.5", "--threads=2", "--checkpoint_every=0"]
# At a small rate, since batch normalisation amplifies rounding from step to step.
NORMALISED = [
    "--model=wrn_10_1",
    "--examples=45",
    "--batch_size=15",
    "--input_size=12",
    "--epochs=2",
    "--eval_every=2",
    "--learning_rate=0.0001",
]
# Batches and remainders that neither 2 nor 4 divides: of 23, 9, 18 and 15 examples.
RUNS = {
    "gaussian": [
        "--model=mlp_1x512",
        "--examples=101",
        "--batch_size=23",
        "--epochs=2",
        "--pixels=gaussian",
    ],
    "crop": [
        "--model=alexnet",
        "--examples=45",
        "--batch_size=18",
        "--epochs=2",
        "--input_size=12",
        "--augment=crop",
    ],
    "synchronised": [*NORMALISED, "--sync_batch_norm"],
    "apart": NORMALISED,
}
RANDOM_PIXELS = ["--model=mlp_1x512", "--examples=101", "--pixels=random"]
# Stopped after so many dispatches: every further trace on replicas takes seconds.
STOPPED = {(4, "crop"): 3, (4, "synchronised"): 2, (2, "apart"): 2}
TRAINED = {
    1: ("gaussian", "crop", "synchronised"),
    2: tuple(RUNS),
    4: ("gaussian", "crop", "synchronised"),
}


class Watched(Steps):
    """Steps that note the loss after each dispatch, and the batch statistics after the first."""

    made, stop_after = None, None

    def __init__(self, *args, **kinds):
        super().__init__(*args, **kinds)
        self.losses, self.local = {}, None
        Watched.made = self

    def advance(self, step, count):
        after = super().advance(step, count)
        self.losses[f"epoch {int(self.epoch)} step {after}"] = self.running()["loss_sum"]
        if self.local is None:
            parts = map(self.strategy.experimental_local_results, self.variables.local)
            self.local = [np.stack([part.numpy() for part in own]) for own in parts]
        if len(self.losses) == Watched.stop_after:
            raise StoppedError("enough for the test", signal.SIGTERM)
        return after


def replica() -> int:
    """The number of the replica that asks."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


def dropped(steps, data, order, step, rows, epoch):
    """A wrong split: what the replicas do not divide is left out."""
    rows -= rows % steps.strategy.num_replicas_in_sync
    return Steps.own_rows(steps, data, order, step, rows, epoch)


def repeated(steps, data, order, step, rows, epoch):
    """A wrong split: every replica takes rows from the first on."""
    low = replica() * rows // steps.strategy.num_replicas_in_sync
    return Steps.own_rows(steps, data, tf.roll(order, low, 0), step, rows, epoch)


def redrawn(steps, data, order, step, rows, epoch):
    """The right rows, augmented otherwise by each replica."""
    return Steps.own_rows(steps, data, order, step, rows, epoch + replica())


WRONG = {"dropped": dropped, "repeated": repeated, "redrawn": redrawn}


def batches(steps, own_rows=Steps.own_rows) -> dict[str, np.ndarray]:
    """Every example as it enters the loss in two epochs, the replicas' parts put together."""

    @tf.function
    def on_all(order, step, rows, epoch):
        def on_replica(data):
            return own_rows(steps, data, order, step, rows, epoch)[:3]

        return steps.strategy.run(on_replica, args=(steps.resident,))

    parts = []
    for epoch in (1, 2):
        steps.begin_epoch(epoch, 0.0)
        for step in range(steps.steps_per_epoch):
            rows = min(steps.batch_size, steps.train.num_examples - step * steps.batch_size)
            values = on_all(steps.order, tf.constant(step), rows, steps.epoch)
            local = [steps.strategy.experimental_local_results(v) for v in values]
            parts += zip(*local, strict=True)
    columns = zip(*parts, strict=True)
    return dict(zip(("images", "index", "given"), map(np.concatenate, columns), strict=True))


def train(name: str, folder: Path, replicas: int) -> None:
    """Trains one run by the real command and writes what is compared of it."""
    Watched.stop_after = STOPPED.get((replicas, name))
    argv = [*RUNS[name], *COMMON, f"--runs_dir={folder / name}"]
    argv += [f"--devices={replicas}"] if replicas > 1 else []
    code = app.guarded(main.main, argv)
    steps, table = Watched.made, Watched.made.train
    arrays = {f"table/{k}": getattr(table, k) for k in ("index", "images", "true", "given")}
    for steps.augment in ("crop", "flip_rotate") if name == "crop" else ():
        # Each takes seconds to trace, so two replicas go without the wrong ones.
        wrong = WRONG if steps.augment == "crop" and replicas != 2 else {}
        for split, own_rows in {"right": Steps.own_rows, **wrong}.items():
            seen = batches(steps, own_rows)
            arrays |= {f"{steps.augment}/{split}/{k}": v for k, v in seen.items()}
    arrays |= {f"local/{i:03d}": rows for i, rows in enumerate(steps.local or [])}
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps({"code": int(code), "losses": steps.losses}))


def random_pixels(folder: Path) -> None:
    """Writes a table of images that are each permuted by themselves; nothing is trained."""
    wanted, options = flags.parse([*RANDOM_PIXELS, *COMMON])
    table, _, _ = input_pipeline.corrupt(input_pipeline.load(request.prepare(wanted, options)))
    np.savez(folder / "random.npz", images=table.images, given=table.given)


def train_all(folder: Path, replicas: int) -> None:
    """Trains the runs of so many replicas and writes the table of random pixels."""
    trainer.Steps = Watched
    samples.run_samples = lambda *_: np.zeros([8, 8, 3], np.uint8)
    # One strategy for all: the collectives of a second one would get the keys of the first.
    devices.strategy = functools.cache(devices.strategy)
    for name in TRAINED[replicas]:
        train(name, folder, replicas)
    random_pixels(folder)


if __name__ == "__main__":
    train_all(Path(sys.argv[2]), int(sys.argv[1]))
