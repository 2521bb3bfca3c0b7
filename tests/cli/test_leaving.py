"""The end of a process that a user's module has left threads or children in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "import atexit, sys, threading, time\nfrom rethink_tf.cli import leaving\n"
THREAD = "threading.Thread(target=time.sleep, args=(3600,), name='watch').start()\n"
POOL = "from concurrent.futures import ThreadPoolExecutor as P\nP().submit(time.sleep, 3600)\n"
CHILD = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
child.start()
"""


def left(code):
    """Exit code, stdout and stderr of a process that would live for an hour."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BEGIN + code]
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "before, words",
    [
        (THREAD, "rethink_tf: thread watch still runs; it is ended with the process\n"),
        (POOL, ""),
        (CHILD, "still runs; it is ended with the process\n"),
    ],
)
def test_threads_and_children_do_not_keep_it_alive(before, words):
    code = before + "atexit.register(print, 'at exit')\nprint('done', end=' ')\n"
    code, out, err = left(code + "leaving.leave(lambda: 3)")
    assert (code, out) == (3, "done at exit\n")
    assert err.endswith(words) and err.count("\n") == (words != "")


def test_however_the_command_ends():
    for ending, expected in (("sys.exit(143)", 143), ("sys.exit()", 0), ("1 / 0", 1)):
        code, _, err = left(f"{THREAD}def end():\n    {ending}\nleaving.leave(end)")
        assert code == expected
        assert ("ZeroDivisionError" in err) is (expected == 1)


def test_nothing_is_said_of_daemons_and_of_what_has_ended():
    code = THREAD.replace("name=", "daemon=True, name=") + "t = threading.Thread(target=int)\n"
    assert left(code + "t.start()\nt.join()\nleaving.leave(lambda: 5)") == (5, "", "")


@pytest.mark.parametrize("command", [["rethink_tf.main"], ["rethink_tf", "train"]])
def test_a_run_by_a_module_with_a_thread_ends(command, tmp_path):
    (tmp_path / "threaded.py").write_text("import threading, time\n" + THREAD + "1 / 0\n")
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", *command, "--model=threaded.inner:build"]
    command += ["--dataset=digits", "--dry_run"]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=600
    )
    assert ended.returncode == 2
    said = ended.stderr.splitlines()
    assert said[0].startswith("rethink_tf: --model: threaded.inner cannot be imported: ")
    assert said[1:] == ["rethink_tf: thread watch still runs; it is ended with the process"]


def test_the_console_script_ends_too():
    assert 'rethink-tf = "rethink_tf.cli.app:entry"\n' in (ROOT / "pyproject.toml").read_text()
    code = THREAD + "from rethink_tf.cli import app\nsys.argv = ['rethink-tf', 'no_such']\n"
    code, out, err = left(code + "app.entry()")
    assert (code, out) == (2, "")
    said = err.splitlines()
    assert said[0].startswith("rethink_tf: expected a command, received no_such")
    assert said[1:] == ["rethink_tf: thread watch still runs; it is ended with the process"]


@pytest.mark.parametrize("command", [["rethink_tf.main"], ["rethink_tf", "train"]])
def test_ctrl_c_while_the_libraries_are_loaded_is_one_line(command, tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n")
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", *command, "--model=mlp_1x512"]
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert ended.stderr == "rethink_tf: interrupted before anything was trained\n"
    assert (ended.returncode, ended.stdout) == (130, "")
