"""A kernel command that takes long: how far it is, and what an interrupt leaves."""

import json

import pytest

from rethink_tf.cli import kernels as kernels_command
from rethink_tf.cli.app import guarded
from rethink_tf.console import StageProgress
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import task as kernel_command
from rethink_tf.theory.kernels import cholesky, random_conv, streamed

DIGITS = ["--dataset=digits", "--examples=400", "--threads=2"]


@pytest.fixture
def run(tensorflow, own_signals, capsys, offline):
    """(exit code, stdout, stderr) of one command line, on digits, offline."""

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
    assert stages == ["factor", "residual", "test set"]
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
    argv = ["--features=random_conv", "--filters=64", "--ridge=0.5,0", f"--cache_dir={tmp_path}",
            "--block=100"]  # fmt: skip
    assert run(*argv)[0] == 130
    assert rows == [0, 1, 2, 3, 0, 1, 2]
    code, out, _ = run(*argv, "--ridge=0")
    assert code == 0 and "going on from the kept kernel matrix of 64 filters" in out
    assert rows[7:] == [2, 3]
    assert len(list(tmp_path.glob("gram-*/factor-*"))) == 1
    assert run(*argv, "--ridge=0", "--corrupt=1")[0] == 0
    assert rows[9:] == [], "other labels find the factor"


@pytest.mark.parametrize(
    "argv, words",
    [
        ([], "nothing is kept: type --cache_dir=DIR, with which the same command goes on"),
        (["--cache_dir=KEPT"], "what was kept of kernel matrices is in KEPT; the same command"),
        (["--json=a.json"], "what was solved is in a.json; the same command goes on"),
        (["--runs_dir=runs", "--cache_dir=KEPT"], "what was solved is in runs; what was kept of "),
    ],
)
def test_ctrl_c_while_solving_says_what_is_left(argv, words, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows, real = [], cholesky.eliminate_on_host

    def eliminate_on_host(row, factor):
        rows.append(len(factor))
        if len(rows) == 6:  # of the second ridge
            raise KeyboardInterrupt
        return real(row, factor)

    monkeypatch.setattr(cholesky, "eliminate_on_host", eliminate_on_host)
    argv = [*argv, "--block=100", "--ridge=0,0.5"]
    code, _, err = run(*argv)
    assert code == 130 and rows == [0, 1, 2, 3, 0, 1]
    assert err.startswith("rethink_tf: interrupted; ") and words in err and err.count("\n") == 1
    code, out, _ = run(*argv)
    assert code == 0 and "ridge 0.5: " in out
    solved = any(word.startswith(("--json", "--runs_dir")) for word in argv)
    again = [] if solved or "--cache_dir=KEPT" in argv else [0, 1, 2, 3]
    assert rows[6:] == again + ([1, 2, 3] if "--cache_dir=KEPT" in argv else [0, 1, 2, 3])


def test_ctrl_c_while_data_are_read_claims_no_result(run, monkeypatch, tmp_path):
    def interrupt(*_args, **_kinds):
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel_data, "resolved", interrupt)
    code, _, err = run(f"--json={tmp_path}/a.json")
    assert code == 130 and err.startswith("rethink_tf: interrupted; nothing is kept: type --cache")


def test_ctrl_c_before_anything_is_kept_claims_nothing(run, monkeypatch, tmp_path):
    def responses(*_args, **_kinds):
        raise KeyboardInterrupt

    monkeypatch.setattr(random_conv, "WHITENING_PATCHES", 500)
    monkeypatch.setattr(streamed.accumulate, "__kwdefaults__", {
        **streamed.accumulate.__kwdefaults__, "responses": responses,
    })  # fmt: skip
    argv = ["--features=random_conv", "--filters=64", "--ridge=1", f"--cache_dir={tmp_path}"]
    code, _, err = run(*argv)
    assert code == 130
    assert err == (
        f"rethink_tf: interrupted; nothing was kept yet in {tmp_path}; the same command goes on\n"
    )


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_solved(
    run, tmp_path, monkeypatch
):
    def fail(*_):
        raise AssertionError("nothing is to be solved here")

    monkeypatch.setattr(kernel_command, "_solve", fail)
    (tmp_path / "file").write_text("")
    for name, words in (("file/out.json", "Not a directory"), ("none/out.json", "No such file"),
                        ("", "Is a directory")):  # fmt: skip
        code, _, err = run(f"--json={tmp_path / name}")
        assert code == 6 and words in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("examples, more", [(1, []), (2, ["--corrupt=1"]), (3, ["--ridge=1"])])
def test_a_handful_of_examples(run, tmp_path, examples, more):
    path = tmp_path / "out.json"
    argv = ["--dataset=digits", f"--examples={examples}", f"--json={path}", *more]
    code, out, err = run(*argv)
    assert (code, err) == (0, "")
    (found,) = json.loads(path.read_text())["solutions"]
    assert found["train_error"] == 0 and found["test_error"] > 0.5 and found["solved"]
