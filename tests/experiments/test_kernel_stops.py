"""A kernel command that takes long: how far it is, and what an interrupt leaves."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import kernels as kernels_command
from rethink_tf.console import StageProgress
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import task as kernel_command
from rethink_tf.theory.kernels import cholesky, random_conv, rectify, streamed

DIGITS = ["--dataset=digits", "--examples=400", "--threads=2"]


@pytest.fixture
def run(tensorflow, own_signals, capsys, offline, monkeypatch):
    """(exit code, stdout, stderr) of one command line, on digits, offline; its runs in `runs`."""
    monkeypatch.chdir(offline)

    def call(*argv):
        capsys.readouterr()
        code = guarded(kernels_command.main, [*DIGITS, *argv])
        return (code, *capsys.readouterr())

    return call


def test_progress_says_how_long_it_will_take_now_and_then():
    said, now = [], [0.0]
    progress = StageProgress(said.append, lambda: now[0], interval=15)
    for step in range(11):
        now[0] = 10.0 * step
        progress("factor", step / 10)
    # After two seconds and more, then not before the interval is over.
    assert said == [f"  factor: {10 * s}%, {100 - 10 * s} s left" for s in (1, 3, 5, 7, 9)]
    now[0] = 200.0
    progress("factor", 0.1)  # begins anew
    now[0] = 201.9
    progress("factor", 0.15)
    assert len(said) == 5, "what is over in two seconds needs no line"
    now[0] = 220.0
    progress("factor", 0.2)
    assert said[5:] == ["  factor: 20%, 3 min left"]
    now[0] = 230.0
    progress("test set", 0.5)
    now[0] = 233.0
    progress("test set", 1.0)
    assert len(said) == 6, "an end needs no line either"


def test_progress_waits_where_nothing_is_done_and_begins_anew_after_an_end():
    said, now = [], [0.0]
    progress = StageProgress(said.append, lambda: now[0], interval=15)
    for seconds, share in ((0, 0.2), (3, 0.2), (6, 0.2), (8, 0.4), (60, 1.0), (61, 1.0), (65, 1.0)):
        now[0] = seconds
        progress("features", share)
    assert said == ["  features: 40%, 24 s left"], "the standstill counts"


def test_every_stage_that_takes_long_says_how_far_it_is(run, monkeypatch):
    said = []
    monkeypatch.setattr(kernel_command, "StageProgress", lambda: lambda *step: said.append(step))
    assert run("--block=100")[0] == 0
    stages = [stage for k, (stage, _) in enumerate(said) if k == 0 or said[k - 1][0] != stage]
    first, residual, *refinements, last = stages
    assert (first, residual, last) == ("factor", "residual", "test set")
    for step, stage in enumerate(refinements):
        words = rf"residual \de-\d\d after {step} of at most 10 refinements; next"
        assert re.fullmatch(words, stage)
    assert len(refinements) == 2
    for stage in stages:
        shares = [share for name, share in said if name == stage]
        assert 0 < shares[0] < 1 and shares[-1] == pytest.approx(1)


def test_an_interrupted_factor_of_random_filters_goes_on_and_the_last_is_kept(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    rows, real = [], cholesky.eliminate_on_host

    def eliminate_on_host(row, factor):
        rows.append(len(factor))
        if len(rows) == 7:
            raise KeyboardInterrupt
        return real(row, factor)

    monkeypatch.setattr(cholesky, "eliminate_on_host", eliminate_on_host)
    argv = [
        "--features=random_conv",
        "--filters=64",
        "--ridge=0.5,0",
        f"--cache_dir={tmp_path}",
        "--block=100",
    ]
    assert run(*argv)[0] == 130
    assert rows == [0, 1, 2, 3, 0, 1, 2]
    code, out, _ = run(*argv, "--ridge=0")
    assert code == 0 and "matrix of 64 filters" in out
    assert rows[7:] == [2, 3]
    assert len(list(tmp_path.glob("gram-*/factor-*"))) == 1
    assert run(*argv, "--ridge=0", "--corrupt=1")[0] == 0
    assert rows[9:] == [], "other labels find the factor"


RANDOM = ["--features=random_conv", "--filters=64", "--ridge=0.5,1"]


def made_by(library, monkeypatch):
    """Lets responses be NumPy's, or those of a pass in place of Numba's."""

    def compiled(pool, low):
        def run(z, out, start):
            here = slice(start, start + z.shape[1])
            out[0, :, here] = pool @ np.maximum(z, 0)
            out[1, :, here] = pool @ np.maximum(low - z, 0)

        return run

    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    monkeypatch.setattr(rectify, "available", lambda: library == "numba")
    monkeypatch.setattr(rectify, "compiled", compiled)


def test_kernel_matrices_of_numba_and_of_numpy_are_not_mixed(run, tmp_path, monkeypatch):
    for count, library in enumerate(("numba", "numpy", "numba"), 1):
        made_by(library, monkeypatch)
        code, out, _ = run(*RANDOM, f"--cache_dir={tmp_path}", f"--runs_dir={count}")
        assert code == 0 and ("matrix of 64 filters" in out) == (count == 3)
        assert len(list(tmp_path.glob("gram-*"))) == min(count, 2)
        (path,) = Path(str(count)).glob("*/summary.json")
        assert json.loads(path.read_text())["features_library"] == library
    assert run("--runs_dir=pixels")[0] == 0
    (path,) = Path("pixels").glob("*/summary.json")
    assert json.loads(path.read_text())["features_library"] is None


def test_solutions_of_numba_and_of_numpy_are_not_mixed(run, monkeypatch):
    made_by("numba", monkeypatch)
    assert run(*RANDOM)[0] == 0
    (summary,) = Path("runs").glob("*/summary.json")
    summary.unlink()  # as if it had been killed before its end
    made_by("numpy", monkeypatch)
    code, _, err = run(*RANDOM)
    assert code == 2 and re.search("features_library, numpy; received numba; delete the file", err)
    made_by("numba", monkeypatch)
    assert run(*RANDOM)[0] == 0


NOTHING = "nothing is kept: type --cache_dir=DIR, with which the same command resumes"
KEPT = "what was kept of kernel matrices is in KEPT; the same command resumes"
SOLVED = r"what was solved is in runs/kernels-\w+/solutions\.json; "


@pytest.mark.parametrize(
    "argv, number, words, again",
    [
        ([], 2, NOTHING, [0, 1, 2, 3] * 2),
        (["--cache_dir=KEPT"], 2, KEPT, [1, 2, 3, 0, 1, 2, 3]),
        ([], 6, f"{SOLVED}the same command resumes", [0, 1, 2, 3]),
        (["--cache_dir=KEPT"], 6, SOLVED + KEPT, [1, 2, 3]),
    ],
)
def test_ctrl_c_while_solving_says_what_is_left(argv, number, words, again, run, monkeypatch):
    rows, real = [], cholesky.eliminate_on_host

    def eliminate_on_host(row, factor):
        rows.append(len(factor))
        if len(rows) == number:  # 2: of the first ridge, 6: of the second
            raise KeyboardInterrupt
        return real(row, factor)

    monkeypatch.setattr(cholesky, "eliminate_on_host", eliminate_on_host)
    argv = [*argv, "--block=100", "--ridge=0,0.5"]
    code, _, err = run(*argv)
    assert code == 130 and rows == [0, 1, 2, 3, 0, 1][:number]
    assert re.fullmatch(f"rethink_tf: interrupted; {words}\n", err)
    code, out, _ = run(*argv)
    assert code == 0 and "ridge 0.5: " in out
    assert rows[number:] == again


def test_ctrl_c_while_data_are_read_claims_no_result(run, monkeypatch):
    def interrupt(*_args, **_kinds):
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel_data, "resolved", interrupt)
    code, _, err = run()
    assert (code, err) == (130, "rethink_tf: interrupted before anything was trained\n")
    assert not Path("runs").exists()


def test_ctrl_c_before_anything_is_kept_claims_nothing(run, monkeypatch, tmp_path):
    def responses(*_args, **_kinds):
        raise KeyboardInterrupt

    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    monkeypatch.setattr(
        streamed.accumulate,
        "__kwdefaults__",
        {
            **streamed.accumulate.__kwdefaults__,
            "responses": responses,
        },
    )
    argv = ["--features=random_conv", "--filters=64", "--ridge=1", f"--cache_dir={tmp_path}"]
    code, _, err = run(*argv)
    assert code == 130
    assert re.search(
        f"nothing was kept yet in {re.escape(str(tmp_path))}; the same command resumes", err
    )


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_solved(
    run, tmp_path, monkeypatch
):
    def fail(*_):
        raise AssertionError("nothing is to be solved here")

    monkeypatch.setattr(kernel_command, "_solve", fail)
    (tmp_path / "file").write_text("")
    code, _, err = run(f"--runs_dir={tmp_path / 'file/runs'}")
    assert code == 6 and "Not a directory" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("examples, more", [(1, []), (2, ["--corrupt=1"]), (3, ["--ridge=1"])])
def test_a_handful_of_examples(run, examples, more):
    argv = ["--dataset=digits", f"--examples={examples}", *more]
    code, _out, err = run(*argv)
    assert (code, err) == (0, "")
    (path,) = Path("runs").glob("*/solutions.json")
    (found,) = json.loads(path.read_text())["solutions"]
    assert found["train_error"] == 0 and found["test_error"] > 0.5 and found["solved"]
