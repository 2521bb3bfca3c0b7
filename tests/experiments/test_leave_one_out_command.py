"""`rethink-tf leave-one-out`: audited data in; what refits by scikit-learn give, out."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from rethink_tf.cli import app
from rethink_tf.data import registry as datasets
from rethink_tf.experiments.kernels import leave_one_out
from rethink_tf.runs import results
from rethink_tf.theory.kernels import memory, minimum_norm

DIGITS = ["--dataset=digits", "--examples=200", "--threads=2"]


@pytest.fixture
def run(tensorflow, own_signals, capsys, offline, monkeypatch):
    """(exit code, stdout, stderr) of one command line, on digits, offline; its runs in `runs`."""
    monkeypatch.chdir(offline)

    def call(*argv):
        capsys.readouterr()
        code = app.main(["leave-one-out", *DIGITS, *argv])
        return (code, *capsys.readouterr())

    return call


def folder_of(*argv):
    return Path("runs", leave_one_out.identify([*DIGITS, *argv])[1])


@pytest.mark.parametrize("ridge", [0, 0.5])
def test_it_is_what_scikit_learn_gives_without_each_example(run, ridge):
    argv = [f"--ridge={ridge}", "--dtype=float64", "--corrupt=0.5"]
    code, out, err = run(*argv)
    assert (code, err) == (0, "")
    found = np.load(folder_of(*argv) / results.EXAMPLES)
    summary = results.read_summary(folder_of(*argv))
    train, test = datasets.load("digits")
    train = datasets.take(train, 200, seed=0)
    x, at = (split.images.reshape(len(split.images), -1) / 255 for split in (train, test))
    targets = np.eye(10)[found["given"]]

    def fit(rows):
        return KernelRidge(alpha=ridge, kernel="rbf", gamma=0.02).fit(x[rows], targets[rows])

    whole = fit(np.arange(200))
    for i in range(0, 200, 20):
        without = fit(np.arange(200) != i)
        values = without.predict(x[[i]])[0]
        other = np.delete(values, found["given"][i]).max()
        margin = values[found["given"][i]] - other
        assert found["margin_without"][i] == pytest.approx(margin, abs=1e-5)
        assert found["predicted_without"][i] == values.argmax()
        moved = np.abs(whole.predict(at) - without.predict(at)).max()
        assert found["stability"][i] == pytest.approx(moved, rel=1e-4)
    right = found["predicted_without"] == found["given"]
    assert summary["leave_one_out_error"] == pytest.approx(1 - right.mean())
    np.testing.assert_array_equal(found["memorised"], (found["margin"] > 0) & ~right)
    noisy = found["given"] != found["true"]
    by = summary["memorised_by"]
    assert by["noisy"] == pytest.approx(found["memorised"][noisy].mean())
    assert by["noisy"] > by["clean"]
    assert summary["stability"]["mean"] == pytest.approx(found["stability"].mean())
    assert summary["exact"] and summary["solved"] and summary["equal_examples"] == []
    for name in ("margins.png", "most_memorised.png"):
        assert (folder_of(*argv) / name).stat().st_size > 1000
    assert f"leave-one-out error {100 * summary['leave_one_out_error']:.2f}%" in out
    again = run(*argv)
    assert again == (0, f"finished before: {folder_of(*argv)}, DONE\n", "")


def test_other_labels_take_what_is_kept(run, tmp_path):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    assert run(cache)[0] == 0
    parts = {path.name for path in (tmp_path / "cache").glob("factor-*/*")}
    assert {"row_0000", "diagonal_0000"} < parts and any("reach_" in name for name in parts)
    code, _, _ = run(cache, "--corrupt=1")
    assert code == 0 and len(list((tmp_path / "cache").glob("factor-*"))) == 1
    summary = results.read_summary(folder_of("--corrupt=1"))
    assert summary["leave_one_out_error"] > 0.7 and summary["train_error"] == 0
    assert summary["audit"][-1]["name"] == "test_at_chance"


def test_a_test_error_that_chance_does_not_explain_is_invalid(run, monkeypatch):
    train, _ = datasets.load("digits")
    train = datasets.take(train, 200, seed=0)
    monkeypatch.setattr(minimum_norm, "one_hot", lambda labels, k: np.eye(k)[train.labels])
    code, out, _ = run("--corrupt=1")
    assert code == 3 and re.search("INVALID: random labels, .*not chance", out)


@pytest.mark.parametrize(
    "more, message",
    [
        (["--features=random_conv"], "--features: expected one of pixels"),
        (["--ridge=0,1"], "--ridge: expected one number, received 0,1"),
        (["--ridge=x"], "--ridge: expected numbers from 0"),
        (["--filters=64"], "unknown flag --filters"),
        (["--features=gabor"], "--gamma: expected a bandwidth"),
        (
            ["--kernel=linear", "--examples=300"],
            "--ridge: expected more than 0, since 256 features cannot",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(run, more, message):
    code, _, err = run(*more)
    assert code == 2 and err.startswith(f"rethink_tf: {message}"), err


def test_too_little_memory_is_refused(run, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**5)
    code, _, err = run()
    assert code == 2 and "block columns" in err and "type a smaller --examples" in err
