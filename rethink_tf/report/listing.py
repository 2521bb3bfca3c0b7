"""The table of all runs as data: what the page lists, filters and draws."""

from collections.abc import Iterable
from typing import Any

from rethink_tf.config.parent_ref import ParentRef, is_parent_ref
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import StorageError
from rethink_tf.report.collection import Collection, Run
from rethink_tf.report.measured import hours, kept_lines
from rethink_tf.runs.agreement import BEFORE_SEALS

COMMIT = 7  # digits of a commit that are shown
MOST_CURVES = 2000  # a page of more would be slow to open
COLUMNS = (
    # key, title, kind
    ("id", "run", "text"),
    ("model", "network", "text"),
    ("dataset", "data set", "text"),
    ("data", "training data", "text"),
    ("regularisers", "regularisers", "text"),
    ("status", "status", "text"),
    ("train", "train %", "percent"),
    ("test", "test %", "percent"),
    ("best", "best test %", "percent"),
    ("online", "running %", "percent"),
    ("loss", "loss", "loss"),
    ("examples", "examples", "number"),
    ("epochs", "epochs", "number"),
    ("seed", "seed", "number"),
    ("experiments", "of", "text"),
    ("source", "source", "text"),
    ("hours", "hours", "hours"),
    ("machine", "machine", "text"),
    ("commit", "commit", "text"),
)
FILTERS = ("status", "model", "dataset", "source", "experiment")
# A curve's key, title and colour, the same in both charts.
CHARTS: tuple[dict[str, Any], ...] = (
    {
        "title": "Loss",
        "unit": "nats",
        "factor": 1,
        "top": None,
        "curves": [
            ["loss", "training, running", 6],
            ["train_loss", "training", 0],
            ["test_loss", "test", 2],
        ],
    },
    {
        "title": "Accuracy",
        "unit": "%",
        "factor": 100,
        "top": 100,
        "curves": [
            ["clean_accuracy", "training, clean", 0],
            ["corrupted_accuracy", "corrupted, as given", 1],
            ["corrupted_original_accuracy", "corrupted, original", 3],
            ["test_accuracy", "test", 2],
            ["accuracy", "training, running", 6],
        ],
    },
)


def data_words(config: RunConfig) -> str:
    """The training data of a run in words."""
    words = []
    if config.labels_from is not None:
        words.append("labels from a file")
    elif config.corrupt:
        kind = "" if config.label_noise == "uniform" else f", {config.label_noise}"
        words.append(f"labels p = {config.corrupt:g}{kind}")
    degree = {"gaussian": config.pixel_mix}.get(config.pixels, config.shuffle_fraction)
    if config.pixels != "original":
        words.append(f"{config.pixels} pixels" + (f" {degree:g}" if degree != 1 else ""))
    if config.init_from is not None:
        words.append(
            f"from {ParentRef.parse(config.init_from).run_id}"
            if is_parent_ref(config.init_from)
            else f"from {config.init_from}"
        )
    return "; ".join(words) or "true labels"


def regulariser_words(config: RunConfig) -> str:
    """Augmentation, weight decay and dropout of a run in words; empty where there is none."""
    words = [config.augment] if config.augment != "none" else []
    words += [f"weight decay {config.weight_decay:g}"] if config.weight_decay else []
    words += [f"dropout {config.dropout:g}"] if config.dropout else []
    return ", ".join(words)


def _finished(run: Run, of: list[str], with_curves: bool) -> dict[str, Any]:
    summary, config = run.summary, run.config
    line = {
        "id": run.run_id,
        "status": run.status,
        "source": run.source,
        "experiment": of,
        "experiments": ", ".join(of),
        "online": summary.get("accuracy"),
        "train": summary.get("train_accuracy"),
        "test": summary.get("test_accuracy"),
        "best": summary.get("best_test_accuracy"),
        "loss": summary.get("loss"),
        "epochs": summary.get("epochs"),
        "hours": hours(run),
        "machine": _machine(run),
        "commit": (run.machine.get("git_commit") or "")[:COMMIT],
    }
    if isinstance(config, RunConfig):
        line |= {
            "model": config.model,
            "dataset": config.dataset,
            "data": data_words(config),
            "examples": config.examples or "all",
            "seed": config.seed,
            "regularisers": regulariser_words(config),
        }
    else:
        own = {"model": summary.get("kind"), "examples": config.get("examples") or "all"}
        line |= own | {name: config.get(name) for name in ("dataset", "seed")}
    line["facts"] = _facts(run, line)
    if with_curves:
        try:
            line["curves"] = _curves(run)
        except StorageError as error:
            line["why"] = f"Its history cannot be read: {error}"
    else:
        line["why"] = f"Curves are kept of the first {MOST_CURVES} runs."
    return line


def _machine(run: Run) -> str:
    """Where a run was trained, in a few words, as far as that is recorded."""
    return run.machine.get("name") or ", ".join(run.machine.get("devices") or ())


def _facts(run: Run, line: dict[str, Any]) -> dict[str, Any]:
    """What the panel of a run says above its curves."""
    fields = run.summary.get("config") or {}
    facts: dict[str, Any] = {"status": run.status}
    if run.before_seals:
        facts["record"] = f"{BEFORE_SEALS}, so it could be checked less"
    if run.summary.get("reason"):
        facts["reason"] = run.summary["reason"]
    facts |= {name: line.get(name) for name in ("data", "examples", "epochs")} | {
        name: fields[name]
        for name in (
            "dataset",
            "learning_rate",
            "lr_decay",
            "batch_size",
            "weight_decay",
            "seed",
            "precision",
            "eval_every",
        )
        if name in fields
    }
    changed = run.summary.get("changed_fraction")
    facts |= {"changed labels": f"{100 * changed:.2f}%"} if isinstance(changed, float) else {}
    for name in ("name", "devices", "threads", "versions"):
        value = run.machine.get(name)
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        if value:
            facts[name if name != "name" else "machine"] = (
                ", ".join(map(str, value)) if isinstance(value, list) else value
            )
    return {key: value for key, value in facts.items() if value not in ("", None)}


def _curves(run: Run) -> dict[str, list] | None:
    """The columns of a run's history that the page draws, shortened."""
    lines = kept_lines(run.history())
    if not lines:
        return None
    found = {"epoch": [line["epoch"] for line in lines]}
    for key in (key for chart in CHARTS for key, *_ in chart["curves"]):
        values = [line.get(key) for line in lines]
        if any(v is not None for v in values):
            found[key] = [None if v is None else float(f"{v:.4g}") for v in values]
    return found


def listed(collection: Collection, of: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Every run that was found, in the page's keys; `text` is what a search looks through.

    Args:
        collection: all runs.
        of: run id: names of the experiments that it is part of.
    """
    lines = [
        _finished(run, of.get(run.run_id, []), number < MOST_CURVES)
        for number, run in enumerate(sorted(collection.runs, key=lambda r: r.run_id))
        if run.run_id not in collection.broken
    ]
    for status, found in (("unfinished", collection.unfinished), ("broken", collection.broken)):
        for name, why in found.items():
            lines.append(
                {
                    "id": name,
                    "status": status,
                    "source": "runs",
                    "experiment": [],
                    "why": why,
                    "facts": {"status": status, "why": why},
                }
            )
    for line in lines:
        values = [line.get(key) for key, _, kind in COLUMNS if kind == "text" or key == "examples"]
        line["text"] = " ".join(str(v) for v in values if v).lower()
    return lines


def choices(lines: Iterable[dict[str, Any]], key: str) -> list[str]:
    """The values of a key among the runs, for a filter."""
    found = set()
    for line in lines:
        value = line.get(key)
        found |= set(value) if isinstance(value, list) else {value}
    return sorted(str(v) for v in found if v not in (None, ""))
