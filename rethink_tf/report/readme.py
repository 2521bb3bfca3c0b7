"""The README's tables of shipped runs: rethink-tf readme-tables [README.md]

Writes them between `<!-- measured: EXPERIMENT [SCALE] -->` and `<!-- end -->`, of the shipped runs
alone, rows without a run left out.
"""

import dataclasses
import re

from rethink_tf.report import derived, table
from rethink_tf.report.collection import Collection, Run, collect
from rethink_tf.report.sections import build as sections

NBSP = "\N{NO-BREAK SPACE}"  # keeps numbers together in narrow columns
BLOCK = re.compile(r"(<!-- measured: (\w+)(?: (\w+))? -->\n)(.*?)(<!-- end -->)", re.S)


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
            kept, equal = _narrow(dataclasses.replace(one, rows=rows))
            lines = table.rows_markdown(table.heads(kept), table.texts(kept), len(kept.labels))
            lines = [line.replace("(n = ", f"(n{NBSP}={NBSP}") for line in lines]
            parts += ["\n".join([f"{one.title}. {section.caption}{equal}", "", *lines]), *one.notes]
    return "".join(f"\n{part}\n" for part in parts) + "\n" * bool(parts)


def _narrow(one: table.Table) -> tuple[table.Table, str]:
    """The table without the number of parameters and without labels that are equal in all rows.

    A README's page is narrow.

    Returns:
        The table, and a sentence with the equal labels; empty if there are none.
    """
    if len(one.rows) < 2:
        return one, ""
    values = [{row.labels[n] for row in one.rows} for n in range(len(one.labels))]
    equal = [n for n in range(1, len(values)) if len(values[n]) == 1]
    kept = [n for n, name in enumerate(one.labels) if n not in equal and name != "parameters"]
    rows = tuple(
        dataclasses.replace(row, labels=tuple(row.labels[n] for n in kept)) for row in one.rows
    )
    named = ", ".join(f"{one.labels[n]} {one.rows[0].labels[n]}" for n in equal)
    sentence = f" In all rows: {named}." if equal else ""
    return dataclasses.replace(one, labels=tuple(one.labels[n] for n in kept), rows=rows), sentence


def _linked(row: table.Row) -> tuple[str | table.Link, ...]:
    first = row.labels[0]
    if not row.flagfile:  # computed from several rows
        return row.labels
    text = first if isinstance(first, str) else first.text
    return (table.Link(text, row.flagfile), *row.labels[1:])


def rewritten(text: str, runs: list[Run]) -> str:
    """A README with its blocks made anew.

    Raises:
        RequestError: a block names no experiment or scale.
    """
    collection = collect(None, runs)

    def made(match):
        opening, name, scale, _, closing = match.groups()
        return opening + block(name, scale or "paper", collection) + closing

    return BLOCK.sub(made, text)
