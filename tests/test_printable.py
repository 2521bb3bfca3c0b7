"""Names of others on a terminal and in Markdown: nothing of them acts, all of them is seen."""

import ast
import io
from pathlib import Path

import class_folders
import numpy as np
import pytest
from PIL import Image

import rethink_tf
from rethink_tf import console
from rethink_tf.analysis import randomisation_page
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.experiments.sweep import display as sweep_view
from rethink_tf.plotting import style as pictures
from rethink_tf.printable import markdown, printable
from rethink_tf.report import table

ESC, TURN = "\x1b]0;title\x07\x1b[2J", "\u202egnp.exe"
EVIL = f"a{ESC}b\nforged line\rc{TURN}|`d`"


def acts(text):
    """Whether anything in a text, but for line breaks, is no visible character."""
    return any(not (c.isprintable() or c == "\n") for c in text)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc\r", r"a\x0ab\x09c\x0d"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eab\u2066", r"\u202eab\u2066"),
        ("\u2028\u2029\u200b", r"\u2028\u2029\u200b"),
        ("caf\udce9", r"caf\udce9"),
        ("\U000e0041", r"\U000e0041"),
        ("\x7f\0", r"\x7f\x00"),
        ("caf\u00e9 \u6f22\u5b57 \U0001f3b2", "caf\u00e9 \u6f22\u5b57 \U0001f3b2"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",) * 2,
        ("plain", "plain"),
        (7, "7"),
    ],
)
def test_what_is_not_seen_is_written_as_an_escape(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode()


def test_line_breaks_of_the_program_stay():
    assert printable("a\n\tb\r\x1b", lines=True) == "a\n\tb\\x0d\\x1b"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("[x](y)", r"\[x\](y)"),
        ("<b>&lt;", r"\<b\>\&lt;"),
        ("**x**", r"\*\*x\*\*"),
        ("mlp_1x512", "mlp_1x512"),
        ("_x_ __y", r"\_x\_ \_\_y"),
        ("# x", r"\# x"),
        ("- x", r"\- x"),
        ("1. x", r"1\. x"),
        ("-0.5", "-0.5"),
        ("$x$", r"\$x\$"),
        ("C:\\d", "C:\\d"),
        ("a\\|b", r"a\\\|b"),
        ("a\\", r"a\\"),
        ("1.5", "1.5"),
        ("a\n\n# b", r"a\x0a\x0a# b"),
        ("\u202e|", r"\u202e\|"),
        ("~~x~~", r"\~\~x\~\~"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, shown):
    assert markdown(text) == shown


def test_what_is_said_acts_on_no_terminal(capsys):
    console.say(EVIL)
    console.warn(EVIL)
    out, err = capsys.readouterr()
    assert not acts(out) and not acts(err)
    assert r"\x1b[2J" in out and r"\u202egnp.exe" in err


def test_everything_that_is_printed_goes_through_one_function():
    """`print` is used in the console alone."""
    folder = Path(rethink_tf.__file__).parent
    printing = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and ast.unparse(node.func)
            if called in ("print", "sys.stdout.write", "sys.stderr.write"):
                printing.add(path.name)
    assert printing == {"console.py"}


def test_a_live_sweep_shows_names_as_they_are(monkeypatch, tmp_path):
    import rich.console

    out = io.StringIO()
    shown = rich.console.Console(file=out, force_terminal=True, color_system=None, width=200)
    monkeypatch.setattr(rich.console, "Console", lambda: shown)
    live = sweep_view.Live(tmp_path)
    live.say(f"a{ESC}[red]b{TURN}")
    assert not acts(out.getvalue())
    assert r"a\x1b]0;title\x07\x1b[2J[red]b\u202egnp.exe" in out.getvalue()


# Folders and classes


@pytest.fixture
def evil(offline):
    """A folder of two classes, all of whose names are evil; its name."""
    root = offline / f"set{EVIL}"
    for label in range(2):
        folder = root / f"{label}{EVIL}"
        (folder / f"deep{EVIL}").mkdir(parents=True)
        (folder / f".hidden{EVIL}").mkdir()
        for number in range(4):
            image = class_folders.picture(label, number).convert("RGBA")
            if number == 1:
                image.putalpha(100)
            image.save(folder / f"deep{EVIL}" / f"{number}{EVIL}.png")
        frames = [Image.new("L", (12, 12), n) for n in (9, 99)]
        frames[0].save(folder / f"{EVIL}.gif", save_all=True, append_images=frames[1:])
        (root / f"loose{label}{EVIL}.png").write_bytes(b"")
    return root


def test_all_that_is_said_of_a_folder_is_one_line_each(evil):
    info = datasets.info(f"folder:{evil}")
    assert len(info.notes) == 6
    parts = datasets.load(f"folder:{evil}")
    for line in (*info.notes, *custom_data.describe(*parts, info.class_names)):
        assert line.isprintable(), line
    assert info.class_names[0] == f"0{EVIL}", "a class keeps its name"


def test_a_run_on_such_a_folder_writes_nothing_that_acts(evil, call, tensorflow):
    argv = [f"--dataset=folder:{evil}", "--model=mlp_1x512", "--epochs=1", "--batch_size=4"]
    code, out, err = call(*argv, f"--runs_dir={evil.parent}/runs")
    assert (code, err) == (0, "")
    assert not acts(out) and "\nforged line" not in out


def test_a_refusal_of_such_names_is_one_line(evil, refused):
    (evil / f"2{EVIL}").symlink_to("nowhere")
    code, err = refused(f"--dataset=folder:{evil}", "--model=mlp_1x512")
    assert code == 2 and not acts(err) and "lead" in err


def test_a_flagfile_of_such_values_is_refused_in_one_line(tmp_path, refused):
    file = tmp_path / "evil.flags"
    for line in (f"--model=a{ESC}{TURN}", f"--{ESC}=1", f"--dataset=folder:{ESC}", f"{ESC}{TURN}"):
        file.write_text(f"{line}\n")
        code, err = refused(f"--flagfile={file}")
        assert code == 2 and not acts(err) and r"\x1b" in err


def test_class_names_are_no_formulas_in_pictures(offline):
    images = np.zeros((2, 4, 4, 1), np.float32)
    figure = pictures.sample_grid(
        {"x": (images, np.array([0, 1]))},
        np.array([0, 1]),
        [f"$\\frac${ESC}", f"{TURN}\n$x$"],
        title=f"$\\frac${EVIL}",
    )
    pictures.pixels_of(figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("$\\frac$\\x1b") and not any(map(acts, titles))


# Reports


def test_names_in_a_reports_table_break_no_cell():
    cells = {f"error{EVIL}": table.Cell((1.0,))}
    row = table.Row((f"name{EVIL}", "b_c"), cells, "runs")
    made = table.Table("t", f"T{EVIL}", ("row", "kind"), (row,), notes=(f"note{EVIL}",))
    text = table.markdown(made, level=3)
    assert not acts(text)
    head, rule, line = [x for x in text.splitlines() if x.startswith("|")]
    assert head.count(" | ") == rule.count(" | ") == line.count(" | ") == 2
    assert line.endswith(r"\u202egnp.exe\|\`d\` | b_c | 1.00 (n = 1) |")
    assert "\nforged line" not in text


def test_names_in_the_page_of_a_randomisation_test_break_no_line():
    number = {"mean": 0.5, "std": None, "n": 1}
    case = {
        "name": "true labels",
        "seeds": [0],
        "train": number,
        "test": number,
        "gap": number,
        "epochs": number,
        "reached": 1,
        "budget": 3,
        "run_ids": ["mlp-1"],
        "ratio": None,
    }
    figures = {
        "model": f"m{EVIL}",
        "dataset": f"folder:{EVIL}",
        "parameters": 5,
        "classes": 2,
        "train_examples": 8,
        "test_examples": 2,
        "threshold": 0.99,
        "recipe": "SGD",
        "cases": [case],
        "verdict": "fits",
        "reasons": [],
        "limits": [],
        "left_out": [],
        "notes": [f"classes: 0{EVIL}"],
    }
    text = randomisation_page.markdown(figures)
    assert not acts(text) and "\nforged line" not in text
    assert r"gnp.exe\|\`d\`" in text
    page = randomisation_page.page(figures, b"", b"")
    assert not acts(page) and r"\x1b[2J" in page
