"""The input's part of the benchmark, and the recipe of ImageNet."""

import subprocess
from pathlib import Path

import pytest
import streamed_set
from benchmark import candidates, command, imagenet_input
from small_benchmark import in_this_process, tiny_options

from rethink_tf.errors import ExitCode

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SMALL = ["--parts=input", "--batch_size=8", "--seconds=0", "--threads=2", "--gpu_rate=500"]


@pytest.fixture
def in_one_process(monkeypatch, tensorflow, offline, own_signals):
    monkeypatch.setattr(command, "Candidate", in_this_process)
    monkeypatch.setattr(imagenet_input, "Race", lambda: candidates.Race(in_this_process))
    monkeypatch.setattr(imagenet_input, "SIZE", 75)
    return offline


def test_it_measures_a_set_on_disk(in_one_process, capsys):
    streamed_set.write(in_one_process)
    assert command.main([*SMALL, f"--data_dir={in_one_process}"]) == ExitCode.DONE
    data, model, rate, share, cores = capsys.readouterr().out.splitlines()[-1].split()
    assert (data, model) == ("imagenet2012", "inception_v3") and float(share.rstrip("%")) > 0
    rate, cores = (float(text.replace(",", "")) for text in (rate, cores))
    assert cores == pytest.approx(2 * 500 / rate, rel=1e-2)


def test_what_cannot_be_read_is_left_out(monkeypatch):
    def refuse(*_, **__):
        raise candidates.LeftOut("no such set")

    monkeypatch.setattr(imagenet_input, "Race", lambda: candidates.Race(refuse))
    reasons = dict.fromkeys([imagenet_input.ALONE, imagenet_input.WHOLE], "no such set")
    assert imagenet_input.measure(tiny_options()) == ({}, reasons)


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
