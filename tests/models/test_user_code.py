"""Errors of the user's code: one line that names the place, whatever kind of exception it is."""

import os
import re
import signal
import sys
import traceback

import pytest

from rethink_tf import models
from rethink_tf.cli import app
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.models.custom import name as custom_models
from rethink_tf.models.custom import user_code

SHAPE = (8, 8, 1)
ENDING = """
import keras
import helper

class Gone(BaseException):
    pass

def gone(shape, classes):
    raise Gone("for good")

def generator(shape, classes):
    raise GeneratorExit

def group(shape, classes):
    raise BaseExceptionGroup("several", [Gone(1)])

class Model(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.head = keras.layers.Dense(classes)

    def call(self, images, training=None):
        if training or self.at_once:
            raise Gone("within")
        return self.head(keras.ops.reshape(images, (-1, 64)))

def called(shape, classes):
    model = Model(classes)
    model.at_once = True
    return model

def trained(shape, classes):
    model = Model(classes)
    model.at_once = False
    return model

def helped(shape, classes):
    return helper.fails()
"""


def write(folder, monkeypatch, name="ending"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(ENDING)
    (folder / "helper.py").write_text("def fails():\n    raise ValueError('no')\n")
    monkeypatch.syspath_prepend(folder)
    for module in (name, "helper"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.chdir(folder)


def built(spec):
    return models.build(custom_models.resolved(spec), SHAPE, 2)


@pytest.mark.parametrize("place", ["plain", "my_rethink_tf/work", "rethink_tf"])
def test_the_line_is_found_wherever_the_folder_lies(place, tmp_path, monkeypatch, tensorflow):
    write(tmp_path / place, monkeypatch)
    with pytest.raises(RequestError, match="Gone at line 9 of .*ending.py: for good$"):
        built("ending:gone")
    with pytest.raises(RequestError, match="ValueError at line 2 of .*helper.py: no$"):
        built("ending:helped")


def test_the_line_is_found_through_a_link(tmp_path, monkeypatch, tensorflow):
    write(tmp_path / "real", monkeypatch)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.syspath_prepend(tmp_path / "link")
    with pytest.raises(RequestError, match="Gone at line 9 of .*ending.py: for good$"):
        built("ending:gone")


@pytest.mark.parametrize(
    "name, words",
    [
        ("generator", "GeneratorExit at line 12 of .*ending.py$"),
        ("group", r"BaseExceptionGroup at line 15 of .*: several \(1 sub-exception\)$"),
        ("called", "fails on images of 8x8x1: .*Gone.*within"),
        ("trained", "by tf.function: .*Gone.*within"),
    ],
)
def test_what_is_no_exception_is_one_line(name, words, tmp_path, monkeypatch, tensorflow):
    write(tmp_path, monkeypatch)
    with pytest.raises(RequestError, match=words) as caught:
        built(f"ending:{name}")
    assert "\n" not in str(caught.value)


def test_a_module_that_ends_while_it_is_imported(tmp_path, monkeypatch, tensorflow):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "at_import.py").write_text("class Odd(BaseException):\n    pass\nraise Odd('x')\n")
    with pytest.raises(RequestError, match="--model=at_import:build: Odd at line 3 of .*: x$"):
        built("at_import:build")
    (tmp_path / "odd_package").mkdir()
    (tmp_path / "odd_package" / "__init__.py").write_text("raise GeneratorExit\n")
    with pytest.raises(RequestError, match="cannot be imported: GeneratorExit$"):
        custom_models.module_spec("odd_package.inner")


def test_ctrl_c_and_sigterm_pass_through_the_users_code(own_signals):
    with pytest.raises(KeyboardInterrupt), user_code.reported("never"):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, app._terminated)
    with pytest.raises(SystemExit) as ended, user_code.reported("never"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == ExitCode.TERMINATED
    with pytest.raises(RequestError, match="^his: SystemExit: 143$"), user_code.reported("his: "):
        raise SystemExit(143)


def test_the_packages_own_lines_are_none_of_the_users():
    with pytest.raises(RequestError) as caught:
        custom_models.resolved("x.keras")  # raised within the package, below the folder of path
    path = os.path.join(os.path.dirname(user_code.PACKAGE), "mine.py")
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].filename.startswith(user_code.PACKAGE)
    assert user_code._place(caught.value, path) == f" at line {frames[0].lineno} of {__file__}"


def test_an_exception_that_is_none_ends_any_command_with_a_line(capsys, own_signals):
    def command(_argv):
        raise GeneratorExit("why")

    assert app.guarded(command, []) == ExitCode.BUG
    err = capsys.readouterr().err
    assert re.search("ended by GeneratorExit: why, .*not an Exception", err)


@pytest.mark.parametrize(
    "content, told",
    [
        ("def net(:\n", r"--model=wrong:net: SyntaxError: invalid syntax \(wrong.py, line 1\)$"),
        ("\nimport no_such\n", "ModuleNotFoundError at line 2 of .*wrong.py: No module named"),
    ],
)
def test_an_error_at_import_in_the_current_folder_is_at_the_users_line(
    content, told, tmp_path, monkeypatch, tensorflow
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    (tmp_path / "wrong.py").write_text(content)
    with pytest.raises(RequestError, match=told):
        built("wrong:net")


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("ending.py:gone", "type --model=ending:FUNCTION"),
        ("./ending:gone", r"in the folder \. type --model=ending:gone"),
        ("./ending.py:gone", r"in the folder \. type --model=ending:gone"),
        ("ending:called_", r"did you mean --model=ending:called\?"),
    ],
)
def test_the_name_that_was_meant_is_told(typed, meant, tmp_path, monkeypatch, tensorflow):
    write(tmp_path, monkeypatch)
    with pytest.raises(RequestError, match=f"{meant}$"):
        built(typed) if custom_models.is_custom(typed) else custom_models.refuse_other_files(typed)
