"""scripts/benchmark.py as a command: its options, its parts, its report. No timing is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark import candidates, command, runs, steps
from benchmark.candidates import LeftOut
from small_benchmark import TINY, in_this_process

from rethink_tf.errors import ExitCode

FLAGS = ["--models=mlp_1x512", "--threads=1", "--no_torch", *TINY]
pytestmark = pytest.mark.usefixtures("own_signals")


def test_a_whole_run_writes_json(tmp_path, capsys, monkeypatch, tensorflow):
    of_its_own = candidates.Candidate

    def start(make, **arguments):  # a process for each takes seconds; replicas need one
        place = of_its_own if "replicas" in arguments else in_this_process
        return place(make, **arguments)

    monkeypatch.setattr(candidates, "Candidate", start)
    monkeypatch.setattr(steps, "MATMUL_SIZES", (32,))
    path = tmp_path / "figures.json"
    argv = [*FLAGS, "--parts=step,loop,replicas,streamed", "--epoch_seconds=1e-6"]
    assert command.main([*argv, f"--json={path}"]) == ExitCode.DONE
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
    cost = report["steps"][0]["seals"]
    assert f"Seals, of a step without them: mlp_1x512 float32 {cost:.1%}" in text.splitlines()


@pytest.mark.parametrize("parts", command.PARTS)
def test_each_part_alone(parts, capsys, monkeypatch, tensorflow):
    called = []

    def step(*_):
        called.append("steps")
        row = {"default": "XLA on", "streamed": 50.0, "flops_per_image": 10**9}
        row |= {"ours": {"XLA on": 100.0}, "torch": {}, "left_out": {}, "parameters": 1}
        return {**row, "matmul_gflops": 200.0}

    def failing(part):
        def measured(*_):
            called.append(part)
            raise LeftOut(f"no {part} here")

        return measured

    monkeypatch.setattr(steps, "measure", step)
    monkeypatch.setattr(runs, "loop", failing("loop"))
    monkeypatch.setattr(steps, "replicas", failing("replicas"))
    monkeypatch.setattr(runs, "checkpoint", failing("checkpoint"))
    assert command.main([*FLAGS, f"--parts={parts}"]) == ExitCode.DONE
    text = capsys.readouterr().out
    expected = {
        "step": ["steps"],
        "streamed": ["steps"],
        "replicas": ["replicas"],
        "loop": ["steps", "loop"],
        "checkpoint": ["steps", "checkpoint"],
    }
    assert called == expected[parts]
    titles = {
        "step": "The pure training step:",
        "loop": "The real loop:",
        "replicas": "Replicas:",
        "streamed": "Data:",
        "checkpoint": "Checkpoints of",
    }
    assert [part for part, title in titles.items() if title in text] == [parts]
    assert (f"no {parts} here" in text) == (parts in ("loop", "replicas", "checkpoint"))


def test_a_model_whose_step_cannot_run_is_named_in_every_part(capsys, monkeypatch, tensorflow):
    def step(*_):
        raise LeftOut("no step here")

    monkeypatch.setattr(steps, "measure", step)
    assert command.main([*FLAGS, "--parts=step,loop,streamed,checkpoint"]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert text.count("mlp_1x512       float32         no step here") == 4


def test_both_precisions_of_the_inceptions_by_default(monkeypatch, capsys, tensorflow):
    measured = []
    monkeypatch.setattr(command, "measure", lambda *given: measured.append(given[:2]))
    argv = ["--models=inception,alexnet", "--parts=replicas", *TINY]
    assert command.main(argv) == 0
    assert measured == [
        ("inception", "float32"),
        ("inception", "mixed_bfloat16"),
        ("alexnet", "float32"),
    ]
    del measured[:]
    assert command.main([*argv, "--precisions=mixed_bfloat16"]) == 0
    assert [precision for _, precision in measured] == ["mixed_bfloat16"] * 2


def test_defaults():
    options = command.read([])
    assert options.parts == ("step", "loop", "replicas", "streamed", "checkpoint")
    assert options.models == ("inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512")
    assert not options.no_torch and not options.no_torch_compile
    assert command.read(["--parts=loop,step"]).parts == ("loop", "step")


@pytest.mark.parametrize(
    "flag",
    [
        "--models=vgg",
        "--seconds=x",
        "--seconds=-1",
        "--xla=maybe",
        "--unknown",
        "--input_size=10",
        "--json=/no/such/folder/x",
        "--data_dir=/no/such/folder",
        "--examples=5",
        "--parts=all",
        "--parts=",
        "--epoch_seconds=0",
        "--augment=crop --input_size=32",
        "--precisions=float16",
        "--threads=-1",
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(flag, capsys):
    assert command.main(flag.split()) == ExitCode.WRONG_REQUEST == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and flag.split("=")[0] in error


def test_help_lists_the_flags_with_their_defaults(capsys):
    assert command.main(["--help"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert told.startswith("python scripts/benchmark.py [--flagfile=FILE] [--name=value ...]")
    assert "[step,loop,replicas,streamed,checkpoint]" in told and "--input_only" in told
    assert max(map(len, told.splitlines())) <= 100


def test_the_command_is_the_file_beside_the_package():
    script = Path(command.__file__).parents[1] / "benchmark.py"
    done = subprocess.run([sys.executable, script, "--seconds=-1"], capture_output=True, text=True)
    assert done.returncode == ExitCode.WRONG_REQUEST
    expected = "rethink_tf: --seconds: expected a number of at least 0, received -1.0"
    assert done.stderr.splitlines()[-1] == expected
