"""rethink-tf: every command is listed by group and found by its name; a typo is one line."""

import importlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import rethink_tf
from rethink_tf.cli import app

ROOT = Path(__file__).resolve().parents[2]


def test_every_module_of_a_command_is_listed():
    folder = ROOT / "rethink_tf" / "cli"
    paths = [path.relative_to(ROOT).with_suffix("") for path in folder.rglob("*.py")]
    modules = {".".join(path.parts) for path in paths if path.name != "__init__"}
    libraries = {f"rethink_tf.cli.{name}" for name in ("app", "leaving")}
    listed = {one.module for one in app.COMMANDS.values()}
    assert listed - {"rethink_tf.main"} == modules - libraries


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_command_has_a_main(name):
    assert callable(importlib.import_module(app.COMMANDS[name].module).main)


def test_it_is_a_list_by_group_without_tensorflow():
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_module('rethink_tf', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n    print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 False"
    listed = [line.split()[0] for line in lines[1:-1] if line.startswith("  ")]
    assert listed == list(app.COMMANDS)
    assert [line for line in lines if line.endswith(":")] == [f"{group}:" for group in app.GROUPS]
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize("word", ["randomisation-test", "randomisation_test"])
def test_hyphens_and_underscores_are_one(word):
    assert app.command_named(word) is app.COMMANDS["randomisation-test"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("trian", "did you mean train?"),
        ("sweeep", "did you mean sweep?"),
        ("xyz", "rethink-tf lists them"),
        ("--epochs=3", "to train a run, type rethink-tf train --epochs=3"),
    ],
)
def test_an_unknown_command_is_refused_in_one_line(word, hint, capsys, own_signals):
    assert app.main([word]) == 2
    expected = f"rethink_tf: expected a command, received {word}; {hint}\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_is_the_list(argv, capsys, own_signals):
    assert app.main(argv) == 0
    assert "kernel interpolation (Table 3)" in capsys.readouterr().out


def test_train_is_the_main_command(capsys, own_signals):
    assert app.main(["train", "--epochs=0"]) == 2
    assert "--epochs: expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--version"], ["trian"], ["audit"]])
def test_afterwards_the_handler_of_signals_is_that_of_before(argv, capsys, own_signals):
    def own(*_):
        """A handler of the caller's."""

    signal.signal(signal.SIGTERM, own)
    app.main(argv)
    assert signal.getsignal(signal.SIGTERM) is own


def test_within_a_command_sigterm_ends_it(own_signals):
    def command(argv):
        signal.raise_signal(signal.SIGTERM)
        return 0

    with pytest.raises(SystemExit) as ended:
        app.guarded(command, [])
    assert ended.value.code == 143


def test_a_command_may_run_in_a_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(app.main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_the_version_is_printed(capsys, own_signals):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rethink_tf {rethink_tf.__version__}\n"


TRAIN_NOTHING = ["report", "show", "tensorboard", "audit", "noise", "ship", "corrupted-test"]


@pytest.mark.parametrize("name", TRAIN_NOTHING)
def test_what_trains_nothing_says_nothing_of_training_on_ctrl_c(
    name, monkeypatch, capsys, own_signals
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(app.importlib, "import_module", interrupted)
    assert app.main([name]) == 130
    told = capsys.readouterr().err
    assert told.startswith("rethink_tf: interrupted; ") and "train" not in told
    assert "the same command" in told
