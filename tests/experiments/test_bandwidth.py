"""The bandwidth is chosen on a held-out part of the training set, never on the test set."""

import re

import numpy as np
import pytest

from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import bandwidth as bandwidth_choice
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels.bandwidth import held_out_of
from rethink_tf.runs import results
from rethink_tf.theory.kernels import bandwidth
from rethink_tf.theory.kernels import interpolate as kernels


def test_the_parts_are_disjoint_and_a_seeds_own():
    fit, measured = bandwidth.held_out(100, 30, seed=1)
    assert (len(fit), len(measured)) == (70, 30)
    np.testing.assert_array_equal(np.sort(np.concatenate([fit, measured])), np.arange(100))
    assert set(measured) != set(bandwidth.held_out(100, 30, seed=2)[1])


def test_the_median_is_of_squared_distances():
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    pairs = [((x[i] - x[j]) ** 2).sum() for i in range(50) for j in range(i)]
    assert bandwidth.median_squared_distance(x) == pytest.approx(np.median(pairs), rel=1e-5)


def test_errors_are_those_of_the_held_out_examples_alone():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120).astype(np.int32)
    x = (np.eye(3)[labels] * 5 + rng.standard_normal((120, 3))).astype(np.float32)
    _, measured = bandwidth.held_out(120, 40, seed=0)
    options = {"gammas": [1e-9, 0.1], "ridges": [1e-3], "count": 40, "seed": 0}
    blind, good = bandwidth.errors(x, labels, 3, **options)
    assert blind[0] == 1e-9 and blind[2] > 0.2 and good[2] < 0.05
    spoiled = labels.copy()
    spoiled[measured] = (spoiled[measured] + 1) % 3
    *_, worse = bandwidth.errors(x, spoiled, 3, **options)
    assert worse[2] > 0.95


def test_a_bandwidth_that_cannot_be_solved_does_not_end_the_choice(
    tensorflow, own_signals, capsys, offline, monkeypatch
):
    real = kernels.interpolate

    def interpolate(train, test, targets, kernel, **options):
        if kernel.gamma < bound[0]:
            raise RequestError("not positive definite")
        return real(train, test, targets, kernel, **options)

    monkeypatch.setattr(bandwidth.errors, "__kwdefaults__", {"interpolate": interpolate})
    argv = ["--dataset=digits", "--examples=200", "--held_out=50", "--gammas=0.001,0.02"]
    argv.append(f"--runs_dir={offline}")
    bound = [0.01]
    assert guarded(bandwidth_choice.main, argv) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r" 0\.001 0 - \(not positive definite .*\) 0\.02 0 ", out)
    assert "best on the held-out part: --gamma=0.02 " in out
    bound[0] = 1.0
    assert guarded(bandwidth_choice.main, [*argv, "--seed=1"]) == 2
    assert re.search("--gammas: .*larger ones, or --dtype=float64", capsys.readouterr().err)


def test_the_command_is_a_run_that_names_the_best_and_holds_all(
    tensorflow, own_signals, capsys, offline
):
    argv = [
        "--dataset=digits",
        "--examples=300",
        "--held_out=100",
        "--gammas=0.0001,0.02,5",
        f"--runs_dir={offline}/runs",
        "--threads=2",
    ]
    assert guarded(bandwidth_choice.main, argv) == 0
    out = capsys.readouterr().out
    (folder,) = (offline / "runs").iterdir()
    assert out.endswith(f"{folder}/summary.json\n") and folder.name.startswith("bandwidth-")
    summary = results.read_summary(folder)
    tried = summary["tried"]
    best = min(tried, key=lambda row: row["error"])
    assert [row["gamma"] for row in tried] == [0.0001, 0.02, 5] and best["gamma"] == 0.02
    assert (summary["gamma"], summary["held_out_error"]) == (0.02, best["error"])
    assert guarded(bandwidth_choice.main, argv) == 0
    assert capsys.readouterr().out == f"finished before: {folder}, DONE\n"
    assert "best on the held-out part: --gamma=0.02 --ridge=0 " in out
    assert re.search("200 examples to solve, 100 .*held out", out)
    marked = [line.split()[0] for line in out.splitlines() if "not solved to --tol" in line]
    assert marked == [f"{row['gamma']:.4g}" for row in tried if row["residual"] > 1e-6] != []
    wrong = {
        "--features=random_conv": "expected pixels or gabor",
        "--held_out=300": "--held_out: expected less than the 300",
        "--gamma=0.1": "unknown flag --gamma; did you mean --gammas?",
    }
    for more, message in wrong.items():
        assert guarded(bandwidth_choice.main, [*argv, more]) == 2
        assert message in capsys.readouterr().err


def test_a_third_is_held_out_unless_asked_otherwise(tensorflow, own_signals, capsys, offline):
    argv = ["--dataset=digits", "--gammas=0.02", "--threads=2", f"--runs_dir={offline}"]
    assert guarded(bandwidth_choice.main, argv) == 0
    out = capsys.readouterr().out
    assert re.search("digits: 1,000 examples to solve, 500 .*held out", out)
    for examples, count in ((1500, 500), (6000, 2000), (10_000, 2000)):
        assert held_out_of(None, examples) == count
    assert guarded(bandwidth_choice.main, [*argv, "--examples=29"]) == 2
    assert "--examples: expected at least 30, a third of which" in capsys.readouterr().err
    assert guarded(bandwidth_choice.main, [*argv, "--held_out=1500"]) == 2
    assert "--held_out: expected less than the 1500 examples" in capsys.readouterr().err


def test_what_is_not_solved_is_said(tensorflow, own_signals, capsys, offline):
    argv = ["--dataset=digits", "--examples=300", "--gammas=0.02", "--threads=2"]
    argv.append(f"--runs_dir={offline}")
    assert guarded(bandwidth_choice.main, [*argv, "--refinements=0", "--tolerance=1e-12"]) == 0
    out = capsys.readouterr().out
    assert "  (not solved to --tolerance)\n" in out
    assert "not solved to --tolerance; try --dtype=float64 or a --ridge" in out


def test_images_that_are_mostly_equal_have_no_bandwidth_of_their_own(
    tensorflow, own_signals, capsys, offline, monkeypatch
):
    monkeypatch.setattr(bandwidth, "median_squared_distance", lambda x: 0.0)
    argv = ["--dataset=digits", "--examples=300", "--threads=2", f"--runs_dir={offline}"]
    assert guarded(bandwidth_choice.main, argv) == 2
    assert re.search(
        "--gammas: .*median distance .*is 0, .*type --gammas=", capsys.readouterr().err
    )
    assert guarded(bandwidth_choice.main, [*argv, "--gammas=0.02"]) == 0


def test_help_says_the_defaults_that_are_its_own(own_signals, capsys):
    assert guarded(bandwidth_choice.main, ["--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in ("[10,000, or all where there are fewer]", "[whole images]", "[2,000, at most a"):
        assert words in out
