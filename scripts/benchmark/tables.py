"""The report of benchmark.py as text: rows of plain values, whose keys are the columns."""

import textwrap

# Columns that are shares, printed as percentages; a column not named here is a number or a text.
SHARES = ("of peak", "seals", "input", "of step", "evaluation", "bookkeeping", "checkpoint")
TITLES = {
    "step": "The pure training step: images/s, share of the matmul peak, what the seals add to a "
    "step without them, the input's share of a step that is fed by tf.data, PyTorch in its fastest "
    "setting",
    "loop": "The real loop: images/s of an epoch's training, and their ratio to the pure step; "
    "shares of an epoch of 50,000 images with 10,000 for testing (of a checkpoint: of the epochs "
    "between two); seconds from the start of the process to training and to the end of its first "
    "step; peak memory of the process",
}


def text(column: str, value) -> str:
    """A value as it is printed; a dash for None."""
    if value is None or isinstance(value, str):
        return value or "-"
    if column in SHARES:
        return f"{value:.1%}"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.4g}"


def table(rows: list[dict]) -> list[str]:
    """Lines of a table with a head; a row that failed says why, in the columns of the others."""
    columns = max((list(row) for row in rows if "failed" not in row), key=len, default=[])
    columns = [c for c in columns or ["model", "precision"] if c != "left out"]
    cells = [[text(c, row.get(c)) for c in columns] for row in rows if "failed" not in row]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(values):
        padded = zip(values, widths, range(len(columns)), strict=True)
        return "  ".join(v.ljust(w) if n < 2 else v.rjust(w) for v, w, n in padded).rstrip()

    left = iter(cells)
    return [line(columns)] + [
        f"{row['model']} {row['precision']}: {row['failed']}"
        if "failed" in row
        else line(next(left))
        for row in rows
    ]


def left_out(rows: list[dict]) -> list[str]:
    """Which candidates were not measured, and why: each reason once."""
    reasons = {}
    for row in rows:
        for candidate, reason in row.get("left out", {}).items():
            reasons.setdefault((candidate, reason), []).append(row["model"])
    return [
        f"left out for {', '.join(dict.fromkeys(models))}: {candidate}: {reason}"[:200]
        for (candidate, reason), models in reasons.items()
    ]


def show(report: dict) -> str:
    """The whole report as text."""
    facts, settings = report["machine"], report["settings"]
    lines = [
        f"{', '.join(facts['devices'])} ({facts['cpu']}, {facts['cores']} cores, "
        f"{settings['threads']} threads), load average {facts['load']:.1f} before",
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        f"batch {settings['batch_size']}, images {settings['input_size']}x{settings['input_size']}",
    ]
    for part, title in TITLES.items():
        if part in settings["parts"]:
            lines += ["", *textwrap.wrap(title, 100), *table(report[part])]
    return "\n".join([*lines, *left_out(report["step"])])
