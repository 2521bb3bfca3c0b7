"""The report of benchmark.py: text of at most 100 columns, 111 with --xla=both."""

import textwrap

from benchmark import task
from benchmark.candidates import ROUNDS
from benchmark.runs import EVERY

WIDTH = 100


def table(columns, rows: list[dict]) -> list[str]:
    """Lines of a table with a head; a row that failed says why.

    Args:
        columns: (head, place, format, value): the place is the format of a text, a value is a key
            of the row or a function of it; None is shown as a dash.
        rows: of the report.
    """

    def line(row, cells):
        return f"{row['model']:<16}{row['precision']:<15}{''.join(cells)}".rstrip()

    def cell(row, place, form, value):
        found = value(row) if callable(value) else row.get(value)
        return place.format("-" if found is None else form.format(found))

    heads = [place.format(head) for head, place, _, _ in columns]
    lines = [line({"model": "model", "precision": "precision"}, heads)]
    for row in rows:
        if "failed" in row:
            lines.append(line(row, [" ", row["failed"]])[:WIDTH])
        else:
            lines.append(line(row, [cell(row, *column) for _, *column in columns]))
    return lines


def peaks(rows: list[dict]) -> dict[str, float]:
    """The matmul peak by precision, GFLOP/s: the best of the whole run."""
    found = {}
    for row in rows:
        if "matmul_gflops" in row:
            found[row["precision"]] = max(row["matmul_gflops"], found.get(row["precision"], 0.0))
    return found


def _rate(row):
    return row["ours"][row["default"]]


def step_columns(rows: list[dict], torch: bool) -> list[tuple]:
    """The pure step; with a column for the other way of compiling, or PyTorch, if measured."""
    found = peaks(rows)

    def share(row):
        peak = found.get(row["precision"])
        return _rate(row) * row["flops_per_image"] / 1e9 / peak if peak else None

    def other(row):
        return next((rate for key, rate in row["ours"].items() if key != row["default"]), None)

    def fastest(row):
        return max(row["torch"], key=row["torch"].get, default=None)

    def theirs(row):
        return row["torch"].get(fastest(row))

    def ratio(row):
        return _rate(row) / theirs(row) if row["torch"] else None

    columns = [
        ("GFLOP", "{:>7}", "{:.4f}", lambda row: row["flops_per_image"] / 1e9),
        ("images/s", "{:>9}", "{:,.0f}", _rate),
        ("XLA", "  {:<4}", "{}", lambda row: row["default"].removeprefix("XLA ")),
        ("of peak", "{:>8}", "{:.0%}", share),
    ]
    if any(len(row.get("ours", ())) > 1 for row in rows):
        columns.append(("other XLA", "{:>11}", "{:,.0f}", other))
    if torch:
        columns += [
            ("PyTorch", "{:>9}", "{:,.0f}", theirs),
            ("ratio", "{:>6}", "{:.2f}", ratio),
            ("setting", "  {}", "{}", lambda row: fastest(row) or "left out"),
        ]
    return columns


LOOP = (
    ("examples", "{:>9}", "{:,}", "examples"),
    ("epoch", "{:>8}", "{:,.0f}", "epoch_images_per_second"),
    (
        "of step",
        "{:>9}",
        "{:.1%}",
        lambda row: row["epoch_images_per_second"] / row["step_images_per_second"],
    ),
    ("evaluation", "{:>11}", "{:.1%}", "evaluation_share"),
    ("bookkeeping", "{:>12}", "{:.1%}", "bookkeeping_share"),
    ("start", "{:>6}", "{:.1f}", "start_to_training_seconds"),
    ("+step", "{:>6}", "{:.1f}", "start_to_first_step_seconds"),
    ("MB", "{:>7}", "{:,.0f}", lambda row: row["peak_bytes"] / 1e6),
)
REPLICAS = (
    ("1 replica", "{:>12}", "{:,.0f}", lambda row: row["replicas"]["1"]),
    ("2 replicas", "{:>12}", "{:,.0f}", lambda row: row["replicas"]["2"]),
    ("ratio", "{:>8}", "{:.2f}", lambda row: row["replicas"]["2"] / row["replicas"]["1"]),
)
STREAMED = (
    ("resident", "{:>12}", "{:,.0f}", _rate),
    ("streamed", "{:>12}", "{:,.0f}", "streamed"),
    (
        "ratio",
        "{:>8}",
        "{:.2f}",
        lambda row: _rate(row) / row["streamed"] if "streamed" in row else None,
    ),
)
CHECKPOINT = (
    ("MB", "{:>8}", "{:.1f}", lambda row: row["checkpoint_bytes"] / 1e6),
    ("write", "{:>9}", "{:.3f}", "checkpoint_seconds"),
    ("of epochs", "{:>11}", "{:.2%}", "checkpoint_share"),
    ("restore", "{:>10}", "{:.3f}", "restore_seconds"),
    ("next step", "{:>11}", "{:.1f}", "start_to_next_step_seconds"),
)


def left_out(rows: list[dict]) -> list[str]:
    """Which candidates were not measured, and why: each reason once."""
    reasons = {}
    for row in rows:
        for candidate, reason in row.get("left_out", {}).items():
            reasons.setdefault((candidate, reason), []).append(row["model"])
    return [
        f"left out for {', '.join(dict.fromkeys(models))}: {candidate}: {reason}"[:200]
        for (candidate, reason), models in reasons.items()
    ]


def seals_line(rows: list[dict]) -> str:
    """What the seals of images and the probe cost, as a share of the step without them."""
    found = [f"{r['model']} {r['precision']} {r['seals']:.1%}" for r in rows if "seals" in r]
    return f"Seals, of a step without them: {', '.join(found)}" if found else ""


def show(report: dict) -> str:
    """The whole report as text."""
    facts, options, steps = report["machine"], report["settings"], report["steps"]
    torch, size = facts["torch"], options["input_size"]
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads",
        ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
    ]
    if "step" in options["parts"]:
        peak = ", ".join(f"{k} {v:,.0f} GFLOP/s" for k, v in peaks(steps).items())
        lines.append(f"matmul peak: {peak}")
    sections = {
        "step": (
            f"The pure training step: batch {options['batch_size']}, {size}x{size}x3, best of "
            f"{ROUNDS} x {options['seconds']:g} s; GFLOP of a training image",
            step_columns(steps, torch),
            steps,
        ),
        "loop": (
            "The real loop: images/s of an epoch's training and its ratio to the pure step; "
            "shares of an epoch of 50,000 images with 10,000 for testing; seconds from the start "
            "of the process to training, and to the end of its first step; peak memory of the "
            "process",
            LOOP,
            report["loop"],
        ),
        "replicas": (
            "Replicas: images/s of the pure step, the batch shared by logical devices of this CPU",
            REPLICAS,
            report["replicas"],
        ),
        "streamed": (
            "Data: images/s of the pure step on the resident table, and fed by tf.data",
            STREAMED,
            steps,
        ),
        "checkpoint": (
            "Checkpoints of a real run: size; seconds to write one; their share of the "
            f"{EVERY} epochs between two by default; after a SIGTERM, seconds to restore one, and "
            "from the start of the process to the next step",
            CHECKPOINT,
            report["checkpoint"],
        ),
    }
    for part, (title, columns, rows) in sections.items():
        if part in options["parts"]:
            lines += ["", *textwrap.wrap(title, WIDTH), *table(columns, rows)]
        if part == "step" and part in options["parts"]:
            lines += textwrap.wrap(seals_line(steps), WIDTH)
            if not torch:
                why = "left out" if task.torch_version() else "not installed"
                lines.append(f"PyTorch is {why}: no comparison")
    if reasons := left_out(steps):
        lines += ["", *reasons]
    if report.get("busy_elsewhere", 0) > 0.05:
        lines.append(
            f"\nNOT A QUIET MACHINE: others took {report['busy_elsewhere']:.0%} of its processors, "
            "which hurts PyTorch's\nOpenMP threads far more than TensorFlow's"
        )
    return "\n".join(lines)
