"""The command `rethink-tf report`: which experiments, what is written where."""

import dataclasses
from pathlib import Path

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.console import counted
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments import plan
from rethink_tf.printable import markdown, printable
from rethink_tf.report import derived, drawing, gather, html, measured, parallel, table
from rethink_tf.report.collection import MEASURED, MOST_SEEDS, Collection, collect
from rethink_tf.report.sections import build as sections
from rethink_tf.runs import results
from rethink_tf.runs.agreement import BEFORE_SEALS
from rethink_tf.storage import files

_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is reported, of which runs, and where to."""

    all: bool = fields.field(False, bool, "all experiments", group=_GROUP)
    runs_dir: str = fields.field("runs", str, "folder of the runs", group=_GROUP)
    out: str = fields.field("report", str, "folder of the report", group=_GROUP)
    scale: str = fields.field(
        "paper",
        str,
        "size of the runs: epochs, examples and evaluations",
        group=_GROUP,
        choices=plan.SCALES,
    )
    seeds: int | None = fields.field(
        None,
        int,
        "use seeds 0 to N - 1; a missing seed counts as a missing run",
        group=_GROUP,
        low=1,
        high=1000,
        by="all seeds that were run",
    )
    rows: str = fields.field(
        "*",
        str,
        "use only the flagfiles that match this pattern, such as mlp_*",
        group=_GROUP,
        by="all",
    )
    threshold: float = fields.field(
        derived.LOSSES[0],
        float,
        "running loss at which a run counts as converged (Figures 1a and 1b)",
        group=_GROUP,
        low=0.0,
        high=1e9,
        open_ends="low",
    )
    measured: str | None = fields.field(
        None,
        str,
        "folder of measured runs to use in place of the shipped ones; none: use no such runs",
        group=_GROUP,
        by="the shipped ones",
    )
    strict: bool = fields.field(
        False,
        bool,
        "exit code 2 if a run is missing, INVALID, damaged, or has files that do not agree",
        group=_GROUP,
    )


LINE = CommandLine(
    "rethink-tf report",
    "Writes tables and figures with the paper's numbers beside ours: Markdown, CSV, PNG, PDF, and "
    "report.html, a page that needs no other file.",
    (Flags,),
    positionals="[EXPERIMENT ...]",
    positionals_help=f"EXPERIMENT: {', '.join(plan.EXPERIMENTS)}",
)


def _names(words: tuple[str, ...], asked: Flags) -> list[str]:
    """The experiments asked for, in the order of the paper."""
    for name in words:
        _refuse_run(name, asked)
        plan.experiment(name)
    if not words and not asked.all:
        known = ", ".join(plan.EXPERIMENTS)
        raise RequestError(f"expected --all, or some of {known}; received none")
    return [n for n in plan.EXPERIMENTS if asked.all or n in words]


def _refuse_run(name: str, asked: Flags) -> None:
    """Refuses a run in place of an experiment, with the commands that show runs."""
    if name in plan.EXPERIMENTS or results.find_folder(name, asked.runs_dir) is None:
        return
    more = "" if asked.runs_dir == "runs" else f" --runs_dir={asked.runs_dir}"
    raise RequestError(
        f"{name}: expected an experiment such as table1, received a run; type rethink-tf show "
        f"{name}{more} for its curves, or rethink-tf examples {name}{more} for its examples"
    )


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, _report)


def _report(parsed: Parsed) -> int:
    asked = parsed[Flags]
    names = _names(parsed.positionals, asked)
    plan.require_rows(names, asked.rows, asked.scale)
    files.require_writable_folder(Path(asked.out))
    shipped = [] if asked.measured == "none" else measured.read(asked.measured)
    if not shipped and asked.measured not in (None, "none"):
        raise RequestError(
            f"--measured={asked.measured}: expected a folder with measured runs (*.jsonl), or none"
        )
    runs = collect(asked.runs_dir, shipped)
    made = [
        sections.build(
            name,
            runs,
            scale=asked.scale,
            seeds=asked.seeds,
            threshold=asked.threshold,
            runs_dir=asked.runs_dir,
            only=asked.rows,
        )
        for name in names
    ]
    top = heading(runs, asked, asked.runs_dir)
    console.say(top)
    # The page may be shared, so it does not show where the runs are on this machine.
    shown = heading(runs, asked, Path(asked.runs_dir).resolve().name)
    _write(Path(asked.out), made, runs, top, shown)
    missing = [f"{s.name}: {reason}" for s in made for reason in s.gathered.missing]
    missing += [f"{s.name}: {s.gathered.why_none}" for s in made if s.gathered.why_none]
    out = [run for section in made for run in section.gathered.left_out]
    refused = {run.run_id: run for run in out if run.status == results.INVALID}
    for name, why in runs.broken.items():
        console.say(f"cannot be read: {printable(name)}: {printable(why)}")
    for section in made:
        if section.gathered.why_none:
            console.say(f"{section.name}: {printable(section.caption)}")
        for note in section.notes:
            console.say(f"{section.name}: {printable(note)}")
    if unused := gather.in_no_row([section.gathered for section in made], runs):
        console.say(printable(unused))
    console.say(str(Path(asked.out) / "report.html"))
    if asked.strict and (missing or refused or runs.broken):
        invalid = [f"{run_id} is INVALID: {r.summary['reason']}" for run_id, r in refused.items()]
        first = (missing + invalid + [f"{n}: {why}" for n, why in runs.broken.items()])[0]
        raise RequestError(
            f"--strict: {counted(len(missing), 'run')} {sections.are(len(missing))} missing, "
            + (f"{len(refused)} INVALID, " if refused else "")
            + f"{len(runs.broken)} cannot be read, the first: {first}"
        )
    return ExitCode.DONE


def heading(runs: Collection, asked: Flags, folder: str) -> str:
    """What a report was made of, in a line; `folder` is what the folder of the runs is called."""
    whole = runs.whole
    own = sum(run.source != MEASURED for run in whole)
    shipped = len(whole) - own
    there = "" if Path(asked.runs_dir).exists() else " (which does not exist)"
    paragraphs = [f"Scale {asked.scale}. Finished runs in {folder}{there}: {own}"]
    paragraphs += [f"unfinished: {len(runs.unfinished)}"] if runs.unfinished else []
    paragraphs += [f"cannot be read: {len(runs.broken)}"] if runs.broken else []
    if shipped:
        paragraphs.append(f"measured by this project and shipped with it ({table.MARK}): {shipped}")
    if old := sum(run.before_seals for run in whole):
        paragraphs.append(f"{counted(old, 'record')} {BEFORE_SEALS}, so fewer checks were possible")
    if asked.seeds is None and (beyond := runs.beyond()):
        paragraphs.append(f"seeds of {MOST_SEEDS} or more, in tables only with --seeds: {beyond}")
    return f"{'; '.join(paragraphs)}."


def _write(out: Path, made: list[sections.Section], runs: Collection, top: str, shown: str) -> None:
    """All files of a report; `top` is its heading, `shown` that of the page."""
    with files.storage(out):
        out.mkdir(parents=True, exist_ok=True)
    text = [f"# Paper and ours\n\n{markdown(top)}\n"]
    figures = [figure for section in made for figure in section.figures]
    svgs = {}
    for figure, (drawn, svg) in zip(figures, parallel.mapped(_drawn, figures), strict=True):
        svgs[figure.name] = svg
        for ending, content in drawn.items():
            files.write_atomically(out / f"{figure.name}.{ending}", content)
    for section in made:
        text.append(_markdown(section))
        for one in section.tables:
            files.write_atomically(out / f"{one.name}.csv", table.csv_text(one).encode())
    if runs.broken:
        lines = [f"- {markdown(name)}: {markdown(why)}" for name, why in runs.broken.items()]
        text.append("\n".join(["## What cannot be read", "", *lines]) + "\n")
    files.write_atomically(out / "report.md", "\n".join(text).encode())
    page = html.page(made, runs, shown, svgs)
    files.write_atomically(out / "report.html", page.encode())


def _drawn(figure: drawing.Figure) -> tuple[dict[str, bytes], str]:
    """A figure's files, and as the page shows it."""
    return drawing.files(figure), drawing.svg(figure)


def _markdown(section: sections.Section) -> str:
    parts = [f"## {markdown(section.gathered.title)}", ""]
    if not section.tables and not section.figures:
        parts += [markdown(section.caption), ""]
    for note in section.notes:
        parts += [f"**{markdown(note)}**", ""]
    for figure in section.figures:
        title = markdown(figure.title)
        parts += [f"![{title}]({figure.name}.png)", "", f"{title}. {markdown(figure.caption)}"]
        parts.append("")
    for one in section.tables:
        parts.append(table.markdown(one, level=3))
    return "\n".join(parts)
