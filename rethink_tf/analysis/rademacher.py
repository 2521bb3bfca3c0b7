"""Empirical Rademacher complexity by fitting random signs: equation 1 of the paper.

    rethink-tf rademacher --model=mlp_1x512 --dataset=cifar10 --examples=5000

Equation 1 is the expectation over signs s, each +1 or -1 with probability 1/2, of the supremum over
functions h of the mean of s_i h(x_i). The functions here are sign(logit 1 - logit 0) of the
configured network with two outputs; the supremum is approached by training it on the signs, so what
is measured is a lower bound. It is 1 where every sign is fitted.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.errors import AuditError, DivergedError, RequestError
from rethink_tf.storage import content_hash

MOST_DRAWS = 100
# Settings of a run that have no meaning when the targets are random signs.
LABELS = ("corrupt", "label_noise", "labels_from", "init_from", "init_epoch", "freeze")


def seed_of(seed: int, draw: int) -> int:
    """The seed of a draw: the first draw has `seed`, the others are far from seeds in use."""
    return (seed + draw * 0x9E3779B1) % 2**32


def signs(index: np.ndarray, *, seed: int, draw: int) -> np.ndarray:
    """Random bits, a class each: int32 [N] of 0 and 1, a function of (seed, draw, identity)."""
    return corruptions.corrupt_labels(
        np.zeros(len(index), np.int64),
        index,
        corrupt=1.0,
        num_classes=2,
        seed=seed_of(seed, draw),
    )


def require_no_labels(config: RunConfig) -> None:
    """Raises RequestError for a configuration with settings of labels, or with a parent."""
    for name in LABELS:
        if getattr(config, name) != getattr(RunConfig(), name):
            raise RequestError(f"--{name}: expected none, since the labels are random signs")


def run(
    config: RunConfig,
    *,
    draws: int = 1,
    epochs: int | None = None,
    data_dir=None,
    cache_dir=None,
    say: Callable[[str], None] = console.say,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> dict[str, Any]:
    """The experiment: plain values. Needs TensorFlow running (`devices.start`).

    Args:
        config: resolved; its labels are not read. Its examples, network and optimisation count.
        draws: of the signs, each a training from freshly drawn weights.
        epochs: default: the configuration's.
        data_dir, cache_dir: see `registry.load`.
        say: takes a line for each draw.
        progress: gets a stage, a draw of the signs, and the share of it that is done.

    Returns:
        `complexity`, the mean over draws; `draws`: for each the `correlation` (mean of s_i h(x_i))
        at the end, and `by_epoch` [epoch, correlation] of each evaluated epoch; `examples`,
        `epochs`; `run_id` and `config`, the configuration's.

    Raises:
        RequestError: the configuration names labels, or a parent.
        DivergedError: the loss became NaN or infinite.
        AuditError: a pass took other images or signs than the sealed ones.
    """
    require_no_labels(config)
    from rethink_tf.training import input_pipeline

    source = input_pipeline.load(config, data_dir=data_dir, cache_dir=cache_dir, say=say)
    audited = input_pipeline.audited(source)
    table, epochs = audited.train, epochs or config.epochs
    say(
        f"{config.model} with two outputs on random signs of {table.num_examples:,} images of "
        f"{content_hash.shown(config.dataset)}, {epochs} epochs; drawn: {draws}"
    )
    outcomes = []
    for draw in range(draws):
        name = f"signs {draw + 1} of {draws}"
        own, learner = _signed(config, draw, epochs, source, audited, say)
        by_epoch = _fit(own, learner, name, progress)
        correlation = by_epoch[-1][1]
        outcomes.append({"correlation": correlation, "by_epoch": by_epoch})
        say(f"{name}: correlation {correlation:.4f} after {epochs} epochs")
    return {
        "experiment": "rademacher",
        "run_id": run_id(config),
        "config": dataclasses.asdict(config),
        "examples": table.num_examples,
        "epochs": epochs,
        "complexity": float(np.mean([one["correlation"] for one in outcomes])),
        "draws": outcomes,
    }


def _signed(
    config: RunConfig,
    draw: int,
    epochs: int,
    source: Any,
    audited: Any,
    say: Callable[[str], None],
) -> tuple[RunConfig, Any]:
    """The configuration of a draw, and the `transfer.Learner` of two outputs and these signs."""
    from rethink_tf.training import input_pipeline, trainer, transfer

    # No accuracy ends the training early: the best possible fit is sought.
    seed = seed_of(config.seed, draw)
    own = dataclasses.replace(config, seed=seed, epochs=epochs, stop_at_train_accuracy=None)
    table, sealed = audited.train, input_pipeline.sealed(config, source, audited)
    given = signs(table.index, seed=config.seed, draw=draw)
    # Drawn again from the seal's own example indices.
    own_signs = signs(sealed.train.index, seed=config.seed, draw=draw)
    learner = transfer.learner(
        own,
        None,
        dataclasses.replace(table, true=given, given=given, num_classes=2),
        audited.test,
        source.preprocess,
        sealed=sealed.with_labels(own_signs),
        build=trainer.build_model,
        say=say,
    )
    return own, learner


def _fit(
    config: RunConfig,
    learner: Any,
    name: str,
    progress: Callable[[str, float], object],
) -> list[list[float]]:
    """Trains on one draw of the signs as a run trains; [epoch, correlation] of evaluated epochs."""
    from rethink_tf.runs import results
    from rethink_tf.training import trainer
    from rethink_tf.training.devices import setup as devices
    from rethink_tf.training.devices.workers import Workers
    from rethink_tf.training.loop import Callback, Dispatch, train_epochs
    from rethink_tf.training.per_example import Record
    from rethink_tf.training.state import TrainingState

    by_epoch: list[list[float]] = []
    strategy = devices.strategy("one_device")
    context = trainer.build(config, learner, strategy, Workers(), xla=False, test_too=False)

    class Correlations(Callback):
        """Records the correlation after each evaluated epoch, and reports the progress."""

        def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
            share = (state.epoch + state.step / context.steps.steps_per_epoch) / config.epochs
            progress(name, share)

        def on_epoch_end(self, state: TrainingState, last: bool) -> None:
            if state.line["train_accuracy"] is not None:
                fitted = state.record.fitted_since > 0
                by_epoch.append([state.epoch, float(np.mean(2.0 * fitted - 1))])

    state = TrainingState(Record(learner.train.num_examples))
    status, reason = train_epochs(context, state, [Correlations()])
    if status == results.INVALID:
        raise AuditError(f"INVALID: {reason}")
    if status == results.DIVERGED:
        raise DivergedError(f"{name}: {reason}")
    return by_epoch
