"""The commands of the theory: what they write, and what they refuse in one line."""

import json

import pytest
from drawing import opened

from rethink_tf import theory_commands, theory_figures
from rethink_tf.main import guarded


def command(name, *argv):
    return guarded(lambda argv: theory_commands.main(name, argv), list(argv))


def test_implicit_writes_figures_and_json(tmp_path, own_signals, capsys, no_training):
    argv = ["--dataset=digits", "--images=10", "--steps=300", "--choice_images=50", "--seed=3"]
    assert command("implicit", *argv, f"--out={tmp_path}/new/out") == 0
    found = json.loads((tmp_path / "new/out/implicit.json").read_text())
    assert (found["experiment"], found["seed"], found["choice_examples"]) == ("implicit", 3, 50)
    assert found["sgd"]["examples"] == 10 and found["sgd"]["zero"]["steps"][-1] == 300
    for title in ("sgd", "norm"):
        assert opened((tmp_path / f"new/out/implicit_{title}.png").read_bytes()).width == 1600
    out, err = capsys.readouterr()
    assert err == "" and out.endswith(f"{tmp_path}/new/out/implicit.json\n")


def test_expressivity_writes_a_figure_and_json(tmp_path, own_signals, capsys, tensorflow):
    argv = ["--dataset=digits", "--counts=20,30", "--depths=2", "--largest=1000"]
    assert command("expressivity", *argv, f"--out={tmp_path}") == 0
    found = json.loads((tmp_path / "expressivity.json").read_text())
    assert [(fit["n"], fit["errors"]) for fit in found["fits"]] == [(20, 0), (30, 0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "expressivity.json", "expressivity_float64.png",
    ]  # fmt: skip
    assert "20, width" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, argv, code, message",
    [
        ("implicit", ["--corrupt=1"], 2, "--corrupt: expected, of the flags of a run, --dataset"),
        ("implicit", ["--images=ten"], 2, "--images: expected a whole number from 2 to 100000"),
        ("implicit", ["--images=5,6"], 2, "--images: expected one whole number, received 5,6"),
        ("implicit", ["--images=256"], 2, "--images: expected from 2 to 255"),
        ("implicit", ["--imagse=5"], 2, "did you mean --images?"),
        ("implicit", ["--dataset=cifar"], 2, "did you mean --dataset=cifar10?"),
        ("implicit", ["--out=a.png"], 2, "--out: expected a folder, received a.png"),
        ("implicit", ["--out=FILE/a"], 6, "FILE/a: Not a directory"),
        ("expressivity", ["--counts=20,", "--depths=2"], 2, "--counts: expected a whole number"),
        ("expressivity", ["--counts=1501"], 2, "expected 1 to 1500 training examples"),
        ("expressivity", ["--depths=1"], 2, "--depths: expected a whole number from 2"),
        ("expressivity", ["--seed=-1"], 2, "--seed: expected a whole number from 0"),
    ],
)
def test_refused_in_one_line(
    name, argv, code, message, tmp_path, monkeypatch, own_signals, capsys, offline, tensorflow
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    dataset = [] if any("dataset" in flag for flag in argv) else ["--dataset=digits"]
    assert command(name, *dataset, *argv) == code
    out, err = capsys.readouterr()
    assert err.startswith("rethink_tf: ") and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize("name", theory_commands.COMMANDS)
def test_help_names_every_flag(name, own_signals, capsys, no_training):
    assert command(name, "--help") == 0
    out = capsys.readouterr().out
    flags = [line.split()[0] for line in out.splitlines()[2:]]
    extra = [f"--{flag}" for flag in theory_commands.COMMANDS[name][0]]
    assert flags == [*extra, "--dataset", "--seed", "--data_dir", "--cache_dir", "--threads"]
    assert set(theory_commands._ARGUMENTS[name]) == set(theory_commands.COMMANDS[name][0]) - {"out"}


def test_the_figure_of_norms_leaves_out_what_does_not_interpolate():
    def choice(name, norm, error, residual):
        return {"name": name, "norm": norm, "test_error": error, "residual": residual,
                "dimensions": 5}  # fmt: skip

    choices = [choice("a", 3.0, 0.5, 0.0), choice("b", 4.0, 0.4, 0.2), choice("c", 9.0, 0.1, 0.0)]
    found = {"choices": choices, "rank_correlation": float("nan"), "choice_examples": 10}
    figure = theory_figures.norms(found)
    (axes,) = figure.axes
    points = [tuple(map(float, line.get_xydata()[0])) for line in axes.lines]
    assert points == [(3.0, 50.0), (9.0, 10.0)]
    assert "no interpolation with b" in axes.get_title(loc="left")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a (5)", "c (5)"]
