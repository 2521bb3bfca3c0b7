"""scripts/benchmark.py as a command: its options, its parts, its report. No timing is asserted."""

import json

import benchmark
import benchmark_loop
import benchmark_options
import benchmark_replicas
import benchmark_resume
import benchmark_step
import pytest
from tiny_benchmark import TINY, in_this_process

FLAGS = ["--models=mlp_1x512", "--threads=1", "--no_torch", *TINY]


def test_a_whole_run_writes_json(tmp_path, capsys, monkeypatch, tensorflow):
    monkeypatch.setattr(benchmark_step, "MATMUL_SIZES", (32,))
    monkeypatch.setattr(
        benchmark_step.measure, "__defaults__", (in_this_process,)
    )  # a process for each takes seconds
    path = tmp_path / "figures.json"
    argv = [*FLAGS, "--parts=step,loop,replicas,streamed", "--epoch_seconds=1e-6"]
    assert benchmark.main([*argv, f"--json={path}"]) == 0
    text, report = capsys.readouterr().out, json.loads(path.read_text())
    assert all(len(line) <= 100 for line in text.splitlines()) and "matmul peak" in text
    assert {"cpu", "cores", "threads", "versions"} <= set(report["machine"])
    assert report["matmul_gflops"].keys() == {"float32"}
    (row,) = report["loop"]
    assert row["examples"] == 8 and row["epoch_images_per_second"] > 0
    assert row["peak_bytes"] > 1e8, "TensorFlow alone takes more"
    (row,) = report["replicas"]
    assert set(row["replicas"]) == {"1", "2"} and min(row["replicas"].values()) > 0
    assert report["steps"][0]["streamed"] > 0 and report["checkpoint"] == []


@pytest.mark.parametrize("parts", benchmark_options.PARTS)
def test_each_part_alone(parts, capsys, monkeypatch, tensorflow):
    called = []

    def step(name, precision, options):
        called.append("steps")
        row = {"model": name, "precision": precision, "default": "XLA on", "streamed": 50.0}
        row |= {"ours": {"XLA on": 100.0}, "torch": {}, "left_out": {}, "parameters": 1}
        return {**row, "flops_per_image": 10**9, "matmul_gflops": 200.0}, None

    def failing(part):
        def measured(name, *_):
            called.append(part)
            return {"model": "mlp_1x512", "precision": "float32", "failed": f"no {part} here"}

        return measured

    monkeypatch.setattr(benchmark_step, "measure", step)
    monkeypatch.setattr(benchmark_loop, "run_training", failing("loop"))
    monkeypatch.setattr(benchmark_replicas, "measure", failing("replicas"))
    monkeypatch.setattr(benchmark_resume, "measure", failing("checkpoint"))
    assert benchmark.main([*FLAGS, f"--parts={parts}"]) == 0
    text = capsys.readouterr().out
    expected = {"step": ["steps"], "streamed": ["steps"], "replicas": ["replicas"],
                "loop": ["steps", "loop"], "checkpoint": ["steps", "checkpoint"]}  # fmt: skip
    assert called == expected[parts]
    titles = {"step": "The pure training step:", "loop": "The real loop:", "replicas": "Replicas:",
              "streamed": "Data:", "checkpoint": "Checkpoints of"}  # fmt: skip
    assert [part for part, title in titles.items() if title in text] == [parts]
    assert (f"no {parts} here" in text) == (parts in ("loop", "replicas", "checkpoint"))


def test_both_precisions_of_the_inceptions_by_default(monkeypatch, capsys, tensorflow):
    measured = []
    monkeypatch.setattr(benchmark, "measure", lambda *given: measured.append(given[:2]))
    argv = ["--models=inception,alexnet", "--parts=replicas", *TINY]
    assert benchmark.main(argv) == 0
    assert measured == [
        ("inception", "float32"), ("inception", "mixed_bfloat16"), ("alexnet", "float32")
    ]  # fmt: skip
    del measured[:]
    assert benchmark.main([*argv, "--precisions=mixed_bfloat16"]) == 0
    assert [precision for _, precision in measured] == ["mixed_bfloat16"] * 2


def test_defaults():
    options = benchmark_options.parse([])
    assert options.parts == ["step", "loop", "replicas", "streamed", "checkpoint"]
    assert options.models == ["inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512"]
    assert not options.no_torch and not options.no_torch_compile
    assert benchmark_options.parse(["--parts=loop,step"]).parts == ["loop", "step"]


@pytest.mark.parametrize(
    "flag",
    ["--models=vgg", "--seconds=x", "--seconds=-1", "--xla=maybe", "--unknown", "--input_size=10",
     "--json=/no/such/folder/x", "--data_dir=/no/such/folder", "--examples=5", "--parts=all",
     "--parts=", "--epoch_seconds=0", "--precisions=float16", "--threads=-1"],
)  # fmt: skip
def test_a_bad_flag_is_one_line_and_exit_code_2(flag, capsys):
    with pytest.raises(SystemExit) as raised:
        benchmark_options.parse([flag])
    error = capsys.readouterr().err
    assert raised.value.code == 2 and error.count("\n") == 1 and flag.split("=")[0] in error
