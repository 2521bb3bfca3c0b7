"""One run from the command line, in process: exit codes, what is written, what is said."""

import fcntl
import os
import re
import signal
from types import SimpleNamespace

import pytest

from rethink_tf.cli import app
from rethink_tf.errors import AuditError, DivergedError, ExitCode
from rethink_tf.runs import agreement, results

TINY = ["--model=mlp_1x512", "--epochs=2", "--corrupt=1.0", "--examples=300"]
TINY_ID = "mlp_1x512-d1be464e270a"


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--corrupt=1.5"], r"--corrupt: expected a number from 0\.0 to 1\.0, received 1\.5"),
        (["--corrupt=nan"], r"--corrupt: expected a number from 0\.0 to 1\.0, received nan"),
        (["--learning_rate=inf"], r"--learning_rate: expected a number above 0\.0 to 1000\.0"),
        (["--model=incption"], r"did you mean --model=inception\?"),
        (["--model=in\ncption"], "--model: expected one of"),
        (["--batch_size=0"], "--batch_size: .*from 1 to 1000000, received 0"),
        (["--epochs=" + "9" * 400], "--epochs: .*from 1 to 1000000, received 999"),
        (["--batchsize=1"], r"unknown flag --batchsize; did you mean --batch_size\?"),
        (["--x\ny=1"], "unknown flag --x"),
        (["--flagfile=/no/such.flags"], r"/no/such\.flags"),
        (["inception"], r"expected flags only \(--name=value\), received 'inception'"),
        (["--dataset=digits", "--augment=crop"], "--augment=crop: expected images larger"),
        (["--dataset=digits", "--examples=1501"], "--examples: expected at most 1500"),
        (["--data_dir=gs://bucket/data"], "local folder, got gs://bucket/data"),
        (["--dataset=digits", "--labels_from=/no/noise.csv"], r"/no/noise\.csv"),
        (
            ["--dataset=digits", "--keep_epochs=1,26,21,70"],
            "--keep_epochs: .*from 1 to 21, .*received 26, 70",
        ),
        (
            ["--dataset=digits", "--keep_epochs=0", "--dry_run"],
            "--keep_epochs: expected epochs such as 1,5,20, received 0",
        ),
    ],
)
def test_a_wrong_request_is_one_line(argv, message, refused, offline, no_training):
    code, err = refused(*argv, f"--runs_dir={offline}/runs")
    assert code == ExitCode.WRONG_REQUEST == 2
    assert re.search(message, err)
    assert not (offline / "runs").exists()


def test_a_data_set_that_is_not_there_says_how_to_get_it(refused, offline, tensorflow):
    argv = ["--dataset=cifar10", "--model=mlp_1x512", f"--runs_dir={offline}/runs"]
    code, err = refused(*argv)
    assert code == 2
    assert f"expected cifar10 in {offline}/no_data or a network" in err
    assert "--data_dir=DIR" in err and "--dataset=digits" in err
    assert agreement.load_runs(offline / "runs") == []


def test_help_is_no_failure(call, no_training):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert out.startswith("python -m rethink_tf.main ") and "  --corrupt " in out


def test_a_run_says_that_it_is_on_digits_and_records_it(tiny):
    assert (tiny.code, tiny.err) == (0, "")
    said = tiny.out.splitlines()[0]
    assert "CIFAR-10" in said and "scikit-learn's digits" in said and "/no_data" in said
    assert [path.name for path in tiny.runs_dir.iterdir()] == [tiny.run_id]
    assert results.read_config(tiny.run_dir)["config"]["dataset"] == "digits"
    assert results.read_summary(tiny.run_dir)["config"]["dataset"] == "digits"
    assert "\nData           digits, 300 examples for training, " in tiny.out


def test_what_a_run_says(tiny):
    lines = tiny.out.splitlines()
    assert lines[1] == f"Run            {tiny.run_id}"
    (header,) = [
        i for i, line in enumerate(lines) if line.startswith("epoch      loss  train_running")
    ]
    epochs = lines[header + 1 : header + 3]  # with nothing between
    assert [line[:5] for line in epochs] == ["    1", "    2"]
    assert "\r" not in tiny.out, "no progress bar where the output is piped"
    assert "test labels at chance" in str(lines[-2])
    assert lines[-1] == str(tiny.run_dir)


def test_a_run_says_how_long_its_first_step_compiled(tiny):
    lines = tiny.out.splitlines()
    (said,) = [line for line in lines if line.startswith("compiling")]
    seconds = float(re.fullmatch(r"compiling the first step(?: with XLA)?: (\d+\.\d) s", said)[1])
    first = results.read_history(tiny.run_dir)[0]["timing"]["train_seconds"]
    assert 0 < seconds <= first + 0.05
    header = [line.startswith("epoch ") for line in lines].index(True)
    epoch = [line.startswith("    1 ") for line in lines].index(True)
    assert lines.index(said) < header == epoch - 1


def test_a_run_that_another_process_holds(tmp_path, refused, no_training):
    run_dir = tmp_path / TINY_ID
    run_dir.mkdir()
    with open(run_dir / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("12345")
        file.flush()
        argv = [*TINY, "--dataset=digits", f"--runs_dir={tmp_path}"]
        code, err = refused(*argv)
    assert code == ExitCode.IN_USE == 5
    assert f"{run_dir}: in use by process 12345, " in err
    assert [path.name for path in run_dir.iterdir()] == ["lock"]


@pytest.fixture
def no_data(monkeypatch, tensorflow):
    """Whatever loads data fails the test."""

    def fail(*_, **__):
        raise AssertionError("no data are to be loaded here")

    monkeypatch.setattr("rethink_tf.data.registry.load", fail)


def test_more_devices_than_there_are_are_refused_before_data_are_loaded(no_data, tmp_path, refused):
    # TensorFlow runs already, with one CPU.
    code, err = refused(*TINY, "--dataset=digits", "--devices=3", f"--runs_dir={tmp_path}")
    assert code == 2 and "--devices: expected at most 1, received 3" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "replicas, batch, message",
    [
        (
            64,
            32,
            "--batch_size: .*at least 64, .*last batch of 300 .*12; type --batch_size=75",
        ),
        (16, 32, "32, whose last batch of 300 examples has 12; type --batch_size=34\n"),
        (4, 2, "2, whose last batch of 300 examples has 2; type --batch_size=4\n"),
        (
            512,
            32,
            "--examples: .*at least 512, .*received 300; .*--devices",
        ),
    ],
)
def test_batches_too_small_for_the_replicas_are_refused_before_data_are_loaded(
    replicas, batch, message, no_data, tmp_path, refused, monkeypatch
):
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    monkeypatch.setattr("rethink_tf.training.devices.setup.strategy", lambda *_: strategy)
    argv = [*TINY, "--dataset=digits", f"--batch_size={batch}", f"--runs_dir={tmp_path}"]
    code, err = refused(*argv)
    assert code == 2 and re.search(message, err)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path, refused, no_training):
    (tmp_path / "file").write_text("kept")
    argv = [*TINY, "--dataset=digits", f"--runs_dir={tmp_path}/file/runs"]
    code, err = refused(*argv)
    assert code == ExitCode.STORAGE_FAILED == 6
    assert f"{tmp_path}/file/runs/{TINY_ID}: Not a directory" in err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_damaged_summary(tmp_path, refused, no_training):
    (tmp_path / TINY_ID).mkdir()
    (tmp_path / TINY_ID / "summary.json").write_text("{")
    argv = [*TINY, "--dataset=digits", f"--runs_dir={tmp_path}"]
    code, err = refused(*argv)
    assert code == 6 and f"{TINY_ID}/summary.json: expected JSON" in err


def test_a_dry_run_says_and_writes_nothing(tmp_path, tensorflow, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rethink_tf.training.run.run", lambda *_, **__: 1 / 0)
    code, out, err = call(*TINY, "--dataset=digits", "--dry_run")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"run {TINY_ID}"
    assert "  Parameters               136,714 trainable\n" in out
    assert "  Memory of the data       0.2 MB on the device" in out
    assert not list(tmp_path.iterdir())
    argv = ["--model=inception", "--dataset=cifar10", "--corrupt=1", "--dry_run"]
    code, out, _ = call(*argv, f"--data_dir={tmp_path}")
    assert code == 0 and out.startswith("run inception-d11e19b74e52\n")
    assert "1,649,402 trainable" in out and "Memory of the data       141.1 MB" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [AuditError, DivergedError])
def test_an_expected_failure_of_any_command_is_one_line(error, capsys, own_signals):
    def command(argv):
        raise error(f"what went wrong with {argv[0]}")

    assert app.guarded(command, ["x"]) == error.exit_code
    assert re.search("^rethink_tf: what went wrong with x\n$", capsys.readouterr().err)


def test_a_bug_is_not_hidden(capsys, own_signals):
    with pytest.raises(ZeroDivisionError):
        app.guarded(lambda _: 1 // 0, [])
    assert capsys.readouterr().err == ""


def test_signals_end_a_command_with_their_codes(capsys, own_signals):
    def interrupted(_):
        raise KeyboardInterrupt

    assert app.guarded(interrupted, []) == ExitCode.INTERRUPTED == 130
    assert "interrupted before anything was trained" in capsys.readouterr().err

    def saying(words):
        raise KeyboardInterrupt(words)

    assert app.guarded(interrupted, [], app.NOTHING_KEPT) == 130
    assert capsys.readouterr().err == f"rethink_tf: {app.NOTHING_KEPT}\n"
    assert app.guarded(saying, "half is done", app.NOTHING_KEPT) == 130
    assert capsys.readouterr().err == "rethink_tf: half is done\n"
    with pytest.raises(SystemExit) as ended:
        app.guarded(lambda _: os.kill(os.getpid(), signal.SIGTERM), [])
    assert ended.value.code == ExitCode.TERMINATED == 143


def test_the_exit_codes():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "BUG": 1,
        "WRONG_REQUEST": 2,
        "INVALID": 3,
        "DIVERGED": 4,
        "IN_USE": 5,
        "STORAGE_FAILED": 6,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }
