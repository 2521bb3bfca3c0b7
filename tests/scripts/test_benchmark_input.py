"""The input's part of the benchmark, and the recipe of ImageNet."""

import subprocess
from pathlib import Path

import pytest
import streamed_set
from benchmark import candidates, command, steps
from small_benchmark import in_this_process, tiny_options

from rethink_tf.errors import ExitCode

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SMALL = ["--parts=input", "--batch_size=8", "--seconds=0", "--threads=2", "--gpu_rate=500"]


@pytest.fixture
def in_one_process(monkeypatch, tensorflow, offline, own_signals):
    monkeypatch.setattr(command, "Candidate", in_this_process)
    from benchmark import imagenet_input

    monkeypatch.setattr(command, "Race", lambda: candidates.Race(in_this_process))
    monkeypatch.setattr(imagenet_input, "SIZE", 75)
    return offline


def test_it_measures_a_set_on_disk(in_one_process, capsys):
    streamed_set.write(in_one_process)
    assert command.main([*SMALL, f"--data_dir={in_one_process}"]) == ExitCode.DONE
    data, model, rate, share, cores = capsys.readouterr().out.splitlines()[-1].split()
    assert (data, model) == ("imagenet2012", "inception_v3") and float(share.rstrip("%")) > 0
    rate, cores = (float(text.replace(",", "")) for text in (rate, cores))
    assert cores == pytest.approx(2 * 500 / rate, rel=1e-2)


def test_what_cannot_be_read_is_left_out():
    def refuse(*_, **__):
        raise candidates.LeftOut("no such set")

    race = candidates.Race(refuse)
    assert steps.measure_input(tiny_options(), race) == []
    assert list(race.left_out.values()) == ["no such set"] * 2


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
