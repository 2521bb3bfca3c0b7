"""The README's tables of what was measured: python -m rethink_tf.report.readme [README.md]

Writes them between `<!-- measured: EXPERIMENT [SCALE] -->` and `<!-- end -->`, of the shipped runs
alone, rows without a run left out.
"""

import dataclasses
import re
import sys
from pathlib import Path

from rethink_tf import console, results
from rethink_tf.arguments import Parser
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import derived, measured, sections, table
from rethink_tf.report.collection import Collection, Run, collect

_BLOCK = re.compile(r"(<!-- measured: (\w+)(?: (\w+))? -->\n)(.*?)(<!-- end -->)", re.S)


def block(name: str, scale: str, runs: Collection) -> str:
    """The tables of one experiment in Markdown; empty where nothing was measured."""
    section = sections.build(
        name, runs, scale=scale, seeds=None, threshold=derived.LOSSES[0], runs_dir="runs"
    )
    parts = []
    for one in section.tables:
        rows = tuple(
            dataclasses.replace(row, source="", labels=_linked(row))
            for row in one.rows
            if row.run_ids
        )
        if rows:
            kept = dataclasses.replace(one, rows=rows)
            lines = table.rows_markdown(table.heads(kept), table.texts(kept), len(kept.labels))
            parts += ["\n".join([f"{one.title}. {section.caption}", "", *lines]), *one.notes]
    return "".join(f"\n{part}\n" for part in parts) + "\n" * bool(parts)


def _linked(row: table.Row) -> tuple[str | table.Link, ...]:
    return (table.Link(row.labels[0], row.flagfile), *row.labels[1:])


def rewritten(text: str, runs: list[Run]) -> str:
    """A README with its blocks made anew.

    Raises:
        RequestError: a block names no experiment or scale.
    """
    found = collect(None, runs)

    def made(match):
        opening, name, scale, _, closing = match.groups()
        return opening + block(name, scale or "paper", found) + closing

    return _BLOCK.sub(made, text)


def main(argv: list[str]) -> int:
    """The command."""
    parser = Parser("rethink_tf.report.readme", "Writes the README's tables of measured runs.")
    parser.add_argument("file", nargs="?", default="README.md", metavar="FILE", help="[README.md]")
    asked = parser.parsed(argv)
    if asked is None:
        return ExitCode.DONE
    path = Path(asked.file)
    if not path.is_file():
        raise RequestError(f"{path}: expected a Markdown file with measured blocks; there is none")
    with results.storage(path):
        text = path.read_text()
    count = len(_BLOCK.findall(text))
    results.write_atomically(path, rewritten(text, measured.read()).encode())
    console.say(f"{path}: {console.counted(count, 'block')}")
    return ExitCode.DONE


if __name__ == "__main__":
    from rethink_tf.main import guarded

    sys.exit(guarded(main, sys.argv[1:]))
