"""A run with a snapshot after each epoch, and its logits: what training dynamics are made of."""

from types import SimpleNamespace

import numpy as np

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.runs import results
from rethink_tf.training import run as train

EPOCHS, EXAMPLES = 3, 200


def config(**changes):
    """A few examples of `digits`, a third of their labels replaced."""
    fields = {"corrupt": 0.3, "epochs": EPOCHS, "examples": EXAMPLES} | changes
    return run_config.resolve(run_config.RunConfig("mlp_1x512", "digits", **fields))


def train_run(runs_dir, **changes):
    """The folder of a finished run with all snapshots; `config` takes the changes."""
    wanted = config(**changes)
    run_dir = runs_dir / run_config.run_id(wanted)
    kept = Options(keep_epochs=tuple(range(1, wanted.epochs + 1)))
    train.run(wanted, run_dir, options=kept, say=lambda line: None)
    return run_dir


def replayed(run_dir):
    """The run read back.

    Returns:
        `run_dir`; `model`; `inputs`, what it gets of all training examples; `table`; `at(epoch)`,
        which gives the model its weights after an epoch; `logits`, float64 [T, N, K], after each.
    """
    from rethink_tf.training import restore

    run = restore.read(run_dir, say=lambda line: None)

    def at(epoch):
        weights = results.read_snapshot(run_dir, epoch)
        for variable, value in zip(run.model.variables, weights, strict=True):
            variable.assign(value)

    forward, logits = run.forward(), []
    for epoch in range(1, run.config.epochs + 1):
        at(epoch)
        logits.append(forward().astype(np.float64))
    inputs = run.preprocess(np.asarray(run.table.images)).numpy()
    return SimpleNamespace(
        run_dir=run_dir,
        model=run.model,
        inputs=inputs,
        table=run.table,
        at=at,
        logits=np.stack(logits),
    )


def by_definition(logits, given, el2n_epochs):
    """The measures of logits [T, N, K] at epochs 1 to T, each written as its paper has it."""
    rows = np.arange(len(given))
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    softmax = powers / powers.sum(axis=2, keepdims=True)
    own = softmax[:, rows, given]
    others = np.array(logits)
    others[:, rows, given] = -np.inf
    margins = logits[:, rows, given] - others.max(axis=2)
    right = logits.argmax(axis=2) == given
    one_hot = np.eye(logits.shape[2])[given]
    epochs = len(logits)
    since = [
        next((t + 1 for t in range(epochs) if right[t:, i].all()), 0) for i in range(len(given))
    ]
    first = [next((t + 1 for t in range(epochs) if right[t, i]), 0) for i in range(len(given))]
    return {
        "fitted_since": np.array(since),
        "forgotten": (right[:-1] & ~right[1:]).sum(axis=0),
        "margin": margins[-1],
        "first_fitted": np.array(first),
        "aum": margins.mean(axis=0),
        "confidence": own.mean(axis=0),
        "variability": own.std(axis=0),
        "cumulative_loss": -np.log(own).sum(axis=0),
    } | {f"el2n_{e}": np.linalg.norm(softmax[e - 1] - one_hot, axis=1) for e in el2n_epochs}
