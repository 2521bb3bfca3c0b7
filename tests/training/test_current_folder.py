"""A network's own code may change the current folder: what was typed means the same files."""

import importlib
import os
import sys

import class_folders
import numpy as np
import pytest

from rethink_tf import main
from rethink_tf.cli import app, noise, randomisation_test
from rethink_tf.cli.studies import measures, rademacher
from rethink_tf.runs import agreement, results
from rethink_tf.storage import paths as places

pytestmark = pytest.mark.usefixtures("light_runs", "offline")
PACKAGE = "import os\nos.chdir('elsewhere/imported')\n"
MODULE = """
import os
import keras
from keras import layers


class Wandering(layers.Layer):
    def call(self, images):
        os.chdir("/")
        return images


def network(input_shape, num_classes):
    os.chdir("/tmp")
    return keras.Sequential([
        layers.Input(input_shape), Wandering(), layers.Flatten(), layers.Dense(num_classes)])


def plain(input_shape, num_classes):
    os.chdir("/")
    return keras.Sequential([
        layers.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])
"""
TINY = ["--dataset=folder:shapes", "--epochs=2", "--runs_dir=runs", "--cache_dir=cache"]


@pytest.fixture
def typed(offline, monkeypatch, capsys, own_signals):
    """Runs a command in a folder of data and of a package that leaves it; ends all within it."""
    class_folders.draw(offline / "shapes", classes=3)
    (offline / "elsewhere" / "imported").mkdir(parents=True)
    (offline / "wandering").mkdir()
    (offline / "wandering" / "__init__.py").write_text(PACKAGE)
    (offline / "wandering" / "inside.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(command, *argv):
        for name in [n for n in sys.modules if n.partition(".")[0] == "wandering"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        monkeypatch.chdir(offline)
        capsys.readouterr()
        code = app.guarded(command, [*argv])
        assert os.getcwd() != str(offline), "the network has gone elsewhere"
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        assert not list((offline / "elsewhere" / "imported").iterdir())
        return out

    return run


def test_a_run_its_child_and_its_measures(typed, offline, tensorflow):
    own = [*TINY, "--model=wandering.inside:plain"]  # measures know no layers of one's own
    (name,) = [line for line in typed(main.main, *own).splitlines() if line.startswith("runs/")]
    assert results.read_summary(offline / name)["status"] == "DONE"
    assert f"{name}: finished already" in typed(main.main, *own)
    child = ["--freeze=all_but_last", "--corrupt=1", f"--init_from={name}"]
    assert "\nruns/plain-" in typed(main.main, *TINY, *child)
    (other,) = [
        line for line in typed(main.main, *own, "--seed=1").splitlines() if line[:5] == "runs/"
    ]
    out = typed(measures.main, name, other, "--cache_dir=cache", "--runs_dir=runs")
    assert f"{name}: measuring" in out and f"{other}: measuring" in out
    assert len(list((offline / "runs").glob("measures-*/summary.json"))) == 2


def test_labels_from_a_file_and_a_profile(typed, offline, tensorflow):
    own = [*TINY, "--model=wandering.inside:network", "--corrupt=0.5"]
    typed(noise.main, *own, "--export=noisy.csv")
    own = [*TINY, "--model=wandering.inside:network", "--labels_from=noisy.csv", "--profile=trace"]
    typed(main.main, *own)
    assert list((offline / "trace").rglob("*.xplane.pb"))


def test_commands_that_train(typed, offline, tensorflow):
    own = [*TINY, "--model=wandering.inside:network"]
    out = typed(rademacher.main, *own)
    assert "runs/rademacher-" in out
    assert len(list((offline / "runs").glob("rademacher-*/summary.json"))) == 1
    out = typed(randomisation_test.main, *own, "--out=page")
    assert out.endswith("page/report.html\n") and (offline / "page" / "report.html").is_file()
    assert "on folder:shapes" in (offline / "page" / "report.md").read_text()


def test_arrays_of_a_file(typed, offline, tensorflow):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(offline / "a.npz", **dict(zip(names, class_folders.arrays(), strict=True)))
    own = [
        "--dataset=npz:a.npz",
        "--epochs=1",
        "--runs_dir=runs",
        "--model=wandering.inside:network",
    ]
    typed(main.main, *own)
    assert len(agreement.load_runs(offline / "runs")) == 1


def test_a_relative_path_is_that_of_the_first_beginning(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(places.absolute("x")) == "x"
    with places.from_here():
        os.chdir("other")
        with places.from_here():
            assert places.absolute("x/../y") == tmp_path / "x" / ".." / "y"
        assert places.absolute("/x") == places.absolute("/x").absolute()
        assert places.cache_directory("cache") == tmp_path / "cache"
    assert str(places.absolute("x")) == "x"


def test_a_current_folder_that_is_gone_leaves_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with places.from_here():
        assert places.absolute(tmp_path) == tmp_path
    os.chdir(tmp_path)
