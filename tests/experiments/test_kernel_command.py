"""`rethink-tf kernels`: audited data in, Table 3's numbers out."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import kernels as kernels_command
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import checksum
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import registry as datasets
from rethink_tf.experiments.kernels import solutions as kernel_solutions
from rethink_tf.experiments.kernels import task as kernel_command
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.runs import results
from rethink_tf.theory.kernels import memory, minimum_norm, random_conv
from rethink_tf.theory.kernels.gram import Kernel

DIGITS = ["--dataset=digits", "--examples=400", "--threads=2"]


@pytest.fixture
def run(tensorflow, own_signals, capsys, offline, monkeypatch):
    """(exit code, stdout, stderr) of one command line, on digits, offline; its runs in `runs`."""
    monkeypatch.chdir(offline)

    def call(*argv, command=kernels_command.main):
        capsys.readouterr()
        code = guarded(command, [*DIGITS, *argv])
        return (code, *capsys.readouterr())

    return call


def record_of(runs_dir="runs"):
    """All that the one run below a folder says of its solutions."""
    (path,) = Path(runs_dir).glob("kernels-*/solutions.json")
    return json.loads(path.read_text())


def digits():
    train, test = datasets.load("digits")
    train = datasets.take(train, 400, seed=0)
    flat = [split.images.reshape(len(split.images), -1) / 255 for split in (train, test)]
    return train, test, flat


def test_true_labels_give_scikit_learns_errors_and_a_whole_record(run, tmp_path):
    code, out, err = run("--ridge=0,0.5")
    assert (code, err) == (0, "")
    record = record_of()
    train, test, flat = digits()
    for ridge, found in zip([0, 0.5], record["solutions"], strict=True):
        theirs = KernelRidge(alpha=ridge, kernel="rbf", gamma=0.02)
        theirs.fit(flat[0], np.eye(10)[train.labels])
        for part, split, x in (("train", train, flat[0]), ("test", test, flat[1])):
            error = np.mean(theirs.predict(x).argmax(axis=1) != split.labels)
            assert found[f"{part}_error"] == pytest.approx(error, abs=1e-12)
        norm = np.sqrt(
            np.sum(theirs.dual_coef_ * (theirs._get_kernel(flat[0]) @ theirs.dual_coef_))
        )
        assert found["norms"]["all_classes"] == pytest.approx(norm, rel=1e-4)
        assert found["residuals"][-1] < 1e-6
    assert (record["status"], record["gamma"], record["examples"]) == ("DONE", 0.02, 400)
    assert record["labels_hash"] == checksum.labels_hash(train.index, train.labels)
    assert all(check["passed"] is not False for check in record["audit"])
    test_error = 100 * record["solutions"][0]["test_error"]
    assert f"ridge 0: train error 0.00%, test error {test_error:.2f}%" in out
    assert (
        "gaussian kernel, gamma 0.02 (the first author's for MNIST" in out
        and "memory: factor 0.493 MB, features 0.714 MB" in out
    )


def test_random_labels_are_interpolated_by_the_same_command(run, tmp_path):
    code, _out, _ = run("--corrupt=1", f"--cache_dir={tmp_path / 'cache'}")
    assert code == 0
    record = record_of()
    train, _, _ = digits()
    given = corruptions.corrupt_labels(
        train.labels, train.index, corrupt=1.0, num_classes=10, seed=0
    )
    assert record["labels_hash"] == checksum.labels_hash(train.index, given)
    assert record["changed_fraction"] == np.mean(given != train.labels) > 0.85
    (found,) = record["solutions"]
    assert found["train_error"] == 0 and found["test_error"] > 0.7
    assert found["test_at_chance"]["passed"] is True
    assert len(list((tmp_path / "cache").glob("factor-*/row_*"))) == 2


def test_a_test_error_that_chance_does_not_explain_is_invalid(run, monkeypatch):
    monkeypatch.setattr(
        minimum_norm, "one_hot", lambda labels, k: np.eye(k)[digits()[0].labels]
    )  # what is learnt are the true labels
    code, out, _ = run("--corrupt=1", "--examples=400")
    assert code == 3
    assert re.search("INVALID: random labels, .*not chance", out)
    (folder,) = Path("runs").iterdir()
    assert results.read_summary(folder)["status"] == record_of()["status"] == "INVALID"
    code, out, _ = run("--corrupt=1", "--examples=400")
    assert (code, out) == (3, f"finished before: {folder}, INVALID\n")


def test_random_filters_are_a_curve_that_goes_on_from_what_is_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    argv = ["--features=random_conv", "--ridge=0.001", f"--cache_dir={tmp_path}/kept"]
    code, out, _ = run(*argv, "--filters=64,32", "--runs_dir=a")
    assert code == 0 and "linear kernel" in out
    first = record_of("a")["solutions"]
    assert [found["filters"] for found in first] == [32, 64]
    assert first[1]["test_error"] < 0.1 and first[1]["train_error"] == 0
    code, out, _ = run(*argv, "--filters=96", "--runs_dir=b")
    assert code == 0
    assert "matrix of 64 filters" in out
    assert [found["filters"] for found in record_of("b")["solutions"]] == [96]


def test_an_unfinished_run_keeps_what_it_solved(run):
    assert run("--ridge=0,0.5")[0] == 0
    first = record_of()
    (path,) = Path("runs").glob("*/solutions.json")
    path.with_name(results.SUMMARY).unlink()
    path.write_text(json.dumps(first | {"solutions": first["solutions"][:1]}))
    code, out, _ = run("--ridge=0,0.5")
    assert code == 0 and f"from {path}:" in out
    second = record_of()["solutions"]
    assert second[0] == first["solutions"][0] and second[1]["ridge"] == 0.5
    assert second[1]["test_error"] == first["solutions"][1]["test_error"]
    path.with_name(results.SUMMARY).unlink()
    path.write_text(json.dumps(first | {"version": "another"}))
    code, _, err = run("--ridge=0,0.5")
    assert code == 2 and err.count("\n") == 1
    assert re.search(f"{re.escape(str(path))}:.*version.*received another; delete", err)
    path.write_text(json.dumps(first | {"settings": first["settings"] | {"block": 77}}))
    code, _, err = run("--ridge=0,0.5")
    assert code == 2 and "settings block" in err and "received 77; delete" in err


def test_the_gabor_bank_is_a_row_of_its_own(run, tmp_path):
    pytest.importorskip("skimage")
    argv = ["--features=gabor", "--gamma=0.002", "--orientations=4", "--frequencies=0.2,0.35"]
    code, out, err = run(*argv)
    assert (code, err) == (0, "")
    assert "; gabor, gaussian kernel, gamma 0.002 (--gamma)" in out
    (found,) = record_of()["solutions"]
    assert found["train_error"] == 0 and found["test_error"] < 0.1 and found["solved"]
    d = 8 * 8 * 2 * 4
    stated = kernel_solutions.memory_of(
        Settings(features="gabor", orientations=4, frequencies="0.2,0.35"),
        400,
        297,
        (16, 16, 1),
        "float32",
    )
    assert stated["features"] == 697 * d * 4


def test_tensorflows_tiles_give_the_same(run, tmp_path):
    both = []
    for backend in ("numpy", "tensorflow"):
        code, out, _ = run(f"--backend={backend}", f"--runs_dir={backend}", "--block=150")
        assert code == 0 and ("TensorFlow on /CPU:0" in out) == (backend == "tensorflow")
        both += record_of(backend)["solutions"]
    host, device = both
    assert device["test_error"] == host["test_error"]
    assert device["norms"]["all_classes"] == pytest.approx(host["norms"]["all_classes"], rel=1e-5)
    assert device["residuals"][0] == pytest.approx(host["residuals"][0], rel=0.9)


def test_what_is_not_solved_to_the_tolerance_is_said(run, tmp_path):
    _, out, _ = run("--refinements=0", "--tolerance=1e-12")
    assert "NOT SOLVED to --tolerance; try more --refinements, --dtype=float64" in out
    assert record_of()["solutions"][0]["solved"] is False
    _, out, _ = run("--tolerance=1e-6")
    assert "NOT SOLVED" not in out


def test_what_does_not_fit_is_refused_with_what_does(run, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    code, out, err = run("--examples=1500")
    assert code == 2 and "; 1 MB available" in out
    assert err.count("\n") == 1 and "memory: needed factor" in err
    assert "1,000 do not fit either" in err
    sizes = [
        sum(kernel_solutions.memory_of(Settings(), n, 297, (16, 16, 1), dtype).values())
        for n, dtype in ((1000, "float32"), (1500, "float32"), (1500, "float64"))
    ]
    assert sizes == sorted(sizes)
    monkeypatch.setattr(memory, "available", lambda: sizes[0])
    assert "; type --examples=1000\n" in run("--examples=1500")[2]
    monkeypatch.setattr(memory, "available", lambda: sizes[1])
    assert "; type --dtype=float32 (" in run("--examples=1500", "--dtype=float64")[2]


def test_what_cannot_interpolate_is_left_out_before_any_filter_is_made(capsys):
    settings, steps = Settings(features="random_conv"), [(16, 0.0), (16, 0.1), (64, 0.0)]
    found = kernel_solutions.possible(settings, Kernel("linear"), steps, 400, (16, 16, 1))
    assert found == [(16, 0.1), (64, 0.0)]
    assert capsys.readouterr().out == (
        "left out: --ridge: expected more than 0, since 129 features of 16 filters cannot "
        "interpolate 400 examples; type --ridge=0.001, or --examples=129\n"
    )
    gaussian = Kernel("gaussian", 1.0)
    assert kernel_solutions.possible(settings, gaussian, steps, 400, (16, 16, 1)) == steps


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--kernel=rbf"], "--kernel: expected one of gaussian, linear; received rbf"),
        (["--ridge=-1"], r"--ridge: expected numbers from 0 to 1e\+12 with commas, received -1"),
        (["--ridge=nan"], "--ridge: expected numbers from 0"),
        (["--filters=1.5", "--features=random_conv"], "--filters: expected whole numbers from 1"),
        (["--gamma=0"], "--gamma: expected a number above 0"),
        (["--gamma=1", "--kernel=linear"], "--gamma: expected none with --kernel=linear"),
        (
            ["--features=gabor"],
            "digits; type rethink-tf bandwidth",
        ),
        (["--gama=1"], r"unknown flag --gama; did you mean --gamma\?"),
        (["--examples=many"], "--examples: .*at least 1, received 'many'"),
        (["--kernel=linear"], "--ridge: expected more than 0, since 256 features cannot"),
        (["--model=alexnet"], "unknown flag --model"),
        (["--dataset=imagenet2012"], "--dataset: .*held in memory; .*imagenet2012"),
    ],
)
def test_wrong_requests_are_one_line(argv, message, run):
    code, _, err = run(*argv)
    assert code == 2 and err.count("\n") == 1 and re.search(message, err)


@pytest.mark.parametrize(
    "data, features, said",
    [
        ({"dataset": "mnist"}, "pixels", "paper, Table 3: test error 1.2%, l2 norm 220\n"),
        ({"dataset": "mnist"}, "gabor", "paper, Table 3: test error 0.6%, l2 norm 390\n"),
        (
            {"dataset": "cifar10", "examples": 9},
            "pixels",
            "paper, Table 3: test error 46%, on all examples\n",
        ),
        (
            {"dataset": "cifar10"},
            "random_conv",
            "paper, Table 3: test error 17% (15% with ridge), at 32,000 filters\n",
        ),
        ({"dataset": "cifar10", "corrupt": 1.0}, "pixels", ""),
        ({"dataset": "digits"}, "pixels", ""),
    ],
)
def test_the_papers_number_stands_beside_its_own_row_only(data, features, said, capsys):
    kernel_command.say_paper(RunConfig(**data), Settings(features=features))
    assert capsys.readouterr().out == said


def test_help_names_every_flag_and_its_default(run):
    code, out, _ = run("--help")
    assert code == 0
    for words in ("--features", "--filters", "[1024]", "--cache_dir", "--corrupt", "--refinements"):
        assert words in out
    assert "cropped from the centre [whole images]" in " ".join(out.split())
