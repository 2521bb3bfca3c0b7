"""The tables of benchmark.py: text of at most 100 columns, 111 with --xla=both."""

import textwrap

import benchmark_twins
from benchmark_resume import EVERY
from benchmark_step import ROUNDS


def peaks(rows: list[dict]) -> dict[str, float]:
    """The matmul peak by precision, GFLOP/s: the best of the whole run."""
    found = {}
    for row in rows:
        if "matmul_gflops" in row:
            found[row["precision"]] = max(row["matmul_gflops"], found.get(row["precision"], 0.0))
    return found


def step_table(rows: list[dict], torch: bool) -> list[str]:
    """The lines of the report on the pure step."""
    head = f"{'model':<16}{'precision':<15}{'GFLOP':>7}{'images/s':>9}  {'XLA':<4}{'of peak':>8}"
    head += f"{'other XLA':>11}" if any(len(r.get("ours", ())) > 1 for r in rows) else ""
    lines = [head + (f"{'PyTorch':>9}{'ratio':>6}  setting" if torch else "")]
    for row in rows:
        if "failed" in row:
            lines.append(f"{row['model']:<16}{row['precision']:<15} {row['failed']}"[:100])
            continue
        ours, gflop = row["ours"][row["default"]], row["flops_per_image"] / 1e9
        peak = peaks(rows).get(row["precision"])
        share = f"{ours * gflop / peak:8.0%}" if peak else f"{'-':>8}"
        text = f"{row['model']:<16}{row['precision']:<15}{gflop:7.4f}{ours:9,.0f}"
        text += f"  {row['default'].removeprefix('XLA '):<4}{share}"
        text += "".join(f"{v:11,.0f}" for k, v in row["ours"].items() if k != row["default"])
        if torch and row["torch"]:
            setting, rate = max(row["torch"].items(), key=lambda item: item[1])
            text += f"{rate:9,.0f}{ours / rate:6.2f}  {setting}"
        elif torch:
            text += f"{'-':>9}{'-':>6}  left out"
        lines.append(text)
    return lines + left_out(rows)


def seals_line(rows: list[dict]) -> str:
    """What the seals of images and the probe cost, as a share of the step without them."""
    found = [f"{r['model']} {r['precision']} {r['seals']:.1%}" for r in rows if "seals" in r]
    return f"Seals, of a step without them: {', '.join(found)}" if found else ""


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


def _table(head: str, rows: list[dict], cells) -> list[str]:
    """Lines of `cells(row)` below a head; a row that failed says why."""
    lines = [f"{'model':<16}{'precision':<15}{head}"]
    for row in rows:
        text = cells(row) if "failed" not in row else f" {row['failed']}"
        lines.append(f"{row['model']:<16}{row['precision']:<15}{text}"[:100])
    return lines


def loop_table(rows: list[dict]) -> list[str]:
    """The lines of the report on the real training loop."""

    def cells(row):
        share = row["epoch_images_per_second"] / row["step_images_per_second"]
        return (
            f"{row['examples']:9,}{row['epoch_images_per_second']:8,.0f}{share:9.1%}"
            f"{row['evaluation_share']:11.1%}{row['bookkeeping_share']:12.1%}"
            f"{row['start_to_training_seconds']:6.1f}{row['start_to_first_step_seconds']:6.1f}"
            f"{row['peak_bytes'] / 1e6:7,.0f}"
        )

    head = f"{'examples':>9}{'epoch':>8}{'of step':>9}{'evaluation':>11}{'bookkeeping':>12}"
    return _table(f"{head}{'start':>6}{'+step':>6}{'MB':>7}", rows, cells)


def replicas_table(rows: list[dict]) -> list[str]:
    """The lines of the report on replicas."""

    def cells(row):
        one, two = row["replicas"]["1"], row["replicas"]["2"]
        return f"{one:12,.0f}{two:12,.0f}{two / one:8.2f}"

    return _table(f"{'1 replica':>12}{'2 replicas':>12}{'ratio':>8}", rows, cells)


def streamed_table(rows: list[dict]) -> list[str]:
    """The lines of the report on resident and streamed data."""

    def cells(row):
        resident = row["ours"][row["default"]]
        if "streamed" not in row:
            return f"{resident:12,.0f}{'-':>12}{'-':>8}"
        return f"{resident:12,.0f}{row['streamed']:12,.0f}{resident / row['streamed']:8.2f}"

    return _table(f"{'resident':>12}{'streamed':>12}{'ratio':>8}", rows, cells)


def checkpoint_table(rows: list[dict]) -> list[str]:
    """The lines of the report on checkpoints and resume."""

    def cells(row):
        return (
            f"{row['checkpoint_bytes'] / 1e6:8.1f}{row['checkpoint_seconds']:9.3f}"
            f"{row['checkpoint_share']:11.2%}{row['restore_seconds']:10.3f}"
            f"{row['start_to_next_step_seconds']:11.1f}"
        )

    head = f"{'MB':>8}{'write':>9}{'of epochs':>11}{'restore':>10}{'next step':>11}"
    return _table(head, rows, cells)


def show(report: dict) -> str:
    """The whole report as text."""
    facts, options = report["machine"], report["settings"]
    parts, torch = options["parts"], facts["torch"]
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads",
        ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
    ]
    if "step" in parts:
        size, peak = options["input_size"], peaks(report["steps"])
        lines += [
            "matmul peak: " + ", ".join(f"{k} {v:,.0f} GFLOP/s" for k, v in peak.items()),
            "",
            f"The pure training step: batch {options['batch_size']}, {size}x{size}x3, best of "
            f"{ROUNDS} x {options['seconds']:g} s; GFLOP of a training image",
            *step_table(report["steps"], torch),
            *textwrap.wrap(seals_line(report["steps"]), 100),
        ]
        if not torch:
            why = "left out" if benchmark_twins.version() else "not installed"
            lines.append(f"PyTorch is {why}: no comparison")
    if "loop" in parts:
        lines += [
            "",
            "The real loop: images/s of an epoch's training and its ratio to the pure step; shares",
            "of an epoch of 50,000 images with 10,000 for testing; seconds from the start of the",
            "process to training, and to the end of its first step; peak memory of the process",
            *loop_table(report["loop"]),
        ]
    if "replicas" in parts:
        lines += [
            "",
            "Replicas: images/s of the pure step, the batch shared by logical devices of this CPU",
            *replicas_table(report["replicas"]),
        ]
    if "streamed" in parts:
        lines += [
            "",
            "Data: images/s of the pure step on the resident table, and fed by tf.data",
            *streamed_table(report["steps"]),
        ]
    if "checkpoint" in parts:
        lines += [
            "",
            "Checkpoints of a real run: size; seconds to write one; their share of the "
            f"{EVERY} epochs between",
            "two by default; after a SIGTERM, seconds to restore one, and from the start of the",
            "process to the next step",
            *checkpoint_table(report["checkpoint"]),
        ]
    if report.get("busy_elsewhere", 0) > 0.05:
        lines.append(
            f"\nNOT A QUIET MACHINE: others took {report['busy_elsewhere']:.0%} of its processors, "
            "which hurts PyTorch's\nOpenMP threads far more than TensorFlow's"
        )
    return "\n".join(lines)
