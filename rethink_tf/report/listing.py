"""The table of all runs as data, which the page lists, filters and draws."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rethink_tf.config.parent_ref import ParentRef, is_parent_ref
from rethink_tf.config.run_config import RunConfig
from rethink_tf.report.collection import MEASURED, OWN, Collection, Run, Unfinished
from rethink_tf.report.history import History
from rethink_tf.report.measured import MOST_EPOCHS, hours, kept_places
from rethink_tf.runs.agreement import BEFORE_SEALS
from rethink_tf.storage import content_hash

COMMIT = 7  # digits of a commit that are shown
DIGITS = 4  # significant digits of a number in the page
# Most lines of histories in a page, so that a page of 5,000 runs stays below 3 MB; and fewest lines
# of each run, which still show its curve.
MOST_LINES, FEWEST_LINES = 60_000, 10
RUNNING, UNFINISHED, BROKEN = "running", "unfinished", "broken"
# Settings that have no column, but are in the panel of a run.
FACTS = (
    "learning_rate",
    "lr_decay",
    "batch_size",
    "weight_decay",
    "precision",
    "eval_every",
)
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
    ("experiments", "part of", "text"),
    ("hours", "hours", "hours"),
    ("source", "source", "text"),
    ("machine", "machine", "text"),
    ("commit", "commit", "text"),
)
# Columns that the table has no room for. A run's id begins with its network.
IN_PANEL = ("model", "hours", "source", "machine", "commit")
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
            ["corrupted_accuracy", "noisy, labels as given", 1],
            ["corrupted_original_accuracy", "noisy, true labels", 3],
            ["test_accuracy", "test", 2],
            ["accuracy", "training, running", 6],
        ],
    },
)


def _without_folder(name: str) -> str:
    """The name of a network, a data set or a file of noise, without its folder on that machine."""
    kind, colon, path = content_hash.shown(name).rpartition(":")
    return f"{kind}{colon}{Path(path).name if Path(path).is_absolute() else path}"


def training_data(config: RunConfig) -> str:
    """The training data of a run: `labels p = 0.5; shuffled pixels`."""
    parts = []
    if config.labels_from is not None:
        parts.append("labels from a file")
    elif config.corrupt:
        kind = "" if config.label_noise == "uniform" else f", {_without_folder(config.label_noise)}"
        parts.append(f"labels p = {config.corrupt:g}{kind}")
    degree = {"gaussian": config.pixel_mix}.get(config.pixels, config.shuffle_fraction)
    if config.pixels != "original":
        parts.append(f"{config.pixels} pixels" + (f" {degree:g}" if degree != 1 else ""))
    if config.held_out:
        parts.append(f"tested on {config.held_out:,} held-out training examples")
    if config.test_pixels != "as_trained":
        parts.append(f"tested on {config.test_pixels} pixels")
    if config.init_from is not None:
        parts.append(
            f"from {ParentRef.parse(config.init_from).run_id}"
            if is_parent_ref(config.init_from)
            else f"from {config.init_from}"
        )
    return "; ".join(parts) or "true labels"


def regularisers(config: RunConfig) -> str:
    """Augmentation, weight decay and dropout of a run; empty where there is none."""
    parts = [config.augment] if config.augment != "none" else []
    parts += [f"weight decay {config.weight_decay:g}"] if config.weight_decay else []
    parts += [f"dropout {config.dropout:g}"] if config.dropout else []
    return ", ".join(parts)


def _settings(config: RunConfig) -> dict[str, Any]:
    """The columns of a training that its configuration says."""
    return {
        "model": _without_folder(config.model),
        "dataset": _without_folder(config.dataset),
        "data": training_data(config),
        "examples": config.examples or "all",
        "seed": config.seed,
        "regularisers": regularisers(config),
    }


def _finished(run: Run, experiments: list[str]) -> dict[str, Any]:
    """The columns and facts of a finished run."""
    summary, config = run.summary, run.config
    line = {
        "id": run.run_id,
        "status": run.status,
        "source": run.source,
        "experiment": experiments,
        "experiments": ", ".join(experiments),
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
        line |= _settings(config)
    else:
        own = {"model": summary.get("kind"), "examples": config.get("examples") or "all"}
        line |= own | {name: config.get(name) for name in ("dataset", "seed")}
    return line | {"facts": _facts(run)}


def _unfinished(name: str, run: Unfinished) -> dict[str, Any]:
    """The columns of a run that has not ended, as of its last epoch."""
    line = {
        "id": name,
        "status": RUNNING if run.running else UNFINISHED,
        "source": OWN,
        "experiment": [],
        "facts": {"progress": run.progress},
        "epochs": len(run.lines),
    }
    if run.config is not None:
        line |= _settings(run.config)
    if run.lines:
        last = run.lines[-1]
        line |= {"online": last.get("accuracy"), "loss": last.get("loss")}
        line |= {"train": last.get("train_accuracy"), "test": last.get("test_accuracy")}
        line["best"] = last.get("best_test_accuracy")
    return line


def _machine(run: Run) -> str:
    """Where a run was trained, in a few words, as far as that is recorded."""
    return run.machine.get("name") or ", ".join(run.machine.get("devices") or ())


def _facts(run: Run) -> dict[str, Any]:
    """What the panel of a run shows beyond the columns."""
    fields = run.summary.get("config") or {}
    facts: dict[str, Any] = {}
    if run.before_seals:
        facts["record"] = f"{BEFORE_SEALS}, so fewer checks were possible"
    if run.summary.get("reason"):
        facts["reason"] = run.summary["reason"]
    facts |= {name: fields[name] for name in FACTS if name in fields}
    changed = run.summary.get("changed_fraction")
    facts |= {"changed labels": f"{100 * changed:.2f}%"} if isinstance(changed, float) else {}
    for name in ("devices", "threads", "versions"):
        value = run.machine.get(name)
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        facts[name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return {key: value for key, value in facts.items() if value not in ("", None)}


def own_name(name: str, collection: Collection) -> str:
    """The id on the page of a run of the folder that has not ended, or that cannot be read.

    A shipped run of the same id keeps the id to itself, so that each has its own curves.
    """
    return f"{name} (in the folder)" if collection.is_shipped(name) else name


def listed(collection: Collection, experiments: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Every run of a collection, in the page's keys; those of the own folder come first.

    Args:
        collection: all runs.
        experiments: run id: names of the experiments that it is part of.
    """
    lines = [
        _finished(run, experiments.get(run.run_id, []))
        for run in sorted(collection.whole, key=lambda r: r.run_id)
    ]
    lines += [
        _unfinished(own_name(name, collection), run) for name, run in collection.unfinished.items()
    ]
    for name, reason in collection.broken.items():
        line = {"id": own_name(name, collection), "status": BROKEN, "source": OWN, "experiment": []}
        lines.append(line | {"facts": {"reason": reason}})
    return sorted(lines, key=lambda line: line["source"] == MEASURED)


def by_column(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Objects with the same keys in few bytes: for each key its values, or indices of its values.

    Args:
        lines: as `listed` gives them; `facts` become columns of their own.

    Returns:
        key: a list of the values of all lines; or {"of": distinct values, "at": their places}.
    """
    flat = [
        {key: value for key, value in line.items() if key != "facts"}
        | {f"facts.{key}": value for key, value in line["facts"].items()}
        for line in lines
    ]
    packed: dict[str, Any] = {}
    for key in dict.fromkeys(key for line in flat for key in line):
        values = [_short(line.get(key)) for line in flat]
        places: dict[str, int] = {}
        at = [places.setdefault(repr(value), len(places)) for value in values]
        if len(places) > len(values) / 4:
            packed[key] = values
        else:
            distinct = {place: value for value, place in zip(values, at, strict=True)}
            packed[key] = {"of": [distinct[place] for place in range(len(places))], "at": at}
    return packed


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def curves(collection: Collection) -> dict[str, dict[str, list]]:
    """The columns of every history that the page draws, by run id, thinned where there are many."""
    histories = {run.run_id: run.history() for run in collection.whole}
    histories |= {
        own_name(name, collection): run.lines for name, run in collection.unfinished.items()
    }
    most = max(FEWEST_LINES, min(MOST_EPOCHS, MOST_LINES // max(1, len(histories))))
    keys = [key for chart in CHARTS for key, *_ in chart["curves"]]
    return {
        name: _thinned(history, keys, most) for name, history in histories.items() if len(history)
    }


def _thinned(history: History, keys: Sequence[str], most: int) -> dict[str, list]:
    places = kept_places(history, most)
    epochs = history.column("epoch")
    thinned: dict[str, list] = {"epoch": [epochs[place] for place in places]}
    for key in keys:
        column = history.column(key)
        values = [column[place] for place in places]
        if any(value is not None for value in values):
            thinned[key] = [None if v is None else float(f"{v:.{DIGITS}g}") for v in values]
    return thinned


def choices(lines: Iterable[dict[str, Any]], key: str) -> list[str]:
    """The values of a key among the runs, for a filter."""
    values = set()
    for line in lines:
        value = line.get(key)
        values |= set(value) if isinstance(value, list) else {value}
    return sorted(str(v) for v in values if v not in (None, ""))
