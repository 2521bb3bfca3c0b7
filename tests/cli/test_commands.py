"""python -m rethink_tf: every command is listed, nothing else is taken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rethink_tf import __main__ as commands
from rethink_tf.main import guarded

ROOT = Path(__file__).resolve().parents[2]
# Started by the sweep, not by people.
INNER = {"child", "kernel_command", "theory_runs"}


def modules():
    """The modules that are a command, by name."""
    for path in (ROOT / "rethink_tf").rglob("*.py"):
        if re.search(r'^if __name__ == "__main__":', path.read_text(), re.M):
            yield ".".join(path.relative_to(ROOT / "rethink_tf").with_suffix("").parts)


def test_every_command_is_listed():
    found = {name.removesuffix(".__main__") for name in modules()} - {"__main__"}
    assert set(commands.COMMANDS) == found - INNER


def test_it_is_a_list_without_tensorflow():
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_module('rethink_tf', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n    print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 False"
    listed = [line.split()[0] for line in lines[2:-1]]
    assert listed == [f"rethink_tf.{name}" for name in commands.COMMANDS]
    assert all(len(line.split()) > 3 and len(line) < 100 for line in lines[2:-1])


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("sweep", "type python -m rethink_tf.cli.sweep"),
        ("rethink_tf.cli.show", "type python -m rethink_tf.cli.show"),
        ("trian", "python -m rethink_tf lists the commands"),
        ("--epochs=3", "python -m rethink_tf lists the commands"),
    ],
)
def test_an_argument_is_refused_in_one_line(word, known, capsys, own_signals):
    assert guarded(commands.main, [word]) == 2
    expected = f"rethink_tf: expected no argument, received {word}; {known}\n"
    assert capsys.readouterr() == ("", expected)


def test_help_is_the_list(capsys, own_signals):
    assert guarded(commands.main, ["--help"]) == 0
    assert "rethink_tf.theory.kernels.interpolate" in capsys.readouterr().out
