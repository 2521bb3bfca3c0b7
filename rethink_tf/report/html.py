"""The report as one self-contained page, which loads nothing from outside."""

import base64
import gzip
import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rethink_tf.console import counted
from rethink_tf.printable import printable
from rethink_tf.report import listing, table
from rethink_tf.report.collection import Collection
from rethink_tf.report.drawing import Figure
from rethink_tf.report.sections.build import Section

MOST_LINKS, FEW_LINKS = 20, 5  # links to the runs of a row; so few are kept on one line
PARTS = ("paper", "ours", "difference")
MOST_COLUMNS = 16  # for which a page 1,200 pixels wide has room
NBSP = "\N{NO-BREAK SPACE}"
# The browser then loads nothing from outside, whatever the page contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def _text(value) -> str:
    return html.escape(printable(value), quote=True)


def _file(name: str) -> str:
    return (importlib.resources.files("rethink_tf.report") / "page" / name).read_text()


def table_html(one: table.Table, *, fold_empty: bool = True) -> str:
    """A table; numbers to the right, and the runs of each row linked to their curves.

    Rows without a number of ours are folded into one line; a row whose runs are INVALID or DIVERGED
    stays. If a table would be wider than a page, its differences are only in its CSV file. On a
    narrow screen each row becomes a block: its labels, then a line for each quantity. A table
    without rows is empty text.

    Args:
        one: the table.
        fold_empty: whether a table in which no row has a number is folded as a whole. If not, all
            its rows are shown.
    """
    if not one.rows:
        return ""
    linked = any(row.run_ids for row in one.rows)
    parts = PARTS if len(table.heads(one)) <= MOST_COLUMNS else PARTS[:2]
    measured = [row for row in one.rows if _has_result(row)]
    empty = [row for row in one.rows if not _has_result(row)]
    if not measured and not fold_empty:
        measured, empty = empty, []
    lines = [*one.notes]
    lines += [] if parts == PARTS else [f"Differences are in {one.name}.csv."]
    notes = "".join(f'<p class="note">{_text(line)}</p>' for line in lines)
    shown = _rows(one, measured or empty, parts, linked)
    folded = _folded(one, empty, parts, linked) if measured and empty else ""
    body = (
        f'<div class="scroll"><table class="result" id="table-{_text(one.name)}"><thead>'
        f"{_heads(one, parts, linked)}</thead><tbody>{shown}</tbody>{folded}</table></div>{notes}"
    )
    title = _text(one.title)
    if measured:
        return f"<h3>{title}</h3>{body}"
    count = counted(len(empty), "row")
    summary = f"<summary>{title}: {count} without a result</summary>"
    return f'<details class="note">{summary}{body}</details>'


def _has_result(row: table.Row) -> bool:
    """Whether a row has a run, a number of ours, or a word on why it has none."""
    cells = row.cells.values()
    return bool(row.run_ids) or any(cell.values or cell.left_out for cell in cells)


def _rows(one: table.Table, rows: Sequence[table.Row], parts: Sequence[str], linked: bool) -> str:
    return "".join(_row(one, row, parts, linked) for row in rows)


def _folded(one: table.Table, rows: Sequence[table.Row], parts: Sequence[str], linked: bool) -> str:
    """A line that unfolds rows."""
    columns = len(one.labels) + linked
    columns += sum(len(parts) if one.compared(name) else 1 for name in one.quantities)
    return (
        f'<tbody class="fold"><tr><td colspan="{columns}"><button type="button" '
        f'aria-expanded="false">{counted(len(rows), "row")} without a result</button></td></tr>'
        f'</tbody><tbody class="empty" hidden>{_rows(one, rows, parts, linked)}</tbody>'
    )


def _heads(one: table.Table, parts: Sequence[str], linked: bool) -> str:
    """The two lines of titles: of the quantities, and of paper, ours and difference below."""
    groups, heads = [], []
    for name in one.labels:
        groups.append("<th></th>")
        heads.append(f"<th>{_text(name)}</th>")
    for name in one.quantities:
        titles = parts if one.compared(name) else ("ours",)
        groups.append(f'<th class="quantity" colspan="{len(titles)}">{_text(name)}</th>')
        for place, title in enumerate(titles):
            heads.append(f'<th class="number{"" if place else " first"}">{title}</th>')
    if linked:
        groups.append("<th></th>")
        heads.append("<th>runs</th>")
    return f'<tr class="groups">{"".join(groups)}</tr><tr>{"".join(heads)}</tr>'


def _row(one: table.Table, row: table.Row, parts: Sequence[str], linked: bool) -> str:
    """A line of a table. Cells of the class `narrow` are for narrow screens alone.

    There the first one stands for all labels, and one before each quantity is its name.
    """
    labels = [_text(getattr(label, "text", label)) for label in row.labels]
    named = [f"{_text(name)} {text}" for name, text in zip(one.labels, labels, strict=True)]
    together = ", ".join([f"<strong>{labels[0]}</strong>", *named[1:]])
    cells = [f'<td class="narrow together">{together}</td>']
    cells += [f'<td class="label">{text}</td>' for text in labels]
    top = " top"  # of the first quantity with a number of the paper, which has titles above it
    for name in one.quantities:
        texts = table.cell_texts(one, row, name)[: len(parts)]
        none = " none" if set(texts) == {table.DASH} else ""
        kinds = parts if one.compared(name) else ("alone",)
        cells.append(f'<td class="narrow name {kinds[0]}{none}">{_text(name)}</td>')
        for place, (kind, text) in enumerate(zip(kinds, texts, strict=True)):
            classes = f"number {kind}{'' if place else ' first'}{none or top}"
            cells.append(f'<td class="{classes}">{_number(text)}</td>')
        if one.compared(name) and not none:
            top = ""
    if linked:
        links = [f'<a href="#run-{_text(run)}">{n}</a>' for n, run in enumerate(row.run_ids, 1)]
        more = len(links) - MOST_LINKS
        shown = " ".join(links[:MOST_LINKS]) + (f" and {more} more" if more > 0 else "")
        kind = "links" if len(links) > FEW_LINKS else "few"
        cells.append(f'<td class="runs {kind}{"" if links else " none"}">{shown}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _number(text: str) -> str:
    """A cell that does not break within a number, its deviation and its number of seeds."""
    for part in (" ± ", "n = ", f" {table.MARK}"):
        text = text.replace(part, part.replace(" ", NBSP))
    return _text(text)


def _figure(figure: Figure, svg: str, caption: str) -> str:
    """A figure; of its caption only what `caption`, above all of the section, does not say."""
    name, title = _text(figure.name), _text(figure.title)
    own = figure.caption.removeprefix(caption).strip()
    return (
        f'<figure id="figure-{name}"><div class="drawing">{svg}</div>'
        f"<figcaption>{title}. {_text(own)}</figcaption></figure>"
    )


def _section(section: Section, svgs: Mapping[str, str], *, measured: bool) -> str:
    """The section of one experiment.

    Args:
        section: tables, figures and notes.
        svgs: the drawing of each figure by its name.
        measured: whether there is a run of it.
    """
    parts = [
        f'<section id="{_text(section.name)}"><h2>{_text(section.gathered.title)}</h2>',
        f'<p class="caption">{_text(section.caption)}</p>',
    ]
    parts += [f'<p class="note warning">{_text(line)}</p>' for line in section.warnings]
    parts += [_figure(one, svgs[one.name], section.caption) for one in section.figures]
    parts += [table_html(one, fold_empty=measured) for one in section.tables]
    if any(table.has_marks(one) for one in section.tables):
        parts.append(f'<p class="note">{table.MARK_NOTE}</p>')
    for line in section.missing:
        short, colon, names = line.partition(": ")
        parts.append(
            f'<details class="note"><summary>{_text(short)}</summary>{_text(names)}</details>'
            if colon
            else f'<p class="note">{_text(line)}</p>'
        )
    return "".join(parts) + "</section>"


def _experiments(sections: Sequence[Section]) -> dict[str, list[str]]:
    """Run id: names of the experiments that it is part of."""
    names: dict[str, list[str]] = {}
    for section in sections:
        for run in [*section.gathered.runs, *section.gathered.left_out]:
            if section.name not in names.setdefault(run.run_id, []):
                names[run.run_id].append(section.name)
    return names


def _filters(lines) -> str:
    parts = ['<input id="search" type="search" placeholder="Search runs" aria-label="Search runs">']
    titles = {key: title for key, title, _ in listing.COLUMNS} | {"experiment": "experiment"}
    for key in listing.FILTERS:
        options = "".join(
            f'<option value="{_text(v)}">{_text(v)}</option>' for v in listing.choices(lines, key)
        )
        title = _text(titles[key])
        parts.append(
            f'<select name="{key}" aria-label="{title}"><option value="">{title}: all</option>'
            f"{options}</select>"
        )
    return "".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _compressed(value: Any) -> str:
    """JSON, compressed, as text: most curves are never looked at."""
    content = json.dumps(value, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _running(collection: Collection) -> str:
    """A line for what is being trained, since the report of a sweep shows what is there so far."""
    running = {name: run for name, run in collection.unfinished.items() if run.running}
    if not running:
        return ""
    links = ", ".join(
        f'<a href="#run-{_text(listing.own_name(name, collection))}">{_text(name)}</a> '
        f"({_text(run.progress.partition(',')[0])})"
        for name, run in running.items()
    )
    return f'<p class="note">In training now: {links}.</p>'


def _unmeasured(sections: Sequence[Section], svgs: Mapping[str, str]) -> str:
    """All experiments of which there is no run, behind one line."""
    if not sections:
        return ""
    names = ", ".join(section.name for section in sections)
    return (
        f'<details id="unmeasured"><summary>Not measured yet: {_text(names)}</summary>'
        f"{''.join(_section(one, svgs, measured=False) for one in sections)}</details>"
    )


def page(
    sections: Sequence[Section], collection: Collection, heading: str, svgs: Mapping[str, str]
) -> str:
    """The whole page: what was measured, then all runs, then what was not.

    Args:
        sections: in the order of the paper.
        collection: all runs, also those that no section uses.
        heading: a line below the title: scale and numbers of runs.
        svgs: the drawing of each figure by its name (`drawing.svg`).
    """
    measured = [each for each in sections if each.gathered.runs or each.gathered.left_out]
    rest = [section for section in sections if section not in measured]
    lines = listing.listed(collection, _experiments(sections))
    data = {
        "runs": listing.by_column(lines),
        "columns": [dict(zip(("key", "title", "kind"), c, strict=True)) for c in listing.COLUMNS],
        "hidden": listing.IN_PANEL,
        "charts": listing.CHARTS,
    }
    links = "".join(f'<a href="#{_text(s.name)}">{_text(s.name)}</a>' for s in measured)
    links += '<a href="#all">all runs</a>'
    links += '<a href="#unmeasured">not measured yet</a>' if rest else ""
    broken = "".join(
        f'<p class="note warning">{_text(name)} cannot be read: {_text(why)}</p>'
        for name, why in collection.broken.items()
    )
    return document(
        "rethink_tf: paper and ours",
        f'<h1>Paper and ours</h1><p class="caption">{_text(heading)}</p>{_running(collection)}'
        f"<nav>{links}</nav>{''.join(_section(one, svgs, measured=True) for one in measured)}"
        f'<section id="all"><h2>All runs</h2>{broken}<div class="filters">{_filters(lines)}'
        '<span id="count" class="note"></span></div><div id="panel" hidden></div>'
        '<div class="scroll"><table id="runs"><thead></thead><tbody></tbody></table></div>'
        f'<button type="button" id="more" hidden></button></section>{_unmeasured(rest, svgs)}'
        '<dialog id="large"></dialog>'
        f'<script type="application/json" id="data">{_json(data)}</script>'
        f'<script type="text/plain" id="histories">{_compressed(listing.curves(collection))}'
        f"</script><script>{_file('page.js')}</script>",
    )


def document(title: str, body: str) -> str:
    """A page in the look of the report.

    Args:
        title: text.
        body: HTML, escaped by the caller.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{_file('page.css')}</style></head><body>"
        f"{body}</body></html>\n"
    )
