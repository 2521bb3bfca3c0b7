"""The commands of the theory: what they write, and what they refuse in one line."""

import json

import pytest
from drawing import opened

from rethink_tf.cli import studies
from rethink_tf.cli.app import guarded
from rethink_tf.experiments import theory_studies
from rethink_tf.plotting import theory_figures


def command(name, *argv):
    return guarded(lambda argv: studies.main(name, argv), list(argv))


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
    out, err = capsys.readouterr()
    assert "  depth 2, width 20: 296 weights (stated: 296), 0 of 20 random labels wrong" in out
    assert err == ""


@pytest.mark.parametrize(
    "name, argv, code, message",
    [
        ("implicit", ["--corrupt=1"], 2, "--corrupt: expected, of the flags of a run, --dataset"),
        ("implicit", ["--images=ten"], 2, "--images: expected a whole number from 2 to 100000"),
        ("implicit", ["--images=5,6"], 2, "--images: expected one whole number, received 5,6"),
        ("implicit", ["--images=256"], 2, "--images: expected from 2 to 255"),
        ("implicit", ["--choice_images=1501"], 2, "--choice_images: expected at most the 1500"),
        ("expressivity", ["--counts=5,1501"], 2, "--counts: expected at most the 1500 training"),
        ("expressivity", ["--counts=9,5", "--depths=7"], 2, "--depths: expected at most n + 1 = 6"),
        ("implicit", ["--out=FOLDER"], 6, "FOLDER/implicit.json: Is a directory"),
        ("implicit", ["--imagse=5"], 2, "did you mean --images?"),
        ("implicit", ["--dataset=cifar"], 2, "did you mean --dataset=cifar10?"),
        ("implicit", ["--out=a.png"], 2, "--out: expected a folder, received a.png"),
        ("implicit", ["--out=FILE/a"], 6, "FILE/a: Not a directory"),
        ("expressivity", ["--counts=20,", "--depths=2"], 2, "--counts: expected a whole number"),
        ("expressivity", ["--depths=1"], 2, "--depths: expected a whole number from 2"),
        ("expressivity", ["--seed=-1"], 2, "--seed: expected a whole number from 0"),
    ],
)
def test_refused_in_one_line(
    name, argv, code, message, tmp_path, monkeypatch, own_signals, capsys, offline, tensorflow
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    (tmp_path / "FOLDER" / "implicit.json").mkdir(parents=True)
    dataset = [] if any("dataset" in flag for flag in argv) else ["--dataset=digits"]
    assert command(name, *dataset, *argv) == code
    out, err = capsys.readouterr()
    assert err.startswith("rethink_tf: ") and err.count("\n") == 1 and message in err, err


def test_sizes_that_are_not_given_follow_the_data_set_and_are_said(capsys):
    def taken(name, num_train, **given):
        return theory_studies.sizes(name, num_train, given), capsys.readouterr().out

    assert taken("expressivity", 50_000) == ({"counts": (50, 500, 2000)}, "")
    assert taken("expressivity", 1500) == (
        {"counts": (50, 500, 1500)},
        "taken, as there are 1,500 training images: --counts=50,500,1500\n",
    )
    assert taken("expressivity", 30)[0] == {"counts": (30,)}
    assert taken("expressivity", 30, counts=(31,)) == ({}, ""), "what is given is refused, not cut"
    assert taken("implicit", 60_000) == ({"examples": 100, "choice_examples": 1000}, "")
    assert taken("implicit", 1500)[1].endswith(": --images=15 --choice_images=50\n")
    assert taken("implicit", 70)[0] == {"examples": 10, "choice_examples": 50}
    assert taken("implicit", 7)[0] == {"examples": 7, "choice_examples": 7}
    assert taken("implicit", 1500, examples=7)[0] == {"choice_examples": 50}


def test_on_a_small_set_the_defaults_fit(tmp_path, own_signals, capsys, no_training):
    assert command("implicit", "--dataset=digits", "--steps=4000", f"--out={tmp_path}") == 0
    out, err = capsys.readouterr()
    assert "training images: --images=15 --choice_images=50" in out and err == ""
    assert "not fitted" not in out and "do not interpolate" not in out
    found = json.loads((tmp_path / "implicit.json").read_text())
    assert found["sgd"]["zero"]["residual"][-1] < 1e-2


@pytest.mark.parametrize("name", theory_studies.COMMANDS)
def test_help_names_every_flag(name, own_signals, capsys, no_training):
    assert command(name, "--help") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 100
    entries = " ".join(out.splitlines()[2:]).split("  --")[1:]
    assert all(entry.rstrip().endswith("]") for entry in entries), "each default is said"
    flags = [f"--{entry.split()[0]}" for entry in entries]
    extra = [f"--{flag}" for flag in theory_studies.COMMANDS[name][0]]
    assert flags == [*extra, "--dataset", "--seed", "--data_dir", "--cache_dir", "--threads"]
    assert set(theory_studies._ARGUMENTS[name]) == set(theory_studies.COMMANDS[name][0]) - {"out"}


def test_the_figure_of_norms_leaves_out_what_does_not_interpolate():
    def choice(name, norm, error, residual):
        return {"name": name, "norm": norm, "test_error": error, "residual": residual,
                "dimensions": 5}  # fmt: skip

    choices = [choice("a", 3.0, 0.5, 0.0), choice("b", 4.0, 0.4, 0.2), choice("c", 9.0, 0.1, 0.0)]
    found = {"choices": choices, "rank_correlation": float("nan"), "choice_examples": 10}
    figure = theory_figures.norms(found, 1e-6)
    (axes,) = figure.axes
    points = [tuple(map(float, line.get_xydata()[0])) for line in axes.lines]
    assert points == [(3.0, 50.0), (9.0, 10.0)]
    assert "no interpolation with b" in axes.get_title(loc="left")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a (5)", "c (5)"]


def test_the_figure_of_norms_where_nothing_interpolates(caplog):
    choice = {"norm": 3.0, "test_error": 0.5, "residual": 0.1, "dimensions": 5}
    choices = [choice | {"name": f"a long name of a choice, {k}"} for k in range(8)]
    figure = theory_figures.norms({"choices": choices, "choice_examples": 10}, 1e-6)
    title = figure.axes[0].get_title(loc="left")
    assert title.startswith("no interpolation with a long name of a choice, 0,")
    assert max(map(len, title.splitlines())) <= 110 and len(title.splitlines()) == 3
    assert figure.legends == [] and caplog.text == ""


@pytest.mark.parametrize("name", theory_studies.COMMANDS)
def test_streamed_images_are_refused(name, tmp_path, own_signals, capsys, no_training):
    assert command(name, "--dataset=imagenet2012", f"--out={tmp_path}") == 2
    err = capsys.readouterr().err
    assert "--dataset: expected a set that is held in memory; the images of imagenet2012" in err


def test_ctrl_c_says_that_nothing_is_kept(own_signals, capsys, monkeypatch):
    def interrupted(_name, _argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "main", interrupted)
    monkeypatch.setattr("sys.argv", ["theory"])
    assert studies.start("implicit") == 130
    assert capsys.readouterr().err == (
        "rethink_tf: interrupted; nothing is kept, the same command starts over\n"
    )
