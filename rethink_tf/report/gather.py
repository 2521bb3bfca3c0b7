"""Chooses the runs of a table or figure at a scale, and finds which are missing."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.console import counted
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan as experiments
from rethink_tf.report.collection import (
    MEASURED,
    OWN,
    Collection,
    Run,
    differences,
    part_of,
    why_inexact,
)
from rethink_tf.runs import results
from rethink_tf.runs.agreement import BEFORE_SEALS
from rethink_tf.storage import content_hash

MOST_APART = 3  # most differing settings that are named for a run that is in no row


@dataclasses.dataclass(frozen=True)
class RowRuns:
    """One row of an experiment, at one place on its axes.

    Args:
        plan: of its first seed.
        runs: those that are DONE, in the order of their seeds, all from one source.
        left_out: INVALID and DIVERGED ones.
        missing: seeds asked for of which there is no run.
        progress: seed: how far its run is, of those that have begun.
    """

    plan: experiments.Planned
    runs: tuple[Run, ...]
    left_out: tuple[Run, ...]
    missing: tuple[int, ...]
    progress: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def source(self) -> str:
        """The source of its runs; empty if there are none."""
        return self.runs[0].source if self.runs else ""

    @property
    def statuses(self) -> str:
        """Statuses of the seeds that have no number: DIVERGED, or 1 DIVERGED beside others."""
        if not self.runs and len(self.left_out) == 1:
            return self.left_out[0].status
        return counted_statuses(self.left_out)

    @property
    def unlike(self) -> str:
        """The differences of its runs from the row, as text; empty if there are none."""
        counts = Counter(", ".join(differences(self.plan.config, run)) for run in self.runs)
        changed = {text: number for text, number in counts.items() if text}
        if list(changed.values()) == [len(self.runs)]:
            return next(iter(changed))
        return "; ".join(f"{number} {text}" for text, number in sorted(changed.items()))

    def summaries(self, key: str, scale: float = 1.0) -> tuple[float, ...]:
        """A quantity of the summaries of all seeds that have it."""
        values = (run.summary.get(key) for run in self.runs)
        return tuple(scale * v for v in values if v is not None)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """An experiment with its runs."""

    name: str
    title: str
    scale: str
    rows: tuple[RowRuns, ...]
    why_none: str = ""

    @property
    def runs(self) -> list[Run]:
        """The runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    @property
    def left_out(self) -> list[Run]:
        """The runs of all rows that do not count."""
        return [run for row in self.rows for run in row.left_out]

    @property
    def missing(self) -> list[str]:
        """The missing runs with their progress; those that have begun come first."""
        begun, not_begun = [], []
        for row in self.rows:
            for seed in row.missing:
                name = f"{label(row.plan)} seed {seed}"
                if seed in row.progress:
                    begun.append(f"{name} ({row.progress[seed]})")
                else:
                    not_begun.append(name)
        return begun + not_begun


def counted_statuses(runs: Iterable[Run]) -> str:
    """How many runs are of each status: `2 DIVERGED, 1 INVALID`."""
    counts = Counter(run.status for run in runs)
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))


def label(plan: experiments.Planned) -> str:
    """A row and its place on the axes: `mlp_1x512 corrupt=0.5`."""
    return " ".join([plan.row, *(f"{name}={value}" for name, value in plan.axes.items())])


def gather(
    name: str,
    collection: Collection,
    *,
    scale: str,
    seeds: int | None,
    runs_dir: str,
    only: str = "*",
) -> Gathered:
    """An experiment's runs.

    Where the folder has a run of a row, the row is made of the folder's runs alone, else of the
    measured ones.

    Args:
        name: of the experiment.
        collection: all runs.
        scale: paper, cpu or smoke.
        seeds: how many there must be, 0, 1, ...; None: those there are, one at least.
        runs_dir: where parents of transferred runs lie.
        only: pattern of the rows wanted.

    Raises:
        RequestError: unknown name, scale, number of seeds.
    """
    title = experiments.experiment(name).title
    many = 1 if seeds is None else seeds
    try:
        plans = experiments.planned(name, scale, many, runs_dir=runs_dir, only=only)
        if seeds is None:
            many = collection.number_of_seeds(plan.config for plan in plans)
        if many > 1 and seeds is None:
            plans = experiments.planned(name, scale, many, runs_dir=runs_dir, only=only)
    except RequestError as error:
        if str(error).startswith("--"):
            raise
        return Gathered(name, title, scale, (), str(error))
    if not plans:
        return Gathered(name, title, scale, (), f"no row of {name} fits --rows={only}")
    grouped: dict[str, list[experiments.Planned]] = {}
    for plan in plans:
        grouped.setdefault(label(plan), []).append(plan)
    needed = 1 if seeds is None else seeds
    rows = tuple(_row_runs(plans, collection, needed) for plans in grouped.values())
    return Gathered(name, title, scale, rows)


def _row_runs(plans, collection: Collection, needed: int) -> RowRuns:
    for source in (OWN, MEASURED):
        runs = [collection.matching_run(plan.config, plan.run_id, source) for plan in plans]
        there = [run for run in runs if run is not None]
        if there:
            break
    missing = [plan.seed for plan, run in zip(plans, runs, strict=True) if run is None]
    wanted = missing if needed > 1 or not there else []
    return RowRuns(
        plans[0],
        tuple(run for run in there if run.status == results.DONE),
        tuple(run for run in there if run.status != results.DONE),
        tuple(seed for seed in wanted if seed < needed),
        {
            plan.seed: collection.unfinished[plan.run_id].progress
            for plan in plans
            if plan.run_id in collection.unfinished
        },
    )


def in_no_row(made: list[Gathered], collection: Collection) -> str:
    """Names the trainings of the folder that are in none of these rows, and a reason.

    Args:
        made: of the experiments that are reported.
        collection: all runs.

    Returns:
        One line; empty where every training is in a row, and where no row is a training.
    """
    rows = [row for gathered in made for row in gathered.rows]
    shown = {run.run_id for row in rows for run in row.runs + row.left_out}
    trained = [run for run in collection.runs if isinstance(run.config, RunConfig)]
    left = [run for run in trained if run.source == OWN and run.run_id not in shown]
    plans = [row.plan for row in rows if isinstance(row.plan.config, RunConfig)]
    if not left or not plans:
        return ""
    first = left[0]
    plan = min(plans, key=lambda one: len(_settings_apart(one, first)))
    apart = _settings_apart(plan, first) or [f"seed ({first.config.seed})"]
    more = f" and {counted(len(apart) - MOST_APART, 'more setting')}" * (len(apart) > MOST_APART)
    names = ", ".join(sorted({gathered.name for gathered in made}))
    return (
        f"{counted(len(left), 'finished run')} {'is' if len(left) == 1 else 'are'} in no row of "
        f"{names}; {first.run_id} differs from the nearest row, {label(plan)}, in "
        f"{', '.join(apart[:MOST_APART])}{more}"
    )


def _settings_apart(plan: experiments.Planned, run: Run) -> list[str]:
    """In what a run differs from a row, but for the seed: `dataset (digits, not cifar10)`."""
    return [
        f"{name} ({content_hash.brief(its)}, not {content_hash.brief(wanted)})"
        for name in FIELDS
        if name != "seed"
        and (its := getattr(run.config, name)) != (wanted := getattr(plan.config, name))
    ]


def scale_text(gathered: Gathered) -> str:
    """The scale, and what it resolved to, by network or data set where these differ."""
    # Text of a size: the models, data sets and rows with this size.
    groups: dict[str, dict[str, set[Any]]] = {}
    for row in gathered.rows:
        config = row.plan.config
        if isinstance(config, dict) and row.plan.parent is not None:
            config = row.plan.parent.config  # a task on a trained run: the size is that of the run
        # A Rademacher complexity (equation 1) names its network in a field of its own.
        network = experiments.setting(config, "network") or config
        model = experiments.setting(network, "model") or ""
        dataset = experiments.setting(config, "dataset") or ""
        members = {"model": model, "dataset": dataset, "both": (model, dataset)}
        group = groups.setdefault(_size_text(config), {})
        for name, value in (members | {"row": row.plan.row}).items():
            group.setdefault(name, set()).add(value)
    # Name only what differs between the groups.
    by = [
        name
        for name in ("model", "dataset")
        if len({_joined(group[name]) for group in groups.values()}) > 1
    ]
    parts = []
    for size, group in groups.items():
        others = [other for other in groups.values() if other is not group]
        apart = by and all(group["both"].isdisjoint(other["both"]) for other in others)
        whose = ", ".join(_joined(group[name]) for name in by)
        whose = whose if apart else _few(sorted(group["row"]))
        parts.append(f"{whose}: {size}" if others else size)
    return f"Scale {gathered.scale}: {'; '.join(parts)}."


def _size_text(config: Any) -> str:
    """How large a run is: `5,000 examples, 40 epochs, evaluated every 10`."""
    examples, epochs = (experiments.setting(config, n) for n in ("examples", "epochs"))
    size = f"{'all' if examples is None else f'{examples:,}'} examples"
    if settings := experiments.setting(config, "settings"):
        size = ", ".join(f"{name} {_plain(value)}" for name, value in settings.items())
    if epochs is not None:
        size += f", {epochs} epochs"
        if (every := experiments.setting(config, "eval_every") or 1) > 1:
            size += f", evaluated every {every}"
    return size


MOST_ROWS = 4


def _few(rows: list[str]) -> str:
    """Rows by name, or how many there are."""
    return ", ".join(rows) if len(rows) <= MOST_ROWS else f"{len(rows)} rows as {rows[0]}"


def _plain(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def runs_text(gathered: Gathered) -> str:
    """How many runs, of how many seeds, trained where, in words."""
    runs, left_out = gathered.runs, {run.run_id: run for run in gathered.left_out}
    left = f" Left out: {counted_statuses(left_out.values())}." if left_out else ""
    if not runs:
        return f"No run counts.{left}" if left else "No run yet."
    seeds = len({experiments.setting(run.config, "seed") or 0 for run in runs})
    shared = len({run.run_id for run in runs})
    text = f"{counted(shared, 'run')}, {counted(seeds, 'seed')}"
    shipped = len({run.run_id for run in runs if run.source == MEASURED})
    if shipped:
        text += f"; {'all' if shipped == shared else shipped} measured by this project and shipped"
    old = len({run.run_id for run in runs if run.before_seals and run.source == OWN})
    text += f"; {old} {BEFORE_SEALS}" if old else ""
    return f"{text}.{_changes(gathered)}{left}"


def _changes(gathered: Gathered) -> str:
    """How many runs differ from their row in which of the settings that may differ."""
    unlike = {
        (run.run_id, difference)
        for row in gathered.rows
        for run in row.runs
        for difference in differences(row.plan.config, run)
    }
    counts = Counter(difference for _, difference in unlike)
    if not counts:
        return ""
    parts = [f"{counted(number, 'run')} {text}" for text, number in sorted(counts.items())]
    return f" Marked, since they differ from their rows: {', '.join(parts)}."


def inexact_runs(gathered: Gathered) -> list[str]:
    """A line for each run that counts but may differ from an uninterrupted one on all images."""
    lines = []
    for run in gathered.runs:
        if why := why_inexact(run):
            lines.append(f"Not exact: {run.run_id} {why}.")
        if part := part_of(run):
            lines.append(f"Not all images: {run.run_id} was trained on {part}.")
    return list(dict.fromkeys(lines))


def left_out_runs(gathered: Gathered) -> list[str]:
    """A line for each run that is left out, with its reason."""
    lines = (
        f"Left out: {run.run_id} is {run.status}: {run.summary.get('reason')}"
        for run in gathered.left_out
    )
    return list(dict.fromkeys(lines))
