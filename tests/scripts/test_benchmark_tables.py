"""The tables of scripts/benchmark.py, to the letter where a number is chosen for its width."""

import pytest
from benchmark import tables, task

WHO = {"model": "inception_no_bn", "precision": "mixed_bfloat16"}
STEP = {
    **WHO,
    "parameters": 1_649_402,
    "flops_per_image": 1_221_253_824,
    "matmul_gflops": 1580.4,
    "default": "XLA off",
    "ours": {"XLA off": 474.4},
    "streamed": 400.0,
    "seals": 0.0041,
    "torch": {"contiguous": 300.0, "channels_last compiled": 424.0},
    "left_out": {},
}
LOOP = {
    **WHO,
    "examples": 50_000,
    "step_images_per_second": 40_000.0,
    "epoch_images_per_second": 38_000.0,
    "evaluation_share": 0.123,
    "bookkeeping_share": 0.0456,
    "start_to_training_seconds": 10.04,
    "start_to_first_step_seconds": 123.44,
    "peak_bytes": 1_234_567_890,
}
CHECKPOINT = {
    **WHO,
    "checkpoint_bytes": 13_300_000,
    "checkpoint_seconds": 0.0421,
    "checkpoint_share": 0.00017,
    "restore_seconds": 0.2,
    "start_to_next_step_seconds": 15.55,
}
REPLICAS = {**WHO, "replicas": {"1": 474.4, "2": 237.2}}
FAILED = {**WHO, "failed": "a long reason " * 20}


def step_table(rows, torch):
    return tables.table(tables.step_columns(rows, torch), rows)


def test_the_step_takes_pytorchs_fastest_setting():
    head, line = step_table([STEP], True)
    assert head.split() == [
        "model",
        "precision",
        "GFLOP",
        "images/s",
        "XLA",
        "of",
        "peak",
        "PyTorch",
        "ratio",
        "setting",
    ]
    assert line.split() == [
        "inception_no_bn",
        "mixed_bfloat16",
        "1.2213",
        "474",
        "off",
        "37%",
        "424",
        "1.12",
        "channels_last",
        "compiled",
    ]


def test_the_other_way_of_compiling_has_a_column():
    row = {**STEP, "ours": {"XLA off": 474.4, "XLA on": 100.0}}
    head, line = step_table([row], False)
    assert head.endswith("other XLA") and line.endswith("        100")


def test_settings_left_out_are_named_once_with_their_reason():
    left = {f"PyTorch {name} compiled": "no compiler" for name in ("channels_last", "contiguous")}
    rows = [{**STEP, "left_out": left}, {**STEP, "model": "alexnet", "left_out": left}]
    assert tables.left_out(rows) == [
        "left out for inception_no_bn, alexnet: PyTorch channels_last compiled: no compiler",
        "left out for inception_no_bn, alexnet: PyTorch contiguous compiled: no compiler",
    ]


def test_the_cost_of_the_seals_is_a_line():
    rows = [STEP, {**STEP, "model": "alexnet", "seals": -0.002}, FAILED]
    expected = "inception_no_bn mixed_bfloat16 0.4%, alexnet mixed_bfloat16 -0.2%"
    assert tables.seals_line(rows) == f"Seals, of a step without them: {expected}"
    assert f"Seals, of a step without them: {expected[:35]}" in tables.show(report())


def test_peaks_are_the_best_of_the_run():
    rows = [
        {"precision": "float32", "matmul_gflops": 300.0},
        {"precision": "float32"},
        {"precision": "float32", "matmul_gflops": 385.0},
    ]
    assert tables.peaks(rows) == {"float32": 385.0}


@pytest.mark.parametrize(
    "table, row, cells",
    [
        ("LOOP", LOOP, ["50,000", "38,000", "95.0%", "12.3%", "4.6%", "10.0", "123.4", "1,235"]),
        ("REPLICAS", REPLICAS, ["474", "237", "0.50"]),
        ("STREAMED", STEP, ["474", "400", "1.19"]),
        ("CHECKPOINT", CHECKPOINT, ["13.3", "0.042", "0.02%", "0.200", "15.6"]),
    ],
)
def test_a_row_of_each_table(table, row, cells):
    head, line, failed = tables.table(getattr(tables, table), [row, FAILED])
    assert line.split() == [*WHO.values(), *cells]
    assert len(head) == len(line) <= 100 == len(failed)
    assert failed.split()[2:5] == ["a", "long", "reason"]


def report(**changes):
    facts = {"cpu": "CPU", "cores": 2, "threads": 2, "versions": {"a": "1"}, "torch": True}
    parts = ["step", "loop", "replicas", "streamed", "checkpoint"]
    return {
        "machine": facts,
        "settings": {"parts": parts, "batch_size": 128, "input_size": 28, "seconds": 2.0},
        "steps": [STEP],
        "loop": [LOOP],
        "replicas": [REPLICAS],
        "checkpoint": [CHECKPOINT],
        "busy_elsewhere": 0.01,
        **changes,
    }


def test_the_whole_report_fits_and_has_every_table():
    lines = tables.show(report()).splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if line.startswith("model ")]
    assert len(heads) == 5 and lines[2] == "matmul peak: mixed_bfloat16 1,580 GFLOP/s"
    assert not any("QUIET" in line or "no comparison" in line for line in lines)


def test_a_busy_machine_and_no_pytorch_are_said(monkeypatch):
    text = tables.show(report(busy_elsewhere=0.42))
    assert "NOT A QUIET MACHINE: others took 42% of its processors" in text
    without = report()
    without["machine"] = {**without["machine"], "torch": False}
    for version, words in (("2.14.0", "left out"), (None, "not installed")):
        monkeypatch.setattr(task, "torch_version", lambda v=version: v)
        assert f"PyTorch is {words}: no comparison" in tables.show(without)
