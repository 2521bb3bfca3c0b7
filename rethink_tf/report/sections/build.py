"""One section of a report for each experiment: its tables and figures with their notes."""

import dataclasses

from rethink_tf.console import counted
from rethink_tf.experiments import plan
from rethink_tf.report import gather
from rethink_tf.report.collection import MEASURED, Collection
from rethink_tf.report.drawing import Figure
from rethink_tf.report.sections import (
    convergence,
    kernels,
    levels,
    memorisation,
    paper_tables,
    regularising,
    studies,
    theory,
)
from rethink_tf.report.table import Table

BUILDERS = {
    "table1": paper_tables.table1,
    "table2": paper_tables.table2,
    "table3": kernels.table3,
    "table4": paper_tables.table4,
    "figure1a": convergence.figure1a,
    "figure1b": convergence.figure1b,
    "figure1c": convergence.figure1c,
    "figure2a": regularising.figure2a,
    "figure2b": regularising.figure2b,
    "capacity": studies.capacity,
    "regularisation": studies.regularisation,
    "levels": levels.levels,
    "levels_constant": levels.levels,
    "levels_clean_test": levels.levels,
    "transfer": levels.transfer,
    "wrn": studies.wrn,
    "rademacher": theory.rademacher,
    "expressivity": theory.expressivity,
    "implicit": theory.implicit,
    "measures": theory.measures,
    "memorisation": memorisation.memorisation,
    "leave_one_out": memorisation.leave_one_out,
}
# Figures that show the paper's curve even where there is no run.
PAPERS_CURVES = ("figure1a", "figure1b", "figure1c", "figure2a", "figure2b")


@dataclasses.dataclass(frozen=True)
class Section:
    """The section of one experiment.

    Attributes:
        warnings: a line for each run that is left out or not exact.
        missing: which runs are not there, and at which other scale some are.
    """

    gathered: gather.Gathered
    caption: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings and what is missing."""
        return self.warnings + self.missing

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.gathered.name


def build(
    name: str,
    collection: Collection,
    *,
    scale: str,
    seeds: int | None,
    threshold: float,
    runs_dir: str,
    only: str = "*",
) -> Section:
    """The section of one experiment.

    Args:
        name: of the experiment.
        collection: all runs.
        scale, seeds, runs_dir, only: see `gather.gather`.
        threshold: loss that counts as reached, of Figures 1a and 1b.

    Raises:
        RequestError: unknown name, scale or number of seeds.
    """
    gathered = gather.gather(
        name, collection, scale=scale, seeds=seeds, runs_dir=runs_dir, only=only
    )
    tables, figures = BUILDERS[name](gathered, threshold)
    warnings = gather.left_out_runs(gathered) + gather.inexact_runs(gathered)
    missing: list[str] = []
    if gathered.why_none:
        caption = f"No run could be planned: {gathered.why_none}"
        tables = [table for table in tables if table.rows]
        figures = []
    else:
        caption = f"{gather.scale_text(gathered)} {gather.runs_text(gathered)}"
        missing += _missing_runs(gathered)
        if not any(run.source != MEASURED for run in gathered.runs):
            missing += _other_scales(name, collection, scale, runs_dir, only)
    if not gathered.runs and name not in PAPERS_CURVES:
        figures = []
    tables = [dataclasses.replace(one, caption=caption, scale=scale) for one in tables]
    several = _several_seeds(gathered)
    figures = [dataclasses.replace(one, caption=_caption(one, caption, several)) for one in figures]
    return Section(
        gathered, caption, tuple(tables), tuple(figures), tuple(warnings), tuple(missing)
    )


def _caption(figure: Figure, caption: str, several: bool) -> str:
    """The caption of a section before a figure's own, and what it shows of several seeds."""
    text = f"{caption} {figure.caption}".rstrip()
    if not several:
        return text
    return text + (" Bands: one standard deviation over seeds." if figure.bands else " First seed.")


def _several_seeds(gathered: gather.Gathered) -> bool:
    return any(len(row.runs) > 1 for row in gathered.rows)


MOST_NAMED = 12


def _missing_runs(gathered: gather.Gathered) -> list[str]:
    missing = gathered.missing
    if not missing:
        return []
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    named = f"{', '.join(missing[:MOST_NAMED])}{more}"
    return [f"{counted(len(missing), 'run')} {are(len(missing))} missing: {named}."]


def are(number: int) -> str:
    """The verb of so many things."""
    return "is" if number == 1 else "are"


def _other_scales(name, collection, scale, runs_dir, only) -> list[str]:
    """Where the runs of the folder are of another scale, which."""
    lines = []
    for other in plan.SCALES:
        if other != scale:
            there = gather.gather(
                name, collection, scale=other, seeds=1, runs_dir=runs_dir, only=only
            )
            count = sum(run.source != MEASURED for run in there.runs)
            if count:
                where = f"{are(count)} at another scale: --scale={other}"
                lines.append(f"{counted(count, 'run')} {where}.")
    return lines
