"""The input's benchmark and the recipe of ImageNet: what they say, and what they refuse."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import streamed_set

from rethink_tf.errors import ExitCode, RequestError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from benchmark import command, streamed_input  # noqa: E402


def test_the_report_by_hand():
    assert streamed_input.report(2000.0, 1800.0, 3000, 2) == (
        "decode and resize alone: 2,000 images/s on 2 cores\n"
        "the whole input:         1,800 images/s, 90% of that\n"
        "a GPU that trains 3,000 images/s needs 3.3 such cores"
    )


def test_it_measures_a_set_on_disk(tensorflow, tmp_path, capsys, own_signals):
    streamed_set.write(tmp_path)
    where = [f"--data_dir={tmp_path}", f"--cache_dir={tmp_path}/cache"]
    small = ["--input_size=16", "--batch_size=8", "--model=mlp_1x512", "--corrupt=0.5"]
    argv = [*where, "--input_only", *small, "--images=40", "--gpu_rate=500"]
    assert command.main(argv) == 0
    said = capsys.readouterr().out
    rates = [float(n.replace(",", "")) for n in re.findall(r"([\d,]+) images/s[ ,]", said)]
    assert len(rates) == 3 and min(rates) > 0 and rates[2] == 500


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--gpu_rate=0"], "--gpu_rate: expected a whole number of at least 1, received 0"),
        (["--images=x"], "--images: expected a whole number of at least 1, received 'x'"),
        (["--dataset=digits"], "--dataset: expected a streamed set, received digits"),
    ],
)
def test_what_it_refuses(tensorflow, flags, told):
    with pytest.raises(RequestError) as error:
        streamed_input.run(flags)
    assert str(error.value) == told


def test_its_help_lists_its_flags_first(capsys, own_signals):
    assert command.main(["--input_only", "--help"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert told.startswith("python scripts/benchmark.py --input_only [--flagfile=FILE] [--name=")
    assert re.findall(r"^  --(\w+)", told, re.MULTILINE)[:3] == ["gpu_rate", "images", "model"]


def test_a_refusal_is_one_line(tensorflow, capsys, own_signals):
    assert command.main(["--input_only", "--dataset=digits"]) == ExitCode.WRONG_REQUEST
    told = capsys.readouterr().err
    assert told == "rethink_tf: --dataset: expected a streamed set, received digits\n"


def recipe(*arguments):
    command = ["bash", str(SCRIPTS / "prepare_imagenet.sh"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_recipe_wants_both_archives(tmp_path):
    assert recipe().returncode == ExitCode.WRONG_REQUEST
    done = recipe(tmp_path, tmp_path / "data")
    assert done.returncode == ExitCode.WRONG_REQUEST and "ILSVRC2012_img_train.tar" in done.stderr
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    done = recipe(tmp_path, tmp_path / "data")
    assert done.returncode == ExitCode.WRONG_REQUEST and "ILSVRC2012_img_val.tar" in done.stderr
    assert not (tmp_path / "data").exists()
