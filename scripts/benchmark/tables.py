"""The report of benchmark.py as text: rows of plain values, whose keys are the columns."""

import textwrap

from rethink_tf import console

PARTS = {
    "step": "the pure training step: images/s, share of the matmul peak, what the seals add to it, "
    "the input's share of a step that is fed by tf.data, PyTorch in its fastest setting",
    "loop": "a real run: images/s in training, and their ratio to the pure step; shares of an "
    "epoch of 50,000 images with 10,000 for testing (checkpoint: of the epochs between two); "
    "seconds to the start of training and to the end of the first step; peak memory",
    "input": "ImageNet with random labels: images/s, their ratio to decoding and resizing alone, "
    "cores that feed a GPU of --gpu_rate images/s",
}
SHARES = {"of peak", "seals", "input", "of step", "evaluation", "bookkeeping", "checkpoint"}
SHARES |= {"of decoding"}  # columns that are printed as percentages


def text(column: str, value) -> str:
    """A value as it is printed; a dash for None."""
    if value is None or isinstance(value, str):
        return value or "-"
    if column in SHARES:
        return f"{value:.1%}"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.4g}"


def show(rows: dict[str, list[dict]], left_out: dict[str, dict[str, str]]) -> str:
    """The tables of parts that have rows, then what could not be measured, a line each."""
    lines = []
    for part in filter(rows.get, rows):
        titles = list(rows[part][0])
        cells = [[text(title, row[title]) for title in titles] for row in rows[part]]
        lines += ["", *textwrap.wrap(f"{part}: {PARTS[part]}", 100)]
        lines.append(console.aligned([titles, *cells]))
    for who, reasons in left_out.items():
        lines += [f"left out: {who}: {name}: {why}"[:300] for name, why in reasons.items()]
    return "\n".join(lines)
