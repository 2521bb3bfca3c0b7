"""A table `paper | ours (mean ± std, n) | difference` and its forms: Markdown, CSV, HTML cells."""

import csv
import dataclasses
import io
from collections.abc import Sequence

from rethink_tf.printable import markdown as marked
from rethink_tf.report import derived

DASH = "–"
MARK = "†"  # on numbers of shipped runs
MARK_NOTE = f"{MARK} measured by this project and shipped with it, not in your folder."


@dataclasses.dataclass(frozen=True)
class Cell:
    """One quantity of a row.

    Args:
        values: ours, one for each seed; None where that run did not reach what is counted.
        paper: the paper's number, or its words, or None.
        shown: decimals.
        left_out: statuses of the seeds that are not in `values`: INVALID, 2 DIVERGED.
        marked: whether it is of shipped runs where the row's `source` does not say so.
        unlike: differences of its runs from the row: mixed_bfloat16, evaluated every 10 epochs.
    """

    values: tuple[float | None, ...] = ()
    paper: float | str | None = None
    shown: int = 2
    left_out: str = ""
    marked: bool = False
    unlike: str = ""

    @property
    def known(self) -> tuple[float, ...]:
        """The values without None."""
        return tuple(v for v in self.values if v is not None)

    def paper_text(self) -> str:
        """The paper's value as text."""
        if self.paper is None or isinstance(self.paper, str):
            return self.paper or DASH
        return f"{self.paper:.{self.shown}f}"

    def ours_text(self) -> str:
        """Our values as text."""
        missed = len(self.values) - len(self.known)
        if not self.values:
            return self.left_out or DASH
        left = "".join(f"; {text}" for text in (self.left_out, self.unlike) if text)
        if not self.known:
            return f"not reached (n = {missed}{left})" if left else "not reached"
        text = f"{derived.mean(self.known):.{self.shown}f}".replace("-", "−")
        spread = derived.std(self.known)
        if spread is not None:
            text += f" ± {spread:.{self.shown}f}"
        if missed:
            return f"{text} ({len(self.known)} of {len(self.values)} reached it{left})"
        return f"{text} (n = {len(self.known)}{left})"

    def difference(self) -> float | None:
        """Ours less the paper's, where both are numbers and every seed has one."""
        if not isinstance(self.paper, (int, float)) or None in self.values or not self.values:
            return None
        return derived.mean(self.known) - self.paper

    def difference_text(self) -> str:
        """The difference as text."""
        difference = self.difference()
        if difference is None:
            return DASH
        return f"{difference:+.{self.shown}f}".replace("-", "−")


@dataclasses.dataclass(frozen=True)
class Row:
    """Labels and cells by column, and what they are made of.

    `source` is OWN, MEASURED or empty where nothing was found; `flagfile` trains the row.
    """

    labels: tuple["str | Link", ...]
    cells: dict[str, Cell]
    source: str = ""
    run_ids: tuple[str, ...] = ()
    flagfile: str = ""

    @property
    def marked(self) -> bool:
        """Whether it is of runs that were shipped with the project."""
        return self.source == "measured"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with its caption and its notes."""

    name: str
    title: str
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    scale: str = ""
    notes: tuple[str, ...] = ()

    @property
    def quantities(self) -> list[str]:
        """The columns behind the labels, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cells))

    def compared(self, quantity: str) -> bool:
        """Whether the paper has a value of a quantity."""
        return any(
            row.cells[quantity].paper is not None for row in self.rows if quantity in row.cells
        )


def heads(table: Table) -> list[str]:
    """The titles of the columns."""
    titles = list(table.labels)
    for name in table.quantities:
        if table.compared(name):
            titles += [f"{name}: paper", "ours", "difference"]
        else:
            titles.append(name)
    return titles


def texts(table: Table) -> list[list["str | Link"]]:
    """The cells of each row as text."""
    lines = []
    for row in table.rows:
        line = list(row.labels)
        for name in table.quantities:
            line += cell_texts(table, row, name)
        lines.append(line)
    return lines


def cell_texts(table: Table, row: Row, quantity: str) -> list[str]:
    """A quantity of a row as text: paper, ours, difference; ours alone where the paper has none."""
    cell = row.cells.get(quantity, Cell())
    ours = cell.ours_text() + (f" {MARK}" if (row.marked or cell.marked) and cell.values else "")
    if table.compared(quantity):
        return [cell.paper_text(), ours, cell.difference_text()]
    return [ours]


def has_marks(table: Table) -> bool:
    """Whether a number of the table is of shipped runs."""
    return any(row.marked or any(c.marked for c in row.cells.values()) for row in table.rows)


def footnotes(table: Table) -> list[str]:
    """All notes below a table."""
    return [*table.notes, MARK_NOTE] if has_marks(table) else list(table.notes)


def markdown(table: Table, level: int) -> str:
    """The table with its title, caption and notes."""
    parts = [f"{'#' * level} {marked(table.title)}", "", marked(table.caption), ""]
    parts += rows_markdown(heads(table), texts(table), len(table.labels))
    for note in footnotes(table):
        parts += ["", marked(note)]
    return "\n".join(parts) + "\n"


def rows_markdown(
    titles: Sequence[str], lines: Sequence[Sequence["str | Link"]], left: int
) -> list[str]:
    """The lines of a Markdown table; all but the first `left` columns to the right.

    Cells are text that is shown as it is; a `Link` is one.
    """
    rule = ["---" if number < left else "---:" for number in range(len(titles))]
    cells = [[_cell(c) for c in line] for line in (titles, *lines)]
    return [f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:])]


@dataclasses.dataclass(frozen=True)
class Link:
    """A cell of Markdown that leads to a file of this project."""

    text: str
    path: str


def _cell(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f"[{marked(cell.text)}]({cell.path})"
    return " ".join(marked(cell).split())


def csv_text(table: Table) -> str:
    """One line for each row and quantity, numbers in full; empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = (
        "quantity",
        "paper",
        "mean",
        "std",
        "n",
        "reached",
        "note",
        "difference",
        "scale",
        "source",
        "runs",
    )
    writer.writerow([*table.labels, *columns])
    for row in table.rows:
        for name, cell in row.cells.items():
            known = cell.known
            none = "" if cell.values else cell.left_out
            values = [
                name,
                cell.paper,
                derived.mean(known) if known else none,
                derived.std(known) if known else None,
                len(cell.values),
                len(known),
                _joined(cell.left_out, cell.unlike if cell.values else ""),
                cell.difference(),
                table.scale,
                row.source,
                " ".join(row.run_ids),
            ]
            writer.writerow([*row.labels, *(_number(v) for v in values)])
    return out.getvalue()


def _joined(*texts: str) -> str | None:
    return "; ".join(filter(None, texts)) or None


def _number(value) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)
