"""The report of benchmark.py: text of at most 100 columns, 111 with --xla=both."""

import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmark import task
from benchmark.candidates import ROUNDS
from benchmark.runs import EVERY

WIDTH = 100


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        head: its title.
        align: alignment and width, as a format has them; to the left it begins with two spaces.
        form: the format of a value.
        value: of a row; None is shown as a dash.
    """

    head: str
    align: str
    form: str
    value: Callable[[dict], Any]

    def cell(self, text: str) -> str:
        """A text in its place."""
        return ("  " if self.align.startswith("<") else "") + format(text, self.align)

    def shown(self, row: dict) -> str:
        """The value of a row in its place."""
        value = self.value(row)
        return self.cell("-" if value is None else format(value, self.form))


def table(columns: list[Column], rows: list[dict]) -> list[str]:
    """Lines of a table with a head; a row that failed says why."""

    def line(model, precision, rest):
        return f"{model:<16}{precision:<15}{rest}".rstrip()

    lines = [line("model", "precision", "".join(c.cell(c.head) for c in columns))]
    for row in rows:
        who = row["model"], row["precision"]
        if "failed" in row:
            lines.append(line(*who, f" {row['failed']}")[:WIDTH])
        else:
            lines.append(line(*who, "".join(c.shown(row) for c in columns)))
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


def step_columns(rows: list[dict], torch: bool) -> list[Column]:
    """The pure step; with a column for the other way of compiling, or PyTorch, if measured."""
    found = peaks(rows)

    def share(row):
        peak = found.get(row["precision"])
        return _rate(row) * row["flops_per_image"] / 1e9 / peak if peak else None

    def fastest(row):
        return max(row["torch"], key=row["torch"].get, default=None)

    def theirs(row):
        return row["torch"].get(fastest(row))

    def other(row):
        return next((v for k, v in row["ours"].items() if k != row["default"]), None)

    columns = [
        Column("GFLOP", ">7", ".4f", lambda row: row["flops_per_image"] / 1e9),
        Column("images/s", ">9", ",.0f", _rate),
        Column("XLA", "<4", "", lambda row: row["default"].removeprefix("XLA ")),
        Column("of peak", ">8", ".0%", share),
    ]
    if any(len(row.get("ours", ())) > 1 for row in rows):
        columns.append(Column("other XLA", ">11", ",.0f", other))
    if torch:
        columns += [
            Column("PyTorch", ">9", ",.0f", theirs),
            Column(
                "ratio", ">6", ".2f", lambda row: row["torch"] and _rate(row) / theirs(row) or None
            ),
            Column("setting", "<1", "", lambda row: fastest(row) or "left out"),
        ]
    return columns


LOOP = [
    Column("examples", ">9", ",", lambda row: row["examples"]),
    Column("epoch", ">8", ",.0f", lambda row: row["epoch_images_per_second"]),
    Column("of step", ">9", ".1%",
           lambda row: row["epoch_images_per_second"] / row["step_images_per_second"]),
    Column("evaluation", ">11", ".1%", lambda row: row["evaluation_share"]),
    Column("bookkeeping", ">12", ".1%", lambda row: row["bookkeeping_share"]),
    Column("start", ">6", ".1f", lambda row: row["start_to_training_seconds"]),
    Column("+step", ">6", ".1f", lambda row: row["start_to_first_step_seconds"]),
    Column("MB", ">7", ",.0f", lambda row: row["peak_bytes"] / 1e6),
]  # fmt: skip
REPLICAS = [
    Column("1 replica", ">12", ",.0f", lambda row: row["replicas"]["1"]),
    Column("2 replicas", ">12", ",.0f", lambda row: row["replicas"]["2"]),
    Column("ratio", ">8", ".2f", lambda row: row["replicas"]["2"] / row["replicas"]["1"]),
]
STREAMED = [
    Column("resident", ">12", ",.0f", _rate),
    Column("streamed", ">12", ",.0f", lambda row: row.get("streamed")),
    Column("ratio", ">8", ".2f",
           lambda row: _rate(row) / row["streamed"] if "streamed" in row else None),
]  # fmt: skip
CHECKPOINT = [
    Column("MB", ">8", ".1f", lambda row: row["checkpoint_bytes"] / 1e6),
    Column("write", ">9", ".3f", lambda row: row["checkpoint_seconds"]),
    Column("of epochs", ">11", ".2%", lambda row: row["checkpoint_share"]),
    Column("restore", ">10", ".3f", lambda row: row["restore_seconds"]),
    Column("next step", ">11", ".1f", lambda row: row["start_to_next_step_seconds"]),
]


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
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads",
        ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
    ]
    if "step" in options["parts"]:
        peak = ", ".join(f"{k} {v:,.0f} GFLOP/s" for k, v in peaks(steps).items())
        lines.append(f"matmul peak: {peak}")

    def part(name, title, columns, rows):
        if name in options["parts"]:
            lines.extend(["", *textwrap.wrap(title, WIDTH), *table(columns, rows)])

    part(
        "step",
        f"The pure training step: batch {options['batch_size']}, {options['input_size']}x"
        f"{options['input_size']}x3, best of {ROUNDS} x {options['seconds']:g} s; GFLOP of a "
        "training image",
        step_columns(steps, facts["torch"]),
        steps,
    )
    if "step" in options["parts"] or "streamed" in options["parts"]:
        lines += left_out(steps)
    if "step" in options["parts"]:
        lines += textwrap.wrap(seals_line(steps), WIDTH)
        if not facts["torch"]:
            why = "left out" if task.torch_version() else "not installed"
            lines.append(f"PyTorch is {why}: no comparison")
    part(
        "loop",
        "The real loop: images/s of an epoch's training and its ratio to the pure step; shares of "
        "an epoch of 50,000 images with 10,000 for testing; seconds from the start of the process "
        "to training, and to the end of its first step; peak memory of the process",
        LOOP,
        report["loop"],
    )
    part(
        "replicas",
        "Replicas: images/s of the pure step, the batch shared by logical devices of this CPU",
        REPLICAS,
        report["replicas"],
    )
    part(
        "streamed",
        "Data: images/s of the pure step on the resident table, and fed by tf.data",
        STREAMED,
        steps,
    )
    part(
        "checkpoint",
        "Checkpoints of a real run: size; seconds to write one; their share of the "
        f"{EVERY} epochs between two by default; after a SIGTERM, seconds to restore one, and from "
        "the start of the process to the next step",
        CHECKPOINT,
        report["checkpoint"],
    )
    if report.get("busy_elsewhere", 0) > 0.05:
        lines.append(
            f"\nNOT A QUIET MACHINE: others took {report['busy_elsewhere']:.0%} of its processors, "
            "which hurts PyTorch's\nOpenMP threads far more than TensorFlow's"
        )
    return "\n".join(lines)
