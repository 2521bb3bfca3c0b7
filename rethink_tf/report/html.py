"""The report as one page that needs nothing else: no request leaves it."""

import html
import importlib.resources
import json
from collections.abc import Sequence

from rethink_tf.printable import printable
from rethink_tf.report import listing, table
from rethink_tf.report.collection import Collection
from rethink_tf.report.drawing import svg
from rethink_tf.report.sections.build import Section

# Whatever slipped in, a browser would fetch nothing for it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def _text(value) -> str:
    return html.escape(printable(value), quote=True)


def _file(name: str) -> str:
    return (importlib.resources.files("rethink_tf.report") / "page" / name).read_text()


def table_html(one: table.Table) -> str:
    """A table; numbers to the right, and the runs of each row linked to their curves."""
    groups, heads = [], []
    for name in one.labels:
        groups.append("<th></th>")
        heads.append(f"<th>{_text(name)}</th>")
    for name in one.quantities:
        compared = one.compared(name)
        groups.append(f'<th class="quantity" colspan="{3 if compared else 1}">{_text(name)}</th>')
        titles = ("paper", "ours", "difference") if compared else ("ours",)
        for place, title in enumerate(titles):
            heads.append(f'<th class="number{"" if place else " first"}">{title}</th>')
    linked = any(row.run_ids for row in one.rows)
    if linked:
        groups.append("<th></th>")
        heads.append("<th>runs</th>")
    lines, starts = [], _starts(one)
    for row, cells in zip(one.rows, table.texts(one), strict=True):
        found = []
        for place, cell in enumerate(cells):
            kind = "number first" if place in starts else "number"
            kind = kind if place >= len(one.labels) else ""
            found.append(f'<td class="{kind}">{_text(cell)}</td>')
        if linked:
            links = (f'<a href="#run-{_text(run)}">{n}</a>' for n, run in enumerate(row.run_ids, 1))
            found.append(f"<td>{' '.join(links)}</td>")
        lines.append(f"<tr>{''.join(found)}</tr>")
    notes = "".join(f'<p class="note">{_text(n)}</p>' for n in table.footnotes(one))
    return (
        f'<h3>{_text(one.title)}</h3><p class="caption">{_text(one.caption)}</p>'
        f'<div class="scroll"><table id="table-{_text(one.name)}"><thead>'
        f'<tr class="groups">{"".join(groups)}</tr><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{notes}"
    )


def _starts(one: table.Table) -> set[int]:
    """The places of the first column of each quantity."""
    places, place = set(), len(one.labels)
    for name in one.quantities:
        places.add(place)
        place += 3 if one.compared(name) else 1
    return places


def _section(section: Section) -> str:
    parts = [
        f'<section id="{_text(section.name)}"><h2>{_text(section.gathered.title)}</h2>',
    ]
    if not section.tables and not section.figures:
        parts.append(f'<p class="caption">{_text(section.caption)}</p>')
    parts += [f'<p class="note warning">{_text(note)}</p>' for note in section.notes]
    for figure in section.figures:
        parts.append(
            f'<figure id="figure-{_text(figure.name)}"><div class="scroll">{svg(figure)}</div>'
            f"<figcaption>{_text(figure.title)}. {_text(figure.caption)}</figcaption></figure>"
        )
    parts += [table_html(one) for one in section.tables]
    return "".join(parts) + "</section>"


def _data(collection: Collection, sections: Sequence[Section]) -> dict:
    of: dict[str, list[str]] = {}
    for section in sections:
        for run in [*section.gathered.runs, *section.gathered.left_out]:
            if section.name not in of.setdefault(run.run_id, []):
                of[run.run_id].append(section.name)
    return {
        "runs": listing.listed(collection, of),
        "columns": [dict(zip(("key", "title", "kind"), c, strict=True)) for c in listing.COLUMNS],
        "charts": listing.CHARTS,
    }


def _filters(lines) -> str:
    parts = ['<input id="search" type="search" placeholder="Search runs" aria-label="Search runs">']
    for key in listing.FILTERS:
        titles = {k: t for k, t, _ in listing.COLUMNS} | {"experiment": "experiment"}
        options = "".join(
            f'<option value="{_text(v)}">{_text(v)}</option>' for v in listing.choices(lines, key)
        )
        title = _text(titles[key])
        parts.append(
            f'<select name="{key}" aria-label="{title}"><option value="">{title}: all</option>'
            f"{options}</select>"
        )
    return "".join(parts)


def page(sections: Sequence[Section], collection: Collection, heading: str) -> str:
    """The whole page.

    Args:
        sections: in the order in which they stand.
        collection: all runs, also those that no section uses.
        heading: a line below the title: scale and folder.
    """
    data = _data(collection, sections)
    links = "".join(f'<a href="#{_text(s.name)}">{_text(s.name)}</a>' for s in sections)
    broken = "".join(
        f'<p class="note warning">{_text(name)} cannot be read: {_text(why)}</p>'
        for name, why in collection.broken.items()
    )
    shown = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>rethink_tf: paper and ours</title><style>{_file('page.css')}</style></head><body>"
        f'<h1>Paper and ours</h1><p class="caption">{_text(heading)}</p>'
        f'<nav>{links}<a href="#all">all runs</a></nav>{"".join(map(_section, sections))}'
        f'<section id="all"><h2>All runs</h2>{broken}<div class="filters">{_filters(data["runs"])}'
        '<span id="count" class="note"></span></div><div id="panel" hidden></div>'
        '<div class="scroll"><table id="runs"><thead></thead><tbody></tbody></table></div>'
        f'</section><script type="application/json" id="data">{shown}</script>'
        f"<script>{_file('page.js')}</script></body></html>\n"
    )
