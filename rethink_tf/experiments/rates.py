"""Estimates how long runs take from finished runs of the same type. Imports no TensorFlow.

Before any run of a network is there, `assumed` says what two cores of a server take, roughly.
"""

import contextlib
import dataclasses
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rethink_tf.data.registry import DATASETS
from rethink_tf.errors import StorageError
from rethink_tf.runs import results

# Fields on which the time per example depends.
_KIND = ("model", "precision", "freeze", "input_size", "augment")
_NEWEST = 8  # most runs of a kind that are read
_LOOKED_AT = 500  # newest folders of a model that are searched for them


# Training images/s on two cores of a server in float32, at the input size of the experiments. An
# exact pass is about three times as fast. ResNet-18 and WRN-28-1 are a tenth below the values in
# docs/performance.md; ResNet-50, 101 and 200 are computed from ResNet-18 by their operations.
ASSUMED = {
    "mlp_1x512": 40_000,
    "mlp_3x512": 25_000,
    "alexnet": 1_500,
    "inception": 150,
    "inception_no_bn": 150,
    "wrn_28_1": 400,
    "resnet_28": 400,
    "resnet_18": 60,
    "resnet_50": 25,
    "resnet_101": 14,
    "resnet_200": 7,
    "inception_v3": 7,
}
FROZEN = 100_000  # images/s of a last layer on stored features
REST = 30.0  # seconds of a run that are neither training nor evaluation


@dataclasses.dataclass(frozen=True)
class Rate:
    """Seconds of one example in training and in an exact pass, and of all else in a run.

    `rest` is data, compiling and closing, not the start of Python and TensorFlow, which no run
    records; None where no run of the kind was trained without a break.
    """

    train: float
    evaluation: float
    rest: float | None


def kind(config) -> tuple:
    """The fields of a configuration on which its speed depends."""
    values = config if isinstance(config, dict) else dataclasses.asdict(config)
    return tuple(values.get(name) for name in _KIND)


def measure(runs_dir: Path, models: Iterable[str], threads: int = 0) -> dict[tuple, Rate]:
    """The rates of finished and unfinished runs below a folder, by `kind`.

    Args:
        runs_dir: folder of the runs.
        models: the networks of interest.
        threads: runs with as many count alone, where there are any of the kind; 0: all.

    Returns:
        The median over the runs of each kind; kinds without a whole epoch are missing.
    """
    rates: dict[tuple, list[tuple[int, Rate]]] = {}
    for model in sorted(set(models)):
        for folder in _newest(Path(runs_dir), model):
            try:
                record = results.read_config(folder)
                key = kind(record["config"]) if record else None
                if not record or key is None or len(rates.get(key, ())) >= _NEWEST:
                    continue
                threads_used, rate = record["threads"], _of_run(folder, record)
            except (StorageError, KeyError, TypeError):  # the run's own command reports the damage
                continue
            if rate is not None:
                rates.setdefault(key, []).append((threads_used, rate))
    return {key: _median(entries, threads) for key, entries in rates.items()}


def _newest(runs_dir: Path, model: str) -> list[Path]:
    """The newest folders of a network's runs, the newest first."""
    dated = []
    for path in runs_dir.glob(f"{model}-*"):
        with contextlib.suppress(OSError):  # a run that is refused removes its folder
            dated.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(dated, reverse=True)[:_LOOKED_AT]]


def _median(entries: list[tuple[int, Rate]], threads: int) -> Rate:
    rates = [rate for used, rate in entries if used == threads] or [rate for _, rate in entries]
    columns = zip(*(dataclasses.astuple(rate) for rate in rates), strict=True)
    train, evaluation, rest = ([v for v in column if v is not None] for column in columns)
    return Rate(
        statistics.median(train),
        statistics.median(evaluation),
        statistics.median(rest) if rest else None,
    )


def _of_run(folder: Path, record: dict[str, Any]) -> Rate | None:
    lines = results.read_history(folder)
    if not lines:
        return None
    values = record["config"]
    info = DATASETS[values["dataset"]]
    examples = values["examples"] or info.num_train
    steady = lines[1:] or lines  # the first epoch includes compilation
    speeds = [line["timing"]["images_per_second"] for line in steady]
    speeds = [speed for speed in speeds if speed]
    if not speeds:
        return None
    passes = [line for line in steady if line["train_accuracy"] is not None] or lines[-1:]
    seconds = statistics.median(line["timing"]["eval_seconds"] for line in passes)
    evaluation = seconds / (examples + (values.get("held_out") or info.num_test))
    rate = Rate(1 / statistics.median(speeds), evaluation, None)
    summary = results.read_summary(folder)
    # A resumed run records only the seconds of its last part.
    if summary is not None and not record.get("resumed"):
        tested = sum(line["train_accuracy"] is not None for line in lines)
        counted = len(lines) * examples * rate.train + tested * seconds
        rate = dataclasses.replace(rate, rest=max(0.0, summary["timing"]["seconds"] - counted))
    return rate


def assumed(config: Any) -> Rate | None:
    """The rate of a run by ASSUMED, of two cores; None of a network that is not in it.

    Args:
        config: resolved; of what is no training, anything else.
    """
    speed = ASSUMED.get(getattr(config, "model", ""))
    if speed is None:
        return None
    if config.freeze == "none":
        return Rate(1 / speed, 1 / (3 * speed), REST)
    # The frozen layers see every image once.
    info = DATASETS[config.dataset]
    images = (config.examples or info.num_train) + (config.held_out or info.num_test)
    return Rate(1 / FROZEN, 1 / (3 * FROZEN), REST + images / (3 * speed))


def seconds_left(config: Any, rates: dict[tuple, Rate], done: int = 0) -> float | None:
    """Seconds that a run still takes, by itself.

    Args:
        config: resolved; None of what is no such run.
        rates: see `measure`.
        done: epochs that it has behind it.

    Returns:
        None where no run of its kind has been measured.
    """
    rate = rates.get(kind(config)) if dataclasses.is_dataclass(config) else None
    return None if rate is None else _seconds(config, rate, done)


def seconds_assumed(config: Any, done: int = 0) -> float | None:
    """As `seconds_left`, at the rate of `assumed`; None where there is none."""
    rate = assumed(config) if dataclasses.is_dataclass(config) else None
    return None if rate is None else _seconds(config, rate, done)


def _seconds(config: Any, rate: Rate, done: int) -> float:
    info = DATASETS[config.dataset]
    examples = config.examples or info.num_train
    tested = config.held_out or info.num_test
    left = range(done + 1, config.epochs + 1)
    evaluated = sum(e % config.eval_every == 0 or e == config.epochs for e in left)
    seconds = len(left) * examples * rate.train
    seconds += evaluated * (examples + tested) * rate.evaluation
    return seconds + (rate.rest or 0.0)
