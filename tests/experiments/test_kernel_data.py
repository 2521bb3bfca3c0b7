"""The data of the theory: whole images, equal ones, and data sets of one's own."""

import json
import re

import class_folders
import numpy as np
import pytest

from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import bandwidth as bandwidth_choice
from rethink_tf.cli.studies import implicit as implicit_command
from rethink_tf.cli.studies import kernels as kernels_command
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data.types import Table
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import task as kernel_command
from rethink_tf.experiments.studies import implicit, rademacher


def test_whole_images_are_used_unless_asked_otherwise():
    run, why = kernel_data.resolved(RunConfig(dataset="cifar10"), None)
    assert (run.input_size, why) == (32, "")
    assert kernel_data.resolved(RunConfig(dataset="mnist"), None)[0].input_size == 28
    cropped, _ = kernel_data.resolved(RunConfig(dataset="cifar10", input_size=20), None)
    assert cropped.input_size == 20


def test_equal_images_are_counted_and_so_are_those_of_other_labels():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)
    images[3], images[4], images[5] = images[0], images[0], images[1]
    labels = np.array([1, 2, 3, 1, 0, 2], np.int32)
    table = Table(np.arange(6), images, labels.copy(), labels, 10)
    assert kernel_data.equal_images(table) == (3, 1)


@pytest.fixture
def own(offline):
    """The same images and labels in two files."""
    names = ("x_train", "y_train", "x_test", "y_test")
    found = [offline / name for name in ("a.npz", "b.npz")]
    for path in found:
        np.savez(path, **dict(zip(names, class_folders.arrays(), strict=True)))
    return [f"npz:{path}" for path in found]


def test_a_set_of_ones_own_is_solved(tensorflow, own, own_signals, capsys, tmp_path):
    argv = [f"--dataset={own[0]}", "--gamma=0.05", f"--runs_dir={tmp_path}/runs", "--ridge=0.1"]
    assert guarded(kernels_command.main, argv) == 0
    out = capsys.readouterr().out
    assert f"{own[0]}: " in out and "sha256" not in out
    (path,) = (tmp_path / "runs").glob("kernels-*/solutions.json")
    (found,) = json.loads(path.read_text())["solutions"]
    assert found["solved"] and found["train_error"] < 0.5
    few = class_folders.arrays()[0].shape[0] // 3
    argv = [f"--dataset={own[0]}", "--gammas=0.05", "--ridge=0.1", f"--runs_dir={tmp_path}"]
    assert guarded(bandwidth_choice.main, argv) == 0
    assert re.search(f"{few} of the training set held out", capsys.readouterr().out)


def test_its_content_names_a_run_and_not_its_path(own):
    for identify, more in (
        (kernel_command.identify, ["--gamma=0.05"]),
        (implicit.identify, []),
        (rademacher.identify, ["--model=mlp_1x512"]),
    ):
        first, second = (identify([f"--dataset={name}", *more]) for name in own)
        assert first == second and "npz" not in str(first), more


def test_what_is_wrong_with_it_is_one_line(own, own_signals, capsys, tmp_path):
    for main, name, message in (
        (
            kernels_command.main,
            own[0],
            f"there is no default for pixels of {own[0]}; type rethink-tf bandwidth",
        ),
        (kernels_command.main, f"npz:{tmp_path}/none.npz", "none.npz"),
        (bandwidth_choice.main, f"npz:{tmp_path}/none.npz", "none.npz"),
        (implicit_command.main, f"npz:{tmp_path}/none.npz", "none.npz"),
    ):
        assert guarded(main, [f"--dataset={name}"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("rethink_tf: ") and err.count("\n") == 1 and message in err
