"""The public functions: what the documentation shows does what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rethink_tf as rt
from rethink_tf.cli import app
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks

ROOT = Path(__file__).resolve().parents[1]
SHORT = {"model": "mlp_1x512", "dataset": "digits", "epochs": 1, "examples": 200}


@pytest.fixture(scope="module")
def record(tmp_path_factory, tensorflow):
    return rt.run(
        rt.RunConfig(corrupt=1.0, **SHORT), tmp_path_factory.mktemp("api") / "runs", say=lambda _: 0
    )


def test_importing_it_imports_no_tensorflow():
    code = "import sys, rethink_tf as rt; rt.RunConfig, rt.MODELS, rt.DATASETS, rt.corrupt_labels\n"
    code += "rt.run, rt.load_runs, rt.audit_labels; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("name", rt.__all__)
def test_every_public_name_is_there(name):
    assert getattr(rt, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = rt.nothing


def test_a_run_resolves_by_itself_and_answers_as_attributes(record):
    assert record.status == "DONE" and record["epochs"] == 1
    assert 0.8 < record.changed_fraction < 1
    assert [line["epoch"] for line in record.history] == [1]
    assert set(record.examples) >= {"index", "true", "given"}
    assert len(record.examples["index"]) == 200
    assert "train_accuracy" in record._repr_html_()
    with pytest.raises(AttributeError, match="run has no wings"):
        _ = record.wings


def test_a_finished_run_is_read_back(record):
    said = []
    again = rt.run(corrupt=1.0, runs_dir=record.run_dir.parent, say=said.append, **SHORT)
    assert again.weights_hash == record.weights_hash
    assert "finished already" in said[0]


def test_a_record_is_found_where_a_models_module_changed_the_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "strays.py").write_text(
        f"import os\nimport keras\nos.chdir({str(tmp_path / 'elsewhere')!r})\n"
        "def build(input_shape, num_classes):\n"
        "    layers = [keras.layers.Flatten(), keras.layers.Dense(num_classes)]\n"
        "    return keras.Sequential([keras.Input(input_shape), *layers])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = rt.run(runs_dir="runs", say=lambda _: 0, **SHORT | {"model": "strays:build"})
    assert Path.cwd() == tmp_path / "elsewhere"
    assert [line["epoch"] for line in found.history] == [1]
    assert len(found.examples["index"]) == 200
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_damaged_file_of_examples_is_one_line(record, tmp_path):
    (tmp_path / "examples.npz").write_bytes(b"no archive")
    with pytest.raises(StorageError, match="examples.npz: damaged"):
        _ = type(record)(dict(record), tmp_path).examples


def test_runs_of_a_folder(record):
    runs = rt.load_runs(record.run_dir.parent)
    assert [run.run_id for run in runs] == [record.run_id]
    assert record.run_id in runs._repr_html_()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no folder"):
        rt.load_runs(tmp_path / "nix")


def test_a_record_shows_its_accuracies(record):
    assert f"test_accuracy {record.test_accuracy:.4f})" in repr(record)


def test_a_dataframe_asks_for_pandas(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        rt.load_runs(record.run_dir.parent).to_dataframe()


def test_runs_as_a_dataframe(record):
    pytest.importorskip("pandas")
    frame = rt.load_runs(record.run_dir.parent).to_dataframe()
    assert frame.loc[record.run_id, "config.corrupt"] == 1.0


def test_a_field_that_is_none_is_refused(tmp_path):
    with pytest.raises(RequestError, match="fields of RunConfig, received modle"):
        rt.run(modle="alexnet", runs_dir=tmp_path)


def test_a_model_by_name(tensorflow):
    model = rt.build_model("inception", input_shape=(28, 28, 3), num_classes=10)
    assert model.output_shape == (None, 10)
    assert rt.MODELS["inception"].weight_decay == 4e-5
    with pytest.raises(RequestError, match="did you mean --model=inception"):
        rt.build_model("incepton", (28, 28, 3), 10)


def test_a_data_set_by_name():
    train, test = rt.load_dataset("digits")
    assert train.images.shape == (1500, 16, 16, 1) and test.num_examples == 297
    assert "cifar10" in rt.DATASETS


def test_labels_are_corrupted_and_audited():
    true = np.arange(5000) % 10
    noisy = rt.corrupt_labels(true, 0.5, num_classes=10, seed=0)
    assert noisy.dtype == np.int32 and 0.42 < np.mean(noisy != true) < 0.48
    assert rt.audit_labels(true, noisy, p=0.5).ok
    assert not rt.audit_labels(true, true, p=0.5).ok
    np.testing.assert_array_equal(rt.corrupt_labels(true, 0.0), true)
    with pytest.raises(RequestError, match="from 0.0 to 1.0"):
        rt.corrupt_labels(true, 1.5)


def test_one_hot_labels_have_as_many_classes_as_columns():
    """A class without an example can be drawn, as the audit expects."""
    one_hot = np.eye(10)[np.arange(5000) % 9]
    noisy = rt.corrupt_labels(one_hot, 0.5)
    assert noisy.max() == 9
    assert rt.audit_labels(one_hot, np.eye(10)[noisy], p=0.5).ok


@pytest.mark.parametrize(
    "index", [[3], [0, 1, 2], np.arange(4) / 4, ["a", "b", "c", "d"], [0, 1, 2, -1], [[0, 1, 2, 3]]]
)
def test_an_index_that_does_not_name_each_example_is_refused(index):
    """One number for all would give all the same draw."""
    images = np.zeros([4, 2, 2, 1], np.uint8)
    with pytest.raises(RequestError, match="^index: expected"):
        rt.corrupt_labels([0, 1, 2, 1], 1.0, index=index)
    with pytest.raises(RequestError, match="^index: expected"):
        rt.corrupt_pixels(images, "random", index=index)
    given = rt.corrupt_labels([0, 1, 2, 1], 1.0, index=[2**32 - 1, 0, 7, 5])
    assert given.shape == (4,)


def test_a_run_of_leave_one_out_is_no_training(tmp_path, capsys):
    """Its examples.npz has other columns than a training's."""
    columns = {name: np.arange(4) for name in ("index", "true", "given", "margin_without")}

    def compute(folder):
        results.save_examples(folder, **columns)
        return {"audit": []}

    config = {"dataset": "digits", "corrupt": 0.5}
    tasks.carry_out(tmp_path, "leave-one-out", config, compute, argv=[], threads=1)
    (found,) = rt.load_runs(tmp_path)
    assert found.examples == {} and found.history == []
    for command in ("examples", "bound"):
        assert app.main([command, str(found.run_dir), f"--out={tmp_path / 'out'}"]) == 2
        told = capsys.readouterr().err
        assert "expected a run that trains a network; this one is leave-one-out" in told


def test_a_larger_p_corrupts_the_same_and_more():
    true = np.arange(1000) % 10
    less, more = (rt.corrupt_labels(true, p, seed=3) for p in (0.3, 0.6))
    changed = less != true
    np.testing.assert_array_equal(more[changed], less[changed])


def test_pixels_are_corrupted():
    images = np.random.default_rng(0).integers(256, size=(20, 6, 6, 3), dtype=np.uint8)
    shuffled = rt.corrupt_pixels(images, "shuffled", seed=0)
    for before, after in zip(images, shuffled, strict=True):
        assert not np.array_equal(before, after)
        same = (np.sort(x.reshape(-1, 3), axis=0) for x in (before, after))
        np.testing.assert_array_equal(*same)
    noise = rt.corrupt_pixels(images, "gaussian", seed=0)
    assert noise.dtype == np.float32 and abs(noise.mean() - images.mean()) < 8
    np.testing.assert_array_equal(rt.corrupt_pixels(images, "original"), images)
    test = rt.corrupt_pixels(images, "random", split="test")
    assert not np.array_equal(rt.corrupt_pixels(images, "random"), test)
    with pytest.raises(RequestError, match=r"uint8 \[N, H, W, C\], received float64 \[2, 2\]"):
        rt.corrupt_pixels(np.zeros([2, 2]), "random")
