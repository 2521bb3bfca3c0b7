"""The pages of results: tables, figures and hours of the runs that are shipped."""

import dataclasses
import re
from pathlib import Path

from docs_pages.markdown import NOT_EDITED, markdown_table, unbroken, wide
from rethink_tf.config import run_config
from rethink_tf.errors import RequestError
from rethink_tf.experiments import catalogue, plan
from rethink_tf.report import derived, drawing, hours, measured, table
from rethink_tf.report.collection import Collection, Run, collect
from rethink_tf.report.sections import build as sections

RESULTS = Path("results/generated")


def measured_sections(name: str, found: Collection) -> list[sections.Section]:
    """The sections of an experiment, the largest scale first: those that have runs of their own."""
    made = [
        sections.build(
            name, found, scale=scale, seeds=None, threshold=derived.LOSSES[0], runs_dir="runs"
        )
        for scale in catalogue.SCALES
    ]
    kept, shown = [], set()
    for one in made:
        runs = {run.run_id for run in one.gathered.runs}
        if runs - shown:
            kept.append(one)
            shown |= runs
    return kept


def page_name(section: sections.Section) -> str:
    """Of the page: the experiment, and its scale where that is not the paper's."""
    scale = section.gathered.scale
    return section.name if scale == catalogue.SCALES[0] else f"{section.name}_{scale}"


def _measured_rows(one: table.Table) -> table.Table:
    """The table without its rows that have no run; all of them are shipped, so none is marked."""
    rows = tuple(dataclasses.replace(row, source="") for row in one.rows if row.run_ids)
    rows = tuple(
        dataclasses.replace(
            row, cells={k: dataclasses.replace(c, marked=False) for k, c in row.cells.items()}
        )
        for row in rows
    )
    return dataclasses.replace(one, rows=rows)


def _table(one: table.Table) -> list[str]:
    kept = _measured_rows(one)
    if not kept.rows:
        return []
    lines = [
        f"## {one.title}",
        "",
        one.caption,
        "",
        *wide(
            unbroken(table.rows_markdown(table.heads(kept), table.texts(kept), len(kept.labels)))
        ),
    ]
    for note in one.notes:
        lines += [note, ""]
    return lines


def _figure(one: drawing.Figure) -> list[str]:
    """The figure itself, in the colours of the page."""
    return [
        f"## {one.title}",
        "",
        "```{raw} html",
        f'<figure class="drawn">{drawing.svg(one)}</figure>',
        "```",
        "",
        one.caption,
        "",
    ]


def _hours(run: Run) -> str:
    """Of training; of a task that is not a training, of all that it records."""
    seconds = run.machine.get("train_seconds")
    spent = seconds / 3600 if seconds else run.machine.get("hours")
    return f"{spent:.2f}" if spent else "not recorded"


def _runs(section: sections.Section) -> list[str]:
    """A row for each run: what trains it, how long it took, and where."""
    plans = {run.run_id: f.plan for f in section.gathered.rows for run in f.runs}
    rows = []
    for run in section.gathered.runs:
        planned = plans[run.run_id]
        axes = " ".join(f"`--{name}={value}`" for name, value in planned.axes.items())
        folder = next(
            path.parent.name for path in plan.rows(section.name) if path.stem == planned.row
        )
        rows.append(
            (
                f"`flags/{folder}/{planned.row}.flags`",
                axes or "–",
                str(plan.setting(run.config, "seed") or 0),
                f"`{run.run_id}`",
                _hours(run),
                run.machine.get("name", "not recorded"),
                f"{run.summary['audit_passed']} of {run.summary['audit_checks']}",
            )
        )
    runs = section.gathered.runs
    kind = "hours of training" if any(run.history() for run in runs) else "hours"
    if any(run.summary.get("solutions") for run in runs):
        kind = "hours of solving"  # the features are not among what such a run records
    titles = ("flagfile", "axis", "seed", "run id", kind, "machine", "audit passed")
    return [
        "## Runs",
        "",
        *wide(markdown_table(titles, rows, len(titles))),
    ]


def _headline(name: str) -> str:
    """The title of an experiment, after the paper's number where it has one."""
    title = catalogue.EXPERIMENTS[name].title
    numbered = re.fullmatch(r"(table|figure)(\d\w?)", name)
    return f"{numbered[1].capitalize()} {numbered[2]}: {title}" if numbered else title


def results_page(section: sections.Section) -> str:
    """The page of one experiment in MyST."""
    gathered = section.gathered
    seeds = max(len(row.runs) for row in gathered.rows)
    scale = gathered.scale
    at = "" if scale == catalogue.SCALES[0] else f" (scale {scale})"
    lines = [f"# {_headline(section.name)}{at}", ""]
    lines += [
        "To train and to report it:",
        "",
        "```",
        f"rethink-tf sweep {section.name} --scale={gathered.scale} --seeds={seeds}",
        f"rethink-tf report {section.name} --scale={gathered.scale} --seeds={seeds}",
        "```",
        "",
    ]
    for one in section.tables:
        lines += _table(one)
    for figure in section.figures:
        lines += _figure(figure)
    lines += _runs(section)
    if missing := gathered.missing:
        count = len(missing)
        lines += [
            f"{count} more {'run belongs' if count == 1 else 'runs belong'} to this experiment at "
            "this scale and "
            f"{'is' if count == 1 else 'are'} not shipped. "
            f"`rethink-tf sweep {section.name} --scale={gathered.scale} --dry_run` lists "
            f"{'it' if count == 1 else 'them'}.",
            "",
        ]
    return NOT_EDITED + "\n".join(lines)


def results_overview(found: dict[str, list[sections.Section]]) -> str:
    """A table of all experiments: what is shipped of each."""
    rows = []
    for name, made in found.items():
        title = catalogue.EXPERIMENTS[name].title
        if not made:
            rows.append((f"`{name}`", title, "–", "–"))
        for section in made:
            link = f"[{name}](generated/{page_name(section)}.md)"
            rows.append((link, title, section.gathered.scale, str(len(section.gathered.runs))))
    titles = ("experiment", "what it shows", "scale", "runs shipped")
    lines = wide(markdown_table(titles, rows, 3))
    lines += [
        "",
        "[Hours and machines](generated/hours.md): what these runs took, and what is missing.",
    ]
    return NOT_EDITED + "\n".join(lines) + "\n"


def other_runs_page(runs: list[Run]) -> str:
    """The page of shipped runs that belong to no table or figure."""
    rows = []
    for run in runs:
        usual = run_config.resolve(
            run_config.RunConfig(model=run.config.model, dataset=run.config.dataset)
        )
        settings = ", ".join(
            f"`--{name}={getattr(run.config, name)}`"
            for name in run_config.FIELDS
            if getattr(run.config, name) != getattr(usual, name)
        )
        figures = [f"{100 * run.summary[key]:.2f}" for key in ("train_accuracy", "test_accuracy")]
        rows.append(
            (
                f"`{run.run_id}`",
                f"`{run.config.model}` on `{run.config.dataset}`",
                settings,
                f"{run.summary['loss']:.4f}",
                *figures,
                f"{measured.hours(run):.2f}",
                run.machine["name"],
            )
        )
    titles = (
        "run id",
        "network",
        "other than default",
        "loss",
        "train (%)",
        "test (%)",
        "hours",
        "machine",
    )
    lines = ["# Other runs", "", "Shipped runs that are no row of a table or figure.", ""]
    lines += wide(markdown_table(titles, rows, 3))
    return NOT_EDITED + "\n".join(lines)


def hours_page(shipped: Collection) -> str:
    """What the shipped runs took, by network and machine, and what the rest would take."""
    known = hours.costs(shipped.runs)
    spent = [
        (
            f"`{cost.model}`" + ("" if cost.freeze == "none" else ", last layer only"),
            f"`{cost.dataset}`",
            cost.precision,
            cost.machine,
            str(cost.runs),
            f"{cost.seconds_an_epoch:.1f}",
            f"{cost.hours:.2f}",
        )
        for cost in known
    ]
    titles = ("network", "data set", "precision", "machine", "runs", "seconds an epoch", "hours")
    lines = ["# Hours and machines", "", "## What was spent", ""]
    lines += wide(markdown_table(titles, spent, 4))
    lines += [
        "Seconds an epoch are the median over the runs. Some of these machines did other work at "
        "the same time. The first runs recorded training alone, the later ones training and "
        "evaluation. Runs of the last layer alone did not record the time of the features that it "
        "is trained on.",
        "",
        "## What is missing, at the paper's scale and with one seed",
        "",
    ]
    rows = []
    for name, experiment in catalogue.EXPERIMENTS.items():
        try:
            rest = hours.rest(name, shipped, known)
        except RequestError as error:
            rows.append((f"`{name}`", experiment.title, "–", "–", "–", str(error)))
            continue
        counted = rest.missing - rest.unknown
        estimate = f"{rest.hours:.1f} for {counted}" if counted else "–"
        rows.append(
            (
                f"`{name}`",
                experiment.title,
                str(rest.shipped),
                str(rest.missing),
                estimate,
                str(rest.unknown or "–"),
            )
        )
    titles = (
        "experiment",
        "what it shows",
        "runs shipped",
        "runs missing",
        "estimated hours",
        "runs of networks not measured yet",
    )
    lines += wide(markdown_table(titles, rows, 2))
    lines += [
        "An estimate is epochs times the seconds an epoch of the same network on the same data "
        "set, on the slowest machine above. It is not a measurement.",
        "",
    ]
    return NOT_EDITED + "\n".join(lines)


def results_pages() -> dict[Path, str]:
    """All pages of results, by path below docs/."""
    shipped = collect(None, measured.read())
    found = {name: measured_sections(name, shipped) for name in catalogue.EXPERIMENTS}
    pages = {RESULTS / "overview.txt": results_overview(found)}
    for made in found.values():
        for section in made:
            pages[RESULTS / f"{page_name(section)}.md"] = results_page(section)
    placed = {
        run.run_id
        for made in found.values()
        for section in made
        for each in section.gathered.rows
        for run in each.runs
    }
    pages[RESULTS / "hours.md"] = hours_page(shipped)
    others = [run for run in shipped.runs if run.run_id not in placed]
    if others:
        pages[RESULTS / "other_runs.md"] = other_runs_page(others)
    return pages
