"""The command `python -m rethink_tf.report`: which experiments, what is written where."""

import math
from pathlib import Path

from rethink_tf import console
from rethink_tf.agreement import BEFORE_SEALS
from rethink_tf.config.arguments import Parser
from rethink_tf.console import counted
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments import plan
from rethink_tf.report import derived, drawing, html, measured, table
from rethink_tf.report.collection import MEASURED, MOST_SEEDS, Collection, collect
from rethink_tf.report.sections import build as sections
from rethink_tf.runs import results


def _parser() -> Parser:
    parser = Parser(
        "rethink_tf.report",
        "Tables and figures, the paper's beside ours: Markdown, CSV, PNG, PDF, and report.html, "
        "one page that needs nothing else.",
    )
    names = ", ".join(plan.EXPERIMENTS)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=names)
    parser.add_argument("--all", action="store_true", help="all experiments")
    parser.add_argument("--runs_dir", default="runs", metavar="DIR", help="[runs]")
    parser.add_argument("--out", default="report", metavar="DIR", help="[report]")
    parser.add_argument("--scale", default="paper", metavar="SCALE",
                        help=f"{', '.join(plan.SCALES)} [paper]")  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N",
                        help="0 to N - 1, each expected [those that are there]")  # fmt: skip
    parser.add_argument("--rows", default="*", metavar="PATTERN",
                        help="only these flagfiles, such as mlp_* [all]")  # fmt: skip
    parser.add_argument("--threshold", type=float, default=derived.LOSSES[0], metavar="LOSS",
                        help="online loss that counts as reached [0.05]")  # fmt: skip
    parser.add_argument("--measured", metavar="DIR",
                        help="other runs than the shipped ones; none: without any")  # fmt: skip
    parser.add_argument("--strict", action="store_true",
                        help="exit code 2 where a run is missing, INVALID, damaged, or its files "
                        "do not agree")  # fmt: skip
    return parser


def _names(asked) -> list[str]:
    """The experiments asked for, in the order of the paper."""
    for name in asked.experiments:
        plan.experiment(name)
    if not asked.experiments and not asked.all:
        known = ", ".join(plan.EXPERIMENTS)
        raise RequestError(f"expected --all, or some of {known}; received none")
    return [n for n in plan.EXPERIMENTS if asked.all or n in asked.experiments]


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    asked = _parser().parsed(argv)
    if asked is None:
        return ExitCode.DONE
    names = _names(asked)
    if not (math.isfinite(asked.threshold) and asked.threshold > 0):
        raise RequestError(f"--threshold: expected a loss above 0, received {asked.threshold}")
    plan.require_rows(names, asked.rows)
    shipped = [] if asked.measured == "none" else measured.read(asked.measured)
    if not shipped and asked.measured not in (None, "none"):
        raise RequestError(
            f"--measured={asked.measured}: expected a folder with measured runs (*.jsonl), or none"
        )
    runs = collect(asked.runs_dir, shipped)
    made = [
        sections.build(name, runs, scale=asked.scale, seeds=asked.seeds,
                       threshold=asked.threshold, runs_dir=asked.runs_dir, only=asked.rows)
        for name in names
    ]  # fmt: skip
    top = heading(runs, asked)
    console.say(top)
    _write(Path(asked.out), made, runs, top)
    missing = [f"{s.name}: {words}" for s in made for words in s.gathered.missing]
    missing += [f"{s.name}: {s.gathered.why_none}" for s in made if s.gathered.why_none]
    out = [run for section in made for run in section.gathered.left_out]
    refused = {run.run_id: run for run in out if run.status == results.INVALID}
    for name, why in runs.broken.items():
        console.say(f"cannot be read: {name}: {why}")
    for section in made:
        if section.gathered.why_none:
            console.say(f"{section.name}: {section.caption}")
        for note in section.notes:
            console.say(f"{section.name}: {note}")
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


def heading(runs: Collection, asked) -> str:
    """What a report was made of, in a line."""
    whole = [run for run in runs.runs if run.run_id not in runs.broken]
    own = sum(run.source != MEASURED for run in whole)
    shipped = len(whole) - own
    there = "" if Path(asked.runs_dir).exists() else " (which is not there)"
    words = [f"Scale {asked.scale}. Finished runs in {asked.runs_dir}{there}: {own}"]
    words += [f"unfinished: {len(runs.unfinished)}"] if runs.unfinished else []
    words += [f"cannot be read: {len(runs.broken)}"] if runs.broken else []
    if shipped:
        words.append(f"measured by this project and shipped with it ({table.MARK}): {shipped}")
    if old := sum(run.before_seals for run in whole):
        words.append(f"{BEFORE_SEALS} (of versions that wrote no digests): {old}")
    if asked.seeds is None and (beyond := runs.beyond()):
        words.append(f"of seeds from {MOST_SEEDS} on, in tables with --seeds alone: {beyond}")
    return f"{'; '.join(words)}."


def _write(out: Path, made: list[sections.Section], runs: Collection, top: str) -> None:
    """All files of a report."""
    with results.storage(out):
        out.mkdir(parents=True, exist_ok=True)
    text = [f"# Paper and ours\n\n{top}\n"]
    for section in made:
        text.append(_markdown(section))
        for one in section.tables:
            results.write_atomically(out / f"{one.name}.csv", table.csv_text(one).encode())
        for figure in section.figures:
            for ending, content in drawing.files(figure).items():
                results.write_atomically(out / f"{figure.name}.{ending}", content)
    if runs.broken:
        lines = [f"- {name}: {why}" for name, why in runs.broken.items()]
        text.append("\n".join(["## What cannot be read", "", *lines]) + "\n")
    results.write_atomically(out / "report.md", "\n".join(text).encode())
    page = html.page(made, runs, top)
    results.write_atomically(out / "report.html", page.encode())


def _markdown(section: sections.Section) -> str:
    parts = [f"## {section.gathered.title}", ""]
    if not section.tables and not section.figures:
        parts += [section.caption, ""]
    for note in section.notes:
        parts += [f"**{note}**", ""]
    for figure in section.figures:
        parts += [f"![{figure.title}]({figure.name}.png)", "", f"{figure.title}. {figure.caption}"]
        parts.append("")
    for one in section.tables:
        parts.append(table.markdown(one, level=3))
    return "\n".join(parts)
