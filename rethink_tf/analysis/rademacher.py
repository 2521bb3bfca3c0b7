"""Empirical Rademacher complexity by fitting random signs: equation 1 of the paper.

    rethink-tf rademacher --model=mlp_1x512 --dataset=cifar10 --examples=5000

Equation 1 is the expectation over signs s, each +1 or -1 with probability 1/2, of the supremum over
functions h of the mean of s_i h(x_i). The functions here are sign(logit 1 - logit 0) of the
configured network with two outputs; the supremum is approached by training it on the signs, so what
is measured is a lower bound. It is 1 where every sign is fitted.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf import console
from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.errors import DivergedError, RequestError
from rethink_tf.storage import content_hash

MOST_DRAWS = 100
# What a run can choose that has no meaning for signs.
LABELS = ("corrupt", "label_noise", "labels_from", "init_from", "init_epoch", "freeze")


def signs(index: np.ndarray, *, seed: int, draw: int) -> np.ndarray:
    """Random bits, a class each: int32 [N] of 0 and 1, a function of (seed, draw, identity)."""
    return corruptions.corrupt_labels(
        np.zeros(len(index), np.int64),
        index,
        corrupt=1.0,
        num_classes=2,
        seed=(seed + draw * 0x9E3779B1) % 2**32,
    )


def require_no_labels(config: RunConfig) -> None:
    """Refuses a configuration that names labels, or a parent: RequestError."""
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
    from rethink_tf.config import schedule
    from rethink_tf.training import input_pipeline, trainer
    from rethink_tf.training.devices import setup as devices
    from rethink_tf.training.evaluation import Evaluation
    from rethink_tf.training.loop import DISPATCH_SECONDS
    from rethink_tf.training.seal_checks import SealChecks, refuse
    from rethink_tf.training.train_step import Steps

    source = input_pipeline.load(config, data_dir=data_dir, cache_dir=cache_dir, say=say)
    audited = input_pipeline.audited(source)
    table, sealed = audited.train, input_pipeline.sealed(config, source, audited)
    epochs, found = epochs or config.epochs, []
    say(
        f"{config.model} with two outputs on random signs of {table.num_examples:,} images of "
        f"{content_hash.shown(config.dataset)}, {epochs} epochs; drawn: {draws}"
    )
    strategy = devices.strategy("one_device")
    for draw in range(draws):
        given = signs(table.index, seed=config.seed, draw=draw)
        signed = dataclasses.replace(table, true=given, given=given, num_classes=2)
        own = dataclasses.replace(config, seed=(config.seed + draw) % 2**32)
        steps = Steps(
            lambda own=own: trainer.build_model(own, table.images.shape[-1], 2),
            strategy,
            signed,
            batch_size=own.batch_size,
            input_size=own.input_size,
            augment=own.augment,
            momentum=own.momentum,
            seed=own.seed,
            jit=False,
            preprocess=source.preprocess,
        )
        # Drawn anew, of the seal's own identities.
        own_signs = signs(sealed.train.index, seed=config.seed, draw=draw)
        checks = SealChecks(sealed.with_labels(own_signs), steps)
        evaluation, by_epoch = Evaluation(steps, checks), []
        count, dispatched = 1, False
        for epoch in range(1, epochs + 1):
            steps.begin_epoch(epoch, schedule.learning_rate(own, epoch))
            checks.begin_epoch()
            step = 0
            while step < steps.steps_per_epoch:
                first, before = step, time.monotonic()
                step = checks.advance(step, count)
                if steps.diverged_at() is not None:
                    break
                each = (time.monotonic() - before) / (step - first)
                # As in a run, so that Ctrl-C is answered; the first dispatch compiles.
                count = max(1, round(DISPATCH_SECONDS / each)) if dispatched else 1
                dispatched = True
                share = (epoch - 1 + step / steps.steps_per_epoch) / epochs
                progress(f"signs {draw + 1} of {draws}", share)
            if steps.diverged_at() is not None or not steps.weights_finite():
                raise DivergedError(
                    f"the loss on the signs of draw {draw + 1} became NaN or infinite in epoch "
                    f"{epoch}; try a smaller --learning_rate than {own.learning_rate:g}"
                )
            checks.end_epoch()
            refuse(checks.violation)
            if epoch % own.eval_every and epoch < epochs:
                continue
            evaluation.recalibrate()
            seal = checks.sealed.train
            outcome = evaluation.evaluate(steps.resident, seal.num_examples, seal=seal)
            checks.columns(signed)
            checks.measured(outcome)
            refuse(checks.violation)
            correlation = float(np.mean(2.0 * (outcome.predicted == given) - 1))
            by_epoch.append([epoch, correlation])
        found.append({"correlation": correlation, "by_epoch": by_epoch})
        say(f"signs {draw + 1} of {draws}: correlation {correlation:.4f} after {epochs} epochs")
    return {
        "experiment": "rademacher",
        "run_id": run_id(config),
        "config": dataclasses.asdict(config),
        "examples": table.num_examples,
        "epochs": epochs,
        "complexity": float(np.mean([one["correlation"] for one in found])),
        "draws": found,
    }
