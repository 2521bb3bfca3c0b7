"""The pages of reference: commands, settings, the keys of a run's files, public names."""

import contextlib
import dataclasses
import inspect
import io
import os
import types
import typing
import unittest.mock
from collections.abc import Mapping

import rethink_tf
from docs_pages.markdown import NOT_EDITED, markdown_table
from rethink_tf.cli import app
from rethink_tf.config import flags, run_config
from rethink_tf.runs import schema

HELP_COLUMNS = 98


RECORDS = {
    "config.json": schema.ConfigRecord,
    "history.jsonl": schema.HistoryLine,
    "summary.json": schema.Summary,
}


def help_text(command: str) -> str:
    """What a command prints for --help.

    Raises:
        RuntimeError: it failed, or printed nothing.
    """
    printed = io.StringIO()
    # Text may be wrapped to the width of the terminal.
    with unittest.mock.patch.dict(os.environ, {"COLUMNS": str(HELP_COLUMNS)}):
        with contextlib.redirect_stdout(printed):
            code = app.main([command, "--help"])
    if code or not printed.getvalue().strip():
        raise RuntimeError(f"rethink-tf {command} --help: exit code {int(code)}")
    return printed.getvalue().rstrip()


def commands_page() -> str:
    """The help text of every command, by group."""
    lines = []
    for group, commands in app.GROUPS.items():
        lines += [f"## {group}", ""]
        for name, command in commands.items():
            summary = f"{command.summary[0].upper()}{command.summary[1:]}."
            lines += [f"### {name}", "", summary, "", "```text", help_text(name), "```", ""]
    return NOT_EDITED + "\n".join(lines)


def _values(meta) -> str:
    """Which values a field takes, in words."""
    kinds = {
        int: "whole number",
        float: "number",
        bool: "true or false",
        str: "text",
        "epochs": "epochs, separated by commas",
        "optional": "text, or nothing",
    }
    if meta["choices"]:
        return ", ".join(f"`{choice}`" for choice in meta["choices"])
    kind, low, high = kinds[meta["kind"]], meta["low"], meta["high"]
    if low is None or meta["kind"] not in (int, float):
        return kind
    lower = f"{'>' if 'low' in meta['open_ends'] else '≥'} {low:g}"
    if high is None:
        return f"{kind} {lower}"
    upper = f"{'<' if 'high' in meta['open_ends'] else '≤'} {high:,}"
    return f"{kind} {lower}, {upper}"


def _default(field: dataclasses.Field) -> str:
    if field.metadata["by"]:
        words = field.metadata["by"]
        return f"resolved: {words}" if field.name in run_config.FIELDS else words
    if field.default is None:
        return "none"
    shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"`{shown}`"


def configuration_page() -> str:
    """The fields of RunConfig and the options of a run, a table for each group."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    options = {field.name: field for field in dataclasses.fields(flags.Options)}
    for name, field in (run_config.FIELDS | options).items():
        meta = field.metadata
        what = meta["help"].partition(" [")[0].rstrip(".")
        row = (f"`{name}`", _values(meta), _default(field), f"{what[0].upper()}{what[1:]}.")
        groups.setdefault(meta["group"], []).append(row)
    lines = []
    for group, rows in groups.items():
        lines += [f"## {group}", ""]
        lines += markdown_table(("field", "values", "default", "what it is"), rows, 4)
        lines += [""]
    return NOT_EDITED + "\n".join(lines)


def _kind_in_words(kind) -> str:
    """A type of a record as JSON has it."""
    if isinstance(kind, types.UnionType):
        parts = typing.get_args(kind)
        words = [_kind_in_words(part) for part in parts if part is not types.NoneType]
        return ", ".join([*words, "null"] if types.NoneType in parts else words)
    known = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return "list" if typing.get_origin(kind) is list else known.get(kind, "object")


def files_page() -> str:
    """The keys of a run's JSON files, a table for each file."""
    lines = []
    for name, record in RECORDS.items():
        rows = [
            (f"`{key}`", _kind_in_words(kind), f"{meaning[0].upper()}{meaning[1:]}.")
            for key, kind, meaning in schema.described(record)
        ]
        lines += [f"## `{name}`", "", record.__doc__, ""]
        lines += [*markdown_table(("key", "value", "meaning"), rows, 3), ""]
    return NOT_EDITED + "\n".join(lines)


def api_page() -> str:
    """Directives for all public names."""
    lines = []
    for name in rethink_tf.__all__:
        if name.startswith("_"):
            continue
        found = getattr(rethink_tf, name)
        if inspect.ismodule(found):
            lines += [f"## {name}", "", "```{eval-rst}", f".. automodule:: {found.__name__}"]
            lines += ["   :members:", "```", ""]
            continue
        if isinstance(found, Mapping):
            kind = type(next(iter(found.values()))).__name__
            keys = ", ".join(f"`{key}`" for key in found)
            lines += [f"## {name}", "", f"A mapping of names to `{kind}`: {keys}.", ""]
            continue
        directive = "autoclass" if inspect.isclass(found) else "autofunction"
        lines += [f"## {name}", "", "```{eval-rst}", f".. {directive}:: rethink_tf.{name}"]
        lines += ["   :no-members:"] if directive == "autoclass" else []
        lines += ["```", ""]
    return NOT_EDITED + "\n".join(lines)
