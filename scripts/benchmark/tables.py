"""The report of benchmark.py as text: rows of plain values, whose keys are the columns."""

import textwrap

# Columns that are shares, printed as percentages; a column not named here is a number or a text.
SHARES = ("of peak", "seals", "input", "of step", "evaluation", "bookkeeping", "checkpoint")
SHARES += ("of decoding",)
TITLES = {
    "step": "The pure training step: images/s, share of the matmul peak, what the seals add to a "
    "step without them, the input's share of a step that is fed by tf.data, PyTorch in its fastest "
    "setting",
    "loop": "The real loop: images/s of an epoch's training, and their ratio to the pure step; "
    "shares of an epoch of 50,000 images with 10,000 for testing (of a checkpoint: of the epochs "
    "between two); seconds from the start of the process to training and to the end of its first "
    "step; peak memory of the process",
    "input": "The input of ImageNet with random labels: images/s, their ratio to decoding and "
    "resizing alone, cores that feed a GPU of --gpu_rate images/s",
}


def text(column: str, value) -> str:
    """A value as it is printed; a dash for None."""
    if value is None or isinstance(value, str):
        return value or "-"
    if column in SHARES:
        return f"{value:.1%}"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.4g}"


def table(title: str, rows: list[dict]) -> list[str]:
    """Lines of a table with its title; columns that all rows have, the first two to the left."""
    columns = list(rows[0])
    cells = [columns, *([text(column, row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return ["", *textwrap.wrap(title, 100), *(line.rstrip() for line in lines)]


def show(rows: dict[str, list[dict]], left_out: dict[str, dict[str, str]]) -> str:
    """All tables that have rows, then what could not be measured, a line each."""
    lines = [line for part in rows if rows[part] for line in table(TITLES[part], rows[part])]
    for who, reasons in left_out.items():
        lines += [f"left out: {who}: {name}: {why}"[:200] for name, why in reasons.items()]
    return "\n".join(lines)
