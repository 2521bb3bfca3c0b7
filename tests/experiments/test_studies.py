"""The studies: each command writes its run, and refuses in one line."""

import importlib
import re

import pytest
from drawing import opened

from rethink_tf.cli import app
from rethink_tf.cli.app import guarded
from rethink_tf.experiments.studies import expressivity, implicit, measures, rademacher, study
from rethink_tf.plotting import theory_figures
from rethink_tf.runs import results
from rethink_tf.theory import expressivity_runs
from rethink_tf.theory import implicit as descent

STUDIES = {
    "expressivity": expressivity,
    "implicit": implicit,
    "measures": measures,
    "rademacher": rademacher,
}
OF_DATA = ("expressivity", "implicit")


def command(name, *argv):
    return guarded(importlib.import_module(app.COMMANDS[name].module).main, list(argv))


def only_run(runs_dir):
    """The one run below a folder."""
    (folder,) = runs_dir.iterdir()
    return folder


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_a_command_under_its_name(name):
    assert app.COMMANDS[name].stopped == app.NOTHING_KEPT
    assert STUDIES[name].STUDY.name == name
    assert STUDIES[name].LINE.command == f"rethink-tf {name}"


def test_implicit_writes_its_run_with_figures(tmp_path, own_signals, capsys, no_training):
    argv = ["--dataset=digits", "--images=10", "--steps=300", "--choice_images=50", "--seed=3"]
    assert command("implicit", *argv, f"--runs_dir={tmp_path}/new/runs") == 0
    folder = only_run(tmp_path / "new/runs")
    found = results.read_summary(folder)
    assert (found["kind"], found["config"]["seed"], found["choice_examples"]) == ("implicit", 3, 50)
    assert found["sgd"]["examples"] == 10 and found["sgd"]["zero"]["steps"][-1] == 300
    out, err = capsys.readouterr()
    for title in ("sgd", "norm"):
        assert opened((folder / f"implicit_{title}.png").read_bytes()).width == 1600
        assert f"{folder}/implicit_{title}.png\n" in out
    assert err == "" and out.endswith(f"{folder}/summary.json\n")


def test_expressivity_writes_its_run_with_a_figure(tmp_path, own_signals, capsys, tensorflow):
    argv = ["--dataset=digits", "--counts=20,30", "--depths=2", "--largest=1000"]
    assert command("expressivity", *argv, f"--runs_dir={tmp_path}") == 0
    folder = only_run(tmp_path)
    found = results.read_summary(folder)
    assert [(fit["n"], fit["errors"]) for fit in found["fits"]] == [(20, 0), (30, 0)]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "expressivity_float64.png",
        "lock",
        "summary.json",
    ]
    out, err = capsys.readouterr()
    assert "  depth 2, width 20: 296 weights (stated: 296), 0 of 20 random labels wrong" in out
    assert err == ""


@pytest.mark.parametrize(
    "name, argv, code, message",
    [
        ("implicit", ["--corrupt=1"], 2, "unknown flag --corrupt"),
        ("implicit", ["--out=a"], 2, "unknown flag --out"),
        ("implicit", ["digits"], 2, r"expected flags only \(--name=value\), received 'digits'"),
        ("implicit", ["--images=ten"], 2, "--images: .*from 2 to 100000, received 'ten'"),
        ("implicit", ["--images=5,6"], 2, "from 2 to 100000, received '5,6'"),
        ("implicit", ["--images=256"], 2, "--images: expected from 2 to 255"),
        ("implicit", ["--choice_images=1501"], 2, "--choice_images: expected at most the 1500"),
        ("expressivity", ["--counts=5,1501"], 2, "--counts: expected at most the 1500 training"),
        (
            "expressivity",
            ["--counts=9,5", "--depths=7"],
            2,
            r"--depths: expected at most n \+ 1 = 6",
        ),
        ("implicit", ["--imagse=5"], 2, r"did you mean --images\?"),
        ("implicit", ["--dataset=cifar"], 2, r"did you mean --dataset=cifar10\?"),
        ("implicit", ["--runs_dir=FILE/a"], 6, "Not a directory"),
        ("expressivity", ["--counts=20,", "--depths=2"], 2, "--counts: expected numbers from 1"),
        ("expressivity", ["--counts="], 2, "--counts: expected numbers from 1 to 200000, such as"),
        ("expressivity", ["--depths=1"], 2, "--depths: expected numbers from 2 to 1000, such as"),
        ("expressivity", ["--depths=2,x"], 2, "such as 2,1000, received 2,x"),
        ("expressivity", ["--seed=-1"], 2, "--seed: .*from 0 to 4294967295, received -1"),
    ],
)
def test_refused_in_one_line(
    name, argv, code, message, tmp_path, monkeypatch, own_signals, capsys, offline, tensorflow
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    dataset = [] if any("dataset" in flag for flag in argv) else ["--dataset=digits"]
    assert command(name, *dataset, *argv) == code
    _out, err = capsys.readouterr()
    assert err.startswith("rethink_tf: ") and err.count("\n") == 1 and re.search(message, err), err
    assert not list(tmp_path.glob("*/*/summary.json"))


def test_sizes_that_are_not_given_follow_the_data_set():
    assert expressivity_runs.sizes(50_000) == {"counts": (50, 500, 2000)}
    assert expressivity_runs.sizes(1500) == {"counts": (50, 500, 1500)}
    assert expressivity_runs.sizes(30) == {"counts": (30,)}
    assert descent.sizes(60_000) == {"examples": 100, "choice_examples": 1000}
    assert descent.sizes(1500) == {"examples": 15, "choice_examples": 50}
    assert descent.sizes(70) == {"examples": 10, "choice_examples": 50}
    assert descent.sizes(7) == {"examples": 7, "choice_examples": 7}


@pytest.mark.parametrize(
    "module, more, settings",
    [
        (implicit, [], {"examples": 15, "steps": 20_000, "choice_examples": 50}),
        (implicit, ["--images=7"], {"examples": 7, "steps": 20_000, "choice_examples": 50}),
        (expressivity, [], {"counts": [50, 500, 1500], "depths": [2, 3, 6], "largest": 10_000_000}),
        (
            expressivity,
            ["--counts=9999"],  # what is given is refused where it computes, not cut
            {"counts": [9999], "depths": [2, 3, 6], "largest": 10_000_000},
        ),
    ],
)
def test_what_is_given_is_kept_and_the_rest_is_chosen(module, more, settings):
    assert module.identify(["--dataset=digits", *more])[0]["settings"] == settings


def test_sizes_that_are_not_the_usual_ones_are_printed(capsys):
    def printed(num_train, chosen, usual):
        study.print_chosen(num_train, chosen, usual)
        return capsys.readouterr().out

    usual = {"counts": (50, 500, 2000)}
    assert printed(50_000, dict(usual), usual) == ""
    assert printed(1500, {}, usual) == "", "what is given needs no line"
    assert printed(1500, {"counts": (50, 500, 1500)}, usual) == (
        "chosen for 1,500 training images: --counts=50,500,1500\n"
    )
    chosen = {"images": 15, "choice_images": 50}
    assert printed(1500, chosen, implicit.USUAL).endswith(": --images=15 --choice_images=50\n")


def test_on_a_small_set_the_defaults_fit(tmp_path, own_signals, capsys, no_training):
    assert command("implicit", "--dataset=digits", "--steps=4000", f"--runs_dir={tmp_path}") == 0
    out, err = capsys.readouterr()
    assert "training images: --images=15 --choice_images=50" in out and err == ""
    assert "not fitted" not in out and "do not interpolate" not in out
    found = results.read_summary(only_run(tmp_path))
    assert found["sgd"]["zero"]["residual"][-1] < 1e-2


@pytest.mark.parametrize(
    "name, own",
    [
        ("expressivity", ["counts", "depths", "largest"]),
        ("implicit", ["images", "steps", "choice_images"]),
    ],
)
def test_help_names_every_flag(name, own, own_signals, capsys, no_training):
    assert command(name, "--help") == 0
    listed = re.findall(r"^  --(\w+)", capsys.readouterr().out, re.MULTILINE)
    places = ["runs_dir", "data_dir", "cache_dir", "threads"]
    assert listed == [*own, "dataset", "seed", *places, "flagfile", "help"]


def test_the_figure_of_norms_leaves_out_what_does_not_interpolate():
    def choice(name, norm, error, residual):
        return {
            "name": name,
            "norm": norm,
            "test_error": error,
            "residual": residual,
            "dimensions": 5,
        }

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
    assert "of a choice, 0," in title
    assert max(map(len, title.splitlines())) <= 110 and len(title.splitlines()) == 3
    assert figure.legends == [] and caplog.text == ""


@pytest.mark.parametrize("name", OF_DATA)
def test_streamed_images_are_refused(name, tmp_path, own_signals, capsys, no_training):
    assert command(name, "--dataset=imagenet2012", f"--runs_dir={tmp_path}") == 2
    err = capsys.readouterr().err
    assert re.search("--dataset: .*held in memory; .*imagenet2012", err)


@pytest.mark.parametrize("name", STUDIES)
def test_ctrl_c_says_that_nothing_is_kept(name, own_signals, capsys, monkeypatch):
    def interrupted(_argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"rethink_tf.cli.studies.{name}.main", interrupted)
    assert app.main([name]) == 130
    assert "nothing is kept, the same command starts over" in capsys.readouterr().err
