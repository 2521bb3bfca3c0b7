"""What the shipped runs cost by network and machine, and what the missing runs would cost.

Hours are those that the runs recorded: training, and evaluation where the record has it. They are
wall-clock time of machines that may have done other work, so a median stands for a network.
"""

import dataclasses
import statistics
from collections.abc import Iterable

from rethink_tf.config.run_config import RunConfig
from rethink_tf.data.registry import DATASETS
from rethink_tf.experiments import catalogue, plan
from rethink_tf.report import measured
from rethink_tf.report.collection import MEASURED, Collection, Run


@dataclasses.dataclass(frozen=True)
class Cost:
    """What runs of one network on one data set took on one machine.

    Attributes:
        model, dataset, precision, machine: of the runs.
        freeze: `all_but_last` where they train the last layer alone, on features that are kept.
        runs: how many there are.
        hours: of all of them together.
        seconds_an_epoch: median over the runs, for the data set as a whole.
    """

    model: str
    dataset: str
    freeze: str
    precision: str
    machine: str
    runs: int
    hours: float
    seconds_an_epoch: float


@dataclasses.dataclass(frozen=True)
class Rest:
    """What is shipped of an experiment at the paper's scale, and what is not.

    Attributes:
        name: of the experiment.
        shipped, missing: numbers of runs, of one seed.
        hours: estimated of the missing runs of networks that have been measured.
        unknown: missing runs of networks that have not.
    """

    name: str
    shipped: int
    missing: int
    hours: float
    unknown: int


def _kind(one: RunConfig | Cost) -> tuple[str, str, str, str]:
    """What runs of one cost share, but for the machine."""
    return one.model, one.dataset, one.freeze, one.precision


def _examples(config: RunConfig) -> int:
    """Training examples of a resolved configuration of a known data set."""
    return config.examples or DATASETS[config.dataset].num_train


def _seconds_an_example(run: Run, spent: float) -> float:
    """Seconds for one pass over one training example, of a run that took `spent` hours."""
    return 3600 * spent / (run.summary["epochs"] * run.summary["train_examples"])


def costs(runs: Iterable[Run]) -> list[Cost]:
    """The costs of trainings by network, data set, frozen layers, precision and machine."""
    groups: dict[tuple[str, str, str, str, str], list[tuple[Run, float]]] = {}
    for run in runs:
        config = run.config
        if not isinstance(config, RunConfig) or config.dataset not in DATASETS:
            continue
        if (spent := measured.hours(run)) is not None:
            machine = run.machine.get("name", "not recorded")
            key = (*_kind(config), machine)
            groups.setdefault(key, []).append((run, spent))
    known = []
    for key, group in sorted(groups.items()):
        each = [_seconds_an_example(run, spent) for run, spent in group]
        total = sum(spent for _, spent in group)
        whole = DATASETS[key[1]].num_train
        known.append(Cost(*key, len(group), total, statistics.median(each) * whole))
    return known


def rest(name: str, collection: Collection, known: list[Cost]) -> Rest:
    """What is shipped and what is missing of an experiment at the paper's scale, with one seed.

    Args:
        name: of the experiment.
        collection: of the shipped runs.
        known: `costs` of these; the slowest machine of a network counts.

    Raises:
        RequestError: unknown name, or its parents are not there.
    """
    seconds: dict[tuple[str, str, str, str], float] = {}
    for cost in known:
        slowest = seconds.get(_kind(cost), 0.0)
        seconds[_kind(cost)] = max(cost.seconds_an_epoch, slowest)
    shipped, missing, total, unknown = 0, 0, 0.0, 0
    for planned in plan.planned(name, catalogue.SCALES[0], 1):
        if collection.matching_run(planned.config, planned.run_id, MEASURED) is not None:
            shipped += 1
            continue
        missing += 1
        config = planned.config
        each = None
        if isinstance(config, RunConfig):
            each = seconds.get(_kind(config))
        if each is None:
            unknown += 1
        else:
            share = _examples(config) / DATASETS[config.dataset].num_train
            total += each * share * config.epochs / 3600
    return Rest(name, shipped, missing, total, unknown)
