"""--help of every command: one style, every flag with its default, nothing of the inside."""

import dataclasses
import importlib
import re
import sys

import pytest

from rethink_tf.cli import app
from rethink_tf.config import command_line
from rethink_tf.config.run_config import FIELDS

OF_EVERY_COMMAND = ["flagfile", "help"]
DEFAULT = re.compile(r"\[[^\[\]]+\]$")
# Flags without a default, and what says so.
NO_DEFAULT = {
    ("audit", "true"): "file of the true labels, .npy (one-hot too)",
    ("audit", "again"): "file of the given labels in a second pass",
    ("audit", "p"): "probability of replacement that was asked for",
    ("noise", "export"): "the file to write; its name ends in .csv or .npz (required)",
}


@pytest.fixture
def help_of(capsys, own_signals, no_training):
    """What a command prints for --help."""

    def text(name):
        capsys.readouterr()
        assert app.main([name, "--help"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return text


def entries(text):
    """Flag: its text in one line."""
    found = re.split(r"^  --", text, flags=re.MULTILINE)[1:]
    # An entry ends where the next group begins.
    lines = [" ".join(entry.split("\n\n")[0].split()) for entry in found]
    pairs = [line.split(" ", 1) for line in lines]
    assert len(dict(pairs)) == len(pairs), "each flag once"
    return dict(pairs)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_it_starts_with_the_command_line(name, help_of):
    typed = "python -m rethink_tf.main" if name == "train" else f"rethink-tf {name}"
    first, blank, about = help_of(name).splitlines()[:3]
    assert re.fullmatch(
        rf"{re.escape(typed)}( [\[\]A-Z. ]+)? \[--flagfile=FILE\] \[--name=.*", first
    )
    assert blank == "" and about[0].isupper()


@pytest.mark.parametrize("name", app.COMMANDS)
def test_positional_arguments_are_explained(name, help_of):
    text = help_of(name)
    shown = text.partition(" [--flagfile")[0].removeprefix(f"rethink-tf {name}")
    words = set(re.findall(r"[A-Z]{2,}", shown)) if name != "train" else set()
    for word in words:
        assert f"\n{word}: " in text


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_flag_has_its_default_or_says_why_not(name, help_of):
    found = entries(help_of(name))
    assert list(found)[-2:] == OF_EVERY_COMMAND
    for flag, text in found.items():
        if flag in OF_EVERY_COMMAND:
            continue
        assert text[0].islower() or text.startswith(("GPUs", "SGD")), text
        if (name, flag) in NO_DEFAULT:
            assert text == NO_DEFAULT[name, flag]
        else:
            assert DEFAULT.search(text), f"--{flag}: {text}"
            assert "] [" not in text, "one default"
            assert not re.search(r"\. \[|\.\. \[", text), "no full stop before it"


def test_what_has_no_default_is_a_flag():
    for name, flag in NO_DEFAULT:
        line = importlib.import_module(app.COMMANDS[name].module).LINE
        assert flag in {known for one in line.flag_sets() for known in one.fields()}


@pytest.mark.parametrize("name", app.COMMANDS)
def test_it_fits_and_is_grouped(name, help_of):
    lines = help_of(name).splitlines()
    assert max(map(len, lines)) <= command_line.WIDTH
    assert lines == [line.rstrip() for line in lines]
    assert not [n for n, line in enumerate(lines[1:]) if line == lines[n] == ""]
    for number, line in enumerate(lines):
        if line.startswith("  --") and not lines[number - 1].startswith("  "):
            assert lines[number - 1].endswith(":") and lines[number - 2] == ""


def test_it_fits_a_narrower_terminal(monkeypatch):
    monkeypatch.setattr(command_line.console, "terminal_width", lambda: 80)
    text = line_of("train").help()
    assert 70 < max(map(len, text.splitlines())) <= 80
    monkeypatch.setattr(command_line.console, "terminal_width", lambda: 300)
    assert max(map(len, line_of("train").help().splitlines())) <= command_line.WIDTH


@pytest.mark.parametrize("name", app.COMMANDS)
def test_it_has_no_docstring_of_the_inside(name, help_of):
    text = " ".join(help_of(name).split())
    inside = [
        kind.__doc__
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("rethink_tf")
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ]
    inside += [importlib.import_module(app.COMMANDS[name].module).__doc__]
    assert len(inside) > 5
    for words in inside:
        first = words.strip().splitlines()[0]
        assert first not in text
    assert not re.search(r"\b(Args|Returns|Raises|Attributes):|Imports no|None\b", text)


def line_of(name):
    """The CommandLine of a command."""
    return importlib.import_module(app.COMMANDS[name].module).LINE


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_refusal_of_a_number_names_its_bounds(name, capsys, own_signals, no_training):
    known = {n: f for one in line_of(name).flag_sets() for n, f in one.fields().items()}
    for flag in (n for n, field in known.items() if field.metadata["kind"] in (int, float)):
        assert app.main([name, f"--{flag}=x"]) == 2
        err = capsys.readouterr().err
        assert re.fullmatch(
            rf"rethink_tf: --{flag}: expected (a whole number|a number) "
            r"(of at least|from|above) [-\d.e+]+( (to|below) [\d.e+]+)?, received 'x'\n",
            err,
        ), err


@pytest.mark.parametrize("name", app.COMMANDS)
def test_help_is_that_of_the_line(name, help_of):
    assert help_of(name) == line_of(name).help() + "\n"


def of_a_run(text):
    """The fields of a run that a help lists."""
    return [flag for flag in entries(text) if flag in FIELDS]


@pytest.mark.parametrize(
    "name, missing, there",
    [
        ("show", {"model", "epochs", "learning_rate"}, {"corrupt", "pixels", "held_out"}),
        ("noise", {"model", "epochs", "pixels", "eval_every"}, {"corrupt", "seed", "examples"}),
        ("rademacher", {"corrupt", "init_from"}, {"model", "epochs", "pixels"}),
        ("memorisation", {"pixels", "init_from"}, {"model", "epochs", "corrupt"}),
        ("randomisation-test", {"corrupt", "init_from"}, {"model", "epochs", "pixels"}),
    ],
)
def test_it_lists_the_flags_that_act(name, missing, there, help_of):
    listed = set(of_a_run(help_of(name)))
    assert there <= listed and not missing & listed


def test_train_lists_every_flag_of_a_run(help_of):
    assert sorted(of_a_run(help_of("train"))) == sorted(FIELDS)


def test_a_flag_that_is_not_listed_is_read(capsys, own_signals, no_training):
    assert app.main(["noise", "--epochs=3"]) == 2
    assert "--export: expected" in capsys.readouterr().err
    assert app.main(["noise", "--epochs=x"]) == 2
    assert "--epochs: expected" in capsys.readouterr().err
