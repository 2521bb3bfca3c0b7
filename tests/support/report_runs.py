"""Run directories that a report reads, written in place of training."""

import dataclasses
import math

from rethink_tf.config import run_config
from rethink_tf.experiments import plan as experiments
from rethink_tf.runs import results
from rethink_tf.runs import task as plain_runs
from rethink_tf.storage import files

CHECKS = [{"name": "given_equals_reference", "passed": True, "detail": ""}]
ENVIRONMENT = {"devices": ["CPU x86_64"], "threads": 2, "versions": {"tensorflow": "2.21.0"}}


def lines(wanted, speed=1.0, test=None):
    """A history whose loss halves every 5 / `speed` epochs, so that thresholds are known."""
    noisy = wanted.corrupt > 0
    test = (0.5 - 0.4 * wanted.corrupt) if test is None else test
    made, best, best_epoch = [], None, None
    for epoch in range(1, wanted.epochs + 1):
        loss = 2.3 * 2 ** (-speed * epoch / (5 * (1 + wanted.corrupt)))
        seen = epoch % wanted.eval_every == 0 or epoch == wanted.epochs
        fitted = math.exp(-loss)
        # Best in the middle, so that early stopping would have gained a point.
        tested = test + 0.01 * (epoch == wanted.epochs // 2)
        if seen and (best is None or best < tested):
            best, best_epoch = tested, epoch
        made.append(
            {
                "epoch": epoch,
                "loss": loss,
                "accuracy": fitted,
                "learning_rate": 0.1,
                "label_checksum": 5,
                "train_loss": loss / 2 if seen else None,
                "train_accuracy": fitted if seen else None,
                "clean_accuracy": fitted if seen else None,
                "corrupted_accuracy": fitted if seen and noisy else None,
                "corrupted_original_accuracy": 0.1 if seen and noisy else None,
                "test_loss": 1 + loss if seen else None,
                "test_accuracy": tested if seen else None,
                "best_test_accuracy": best,
                "best_test_epoch": best_epoch,
                "timing": {"train_seconds": 2.0},
            }
        )
    return made


def write_run(
    runs_dir,
    wanted,
    *,
    speed=1.0,
    test=None,
    status="DONE",
    run_id=None,
    done=None,
    last=None,
    **summary,
):
    """A finished run, `done` of whose epochs there are (default: all); returns its folder.

    `last` replaces values of the last epoch, `summary` what it says beyond the history.
    """
    run_id = run_id or run_config.run_id(wanted)
    folder = runs_dir / run_id
    folder.mkdir(parents=True)
    fields, history = dataclasses.asdict(wanted), lines(wanted, speed, test)
    more, last = last or {}, history[-1]
    history = history[:done]
    if history:
        last = history[-1]
        last |= more | ({"train_loss": None} if status == "DIVERGED" else {})
    else:
        last = dict.fromkeys(last)
    files.write_json(
        folder / results.CONFIG, {"config": fields, "run_id": run_id, "argv": ["x"], **ENVIRONMENT}
    )
    results.rewrite_history(folder, history)
    reason = None if status == "DONE" else "the made-up reason"
    results.finish(
        folder,
        {k: v for k, v in last.items() if k != "epoch"}
        | {
            "status": status,
            "reason": reason,
            "run_id": run_id,
            "config": fields,
            "epochs": len(history),
            "changed_fraction": 0.9 * wanted.corrupt,
            "audit": CHECKS,
            "exact": True,
            "weights_hash": "0123abcd",
            "timing": {"seconds": 60.0},
        }
        | summary,
    )
    return folder


def plain_run(runs_dir, kind, values, *, run_id=None, **found):
    """What is no training, finished; returns its folder."""
    run_id = run_id or plain_runs.run_id(kind, values)
    folder = runs_dir / run_id
    folder.mkdir(parents=True)
    facts = {"status": "DONE", "reason": None, "kind": kind, "audit": []}
    named = {"run_id": run_id, "config": values}
    results.write_config(folder, named)
    results.finish(folder, facts | named | found)
    return folder


def resolved(**fields):
    """A configuration on digits."""
    return run_config.resolve(run_config.RunConfig(**({"dataset": "digits"} | fields)))


def write_experiment(runs_dir, name, scale="paper", seeds=1, only="", **more):
    """All runs of an experiment, seeds apart by 0.01 of test accuracy; returns their plans."""
    plans = experiments.planned(name, scale, seeds, runs_dir=runs_dir)
    plans = [plan for plan in plans if plan.row.startswith(only)]
    for plan in plans:
        if plan.run_id and not (runs_dir / plan.run_id).exists():
            test = 0.5 - 0.4 * plan.config.corrupt + 0.01 * plan.seed
            write_run(runs_dir, plan.config, test=test, speed=1 + 0.1 * plan.seed, **more)
    return plans
