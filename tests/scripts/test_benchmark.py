"""scripts/benchmark.py as a command: its options, its parts, its report. No timing is asserted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark import candidates, command, runs, steps, tables, task
from benchmark.candidates import LeftOut
from small_benchmark import TINY, in_this_process

from rethink_tf.errors import ExitCode

FLAGS = ["--models=mlp_1x512", "--no_torch", *TINY]
ROW = {"images/s": 100.0, "XLA": "on", "of peak": 0.5}
pytestmark = pytest.mark.usefixtures("own_signals")


@pytest.fixture
def no_processes(monkeypatch, tensorflow):
    monkeypatch.setattr(task, "EXAMPLES", 8)
    monkeypatch.setattr(command, "Candidate", in_this_process)
    monkeypatch.setattr(command, "Race", lambda: candidates.Race(in_this_process))
    monkeypatch.setattr(steps, "MATMUL_SIZES", {"cpu": (32,)})


def test_a_benchmark_prints_a_row_for_each_model(capsys, no_processes):
    assert command.main([*FLAGS, "--parts=step"]) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert "1 threads" in lines[0] and "tensorflow" in lines[1]
    (row,) = [line.split() for line in lines if line.startswith("mlp_1x512")]
    rate, peak, share, seals, fed, *torch = row[2], *row[4:]
    assert row[1] == "float32" and row[3] == "off" and torch == ["-"] * 3
    assert min(float(text.replace(",", "")) for text in (rate, peak, share.rstrip("%"))) > 0
    assert float(seals.rstrip("%")) > -100 and float(fed.rstrip("%")) < 100


def test_what_was_measured_before_an_interrupt_is_shown(capsys, monkeypatch, no_processes):
    def measured(who, options, scratch, rows):
        if who["model"] == "alexnet":
            raise KeyboardInterrupt
        rows["step"].append(who | ROW)
        return {}

    monkeypatch.setattr(command, "measure", measured)
    argv = ["--models=mlp_1x512,alexnet", "--no_torch", *TINY]
    assert command.main(argv) == ExitCode.INTERRUPTED
    assert "mlp_1x512" in capsys.readouterr().out


def test_a_device_that_does_not_start_is_a_request_refused(capsys, monkeypatch):
    def broken(*_, **__):
        raise LeftOut("InternalError: no such device")

    monkeypatch.setattr(command, "Candidate", broken)
    assert command.main([*FLAGS, "--parts=step"]) == ExitCode.WRONG_REQUEST
    assert "--device: " in capsys.readouterr().err


@pytest.mark.parametrize("part", tables.PARTS)
def test_each_part_alone(part, capsys, monkeypatch, no_processes):
    called = []

    def measured(name):
        def measure(*_):
            called.append(name)
            if name == "loop":
                raise LeftOut("no loop here")
            return [ROW] if name == "input" else ROW

        return measure

    monkeypatch.setattr(steps, "measure", measured("step"))
    monkeypatch.setattr(runs, "loop", measured("loop"))
    monkeypatch.setattr(steps, "measure_input", measured("input"))
    assert command.main([*FLAGS, f"--parts={part}"]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert called == {"loop": ["step", "loop"]}.get(part, [part])
    shown = [] if part == "loop" else [part]
    assert [p for p in tables.PARTS if tables.PARTS[p][:20] in text] == shown
    reason = "left out: mlp_1x512, float32: the run: no loop here"
    assert (reason in text) == (part == "loop")


def test_a_model_whose_step_cannot_run_is_named(capsys, monkeypatch, no_processes):
    def refuse(*_, **__):
        raise LeftOut("no step here")

    monkeypatch.setattr(command, "Race", lambda: candidates.Race(refuse))
    assert command.main(FLAGS) == ExitCode.DONE
    told = capsys.readouterr().out
    assert re.search("mlp_1x512, float32:.*no step here", told.splitlines()[-1])


def test_both_precisions_of_the_inceptions_by_default(monkeypatch, no_processes):
    measured = []
    monkeypatch.setattr(command, "measure", lambda who, *_: measured.append((*who.values(),)) or {})
    argv = ["--models=inception,alexnet", *TINY]
    assert command.main(argv) == 0
    assert measured == [
        ("inception", "float32"),
        ("inception", "mixed_bfloat16"),
        ("alexnet", "float32"),
    ]
    del measured[:]
    assert command.main([*argv, "--precisions=mixed_bfloat16"]) == 0
    assert [precision for _, precision in measured] == ["mixed_bfloat16"] * 2


def test_a_device_that_is_not_there_is_refused(no_processes, tensorflow, capsys):
    if tensorflow.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    assert command.main([*FLAGS, "--device=gpu"]) == ExitCode.WRONG_REQUEST
    assert "received gpu: TensorFlow sees no GPU" in capsys.readouterr().err


@pytest.mark.parametrize("device, hidden", [("cpu", "-1"), ("auto", None)])
def test_gpus_are_hidden_from_a_benchmark_of_the_cpu(device, hidden, monkeypatch, no_processes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is put back
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    seen = []

    def measure(*_):
        seen.append(command.os.environ.get("CUDA_VISIBLE_DEVICES"))
        return {}

    monkeypatch.setattr(command, "measure", measure)
    assert command.main([*FLAGS, f"--device={device}"]) == ExitCode.DONE
    assert seen == [hidden]


def test_defaults():
    options, parts, threads = (
        command.checked(command.LINE.parse(argv)[command.Flags])
        for argv in ([], ["--parts=loop,step"], ["--threads=3"])
    )
    assert options.parts == ("step", "loop") and options.device == "auto"
    assert options.models == ("inception", "alexnet", "mlp_3x512", "mlp_1x512")
    assert parts.parts == ("loop", "step")
    assert options.threads >= 1 and threads.threads == 3


@pytest.mark.parametrize(
    "flag",
    [
        "--models=vgg",
        "--seconds=x",
        "--seconds=-1",
        "--unknown",
        "--input_size=10",
        "--gpu_rate=0",
        "--parts=all",
        "--parts=",
        "--batch_size=50001",
        "--device=tpu",
        "--precisions=float16",
        "--threads=-1",
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(flag, capsys):
    assert command.main([flag]) == ExitCode.WRONG_REQUEST == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and flag.split("=")[0] in error


def test_help_lists_the_flags_with_their_defaults(capsys):
    assert command.main(["--help"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert told.startswith("python scripts/benchmark.py [--flagfile=FILE] [--name=value ...]")
    assert "[step,loop]" in told and "--gpu_rate" in told and "--device" in told


def test_the_command_is_the_file_beside_the_package_and_starts_no_framework():
    script = Path(command.__file__).parents[1] / "benchmark.py"
    done = subprocess.run([sys.executable, script, "--seconds=-1"], capture_output=True, text=True)
    assert done.returncode == ExitCode.WRONG_REQUEST
    expected = "rethink_tf: --seconds: expected a number of at least 0, received -1.0"
    assert done.stderr.splitlines()[-1] == expected
    code = (
        "import sys; from benchmark import command; print({'tensorflow', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=script.parent
    )
    assert done.stdout == "set()\n", "a candidate's process imports what it needs"


# The report


def test_a_table_has_a_line_for_each_row_and_names_what_is_left_out():
    who = {"model": "inception_no_bn", "precision": "mixed_bfloat16"}
    first = {**who, "images/s": 474.44, "of peak": 0.374, "PyTorch": None}
    large = {**who, "model": "mlp", "images/s": 29_849.6, "of peak": 0.5, "PyTorch": 1.25}
    reasons = {"inception, float32": {"PyTorch": "no compiler"}, "mlp, float32": {}}
    shown = tables.show({"step": [first, large], "loop": []}, reasons).splitlines()
    head, *lines, left_out = shown[-4:]
    assert head.split() == ["model", "precision", "images/s", "of", "peak", "PyTorch"]
    assert lines[0].split() == [*who.values(), "474.4", "37.4%", "-"]
    assert lines[1].split() == ["mlp", "mixed_bfloat16", "29,850", "50.0%", "1.25"]
    assert left_out == "left out: inception, float32: PyTorch: no compiler"
