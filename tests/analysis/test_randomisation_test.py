"""The randomisation test from end to end on a drawn folder, its figures, verdicts and page."""

import html
import re
import sys
import types

import class_folders
import numpy as np
import pytest

import rethink_tf
from rethink_tf.analysis import randomisation_figures, randomisation_page, randomisation_test
from rethink_tf.analysis.randomisation_figures import Run
from rethink_tf.cli import app
from rethink_tf.cli import randomisation_test as test_command
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.runs import agreement, results
from rethink_tf.training.recording import messages

RECIPE = {"epochs": 40, "batch_size": 8, "eval_every": 4, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def tested(tensorflow, tmp_path_factory):
    """The test of a five-line model on a drawn folder, as a command, and where it was run."""
    folder = tmp_path_factory.mktemp("tested")
    class_folders.write_models(folder)
    class_folders.draw(folder / "shapes")
    argv = ["--model=five_lines:dense", "--dataset=folder:shapes", "--seeds=2", "--out=report"]
    argv += [f"--{name}={value}" for name, value in RECIPE.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "five_lines", raising=False)
        patch.chdir(folder)
        patch.setattr(
            "rethink_tf.training.recording.samples.record_samples", lambda *_: None
        )  # seconds for each run
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        said = []
        patch.setattr("rethink_tf.console.say", said.append)
        inner = randomisation_test.run.__wrapped__
        patch.setattr(inner, "__kwdefaults__", inner.__kwdefaults__ | {"say": said.append})
        code = test_command.main(argv)
        yield types.SimpleNamespace(folder=folder, argv=argv, code=code, said=said)


def test_the_verdict_on_a_small_network(tested):
    assert tested.code == 0
    verdict, *files = tested.said[-1].strip().splitlines()
    assert re.fullmatch(
        r"memorises 100% of random labels in \d\.\d times the epochs: its capacity alone "
        r"does not explain its test accuracy of \d+%",
        verdict,
    )
    assert files == [f"report/report.{ending}" for ending in ("md", "png", "html")]
    assert (
        tested.said.count(messages.legend(messages.columns())) == 1
    )  # before the first of four tables
    text = (tested.folder / "report" / "report.md").read_text()
    assert text.startswith("# Randomisation test of five_lines:dense on folder:shapes\n\n**Memor")
    assert "56 training and 14 test images of 7 classes, chance 14.3%" in text
    assert "that it returns logits" in text
    rows = re.findall(r"^\| (true labels|random labels) \| (\d of \d) \|", text, re.M)
    assert rows == [("true labels", "2 of 2"), ("random labels", "2 of 2")]
    runs = agreement.load_runs(tested.folder / "runs")
    assert len(runs) == 4 and all(run["run_id"] in text for run in runs)
    assert {run["config"]["corrupt"] for run in runs} == {0.0, 1.0}


def test_the_page_asks_for_nothing_from_outside(tested):
    page = (tested.folder / "report" / "report.html").read_text()
    assert "http" not in page and "<script" not in page and "@import" not in page
    assert page.count("data:image/png;base64,") == 2
    assert page.count("prefers-color-scheme: dark") == 2
    picture = (tested.folder / "report" / "report.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(picture[16:20]) == 1600


def test_finished_runs_are_read_back(tested, no_training):
    before = (tested.folder / "report" / "report.md").read_bytes()
    tested.said.clear()
    assert test_command.main(tested.argv) == 0
    assert sum("finished already" in line for line in tested.said) == 4
    assert (tested.folder / "report" / "report.md").read_bytes() == before


def test_a_report_is_not_overwritten_by_that_of_another_test(tested, no_training):
    kept = {p.name: p.read_bytes() for p in (tested.folder / "report").iterdir()}
    tested.said.clear()
    assert test_command.main([*tested.argv, "--threshold=0.9"]) == 0
    assert "report is in report-2" in str(tested.said)
    assert {p.name for p in (tested.folder / "report-2").iterdir()} == {
        f"report.{ending}" for ending in ("md", "png", "html", "json")
    }
    assert {p.name: p.read_bytes() for p in (tested.folder / "report").iterdir()} == kept
    assert test_command.main(tested.argv) == 0, "the same test has its own folder"
    assert not (tested.folder / "report-3").exists()


def test_a_notebook_shows_the_page(tested, no_training):
    result = randomisation_test.run(
        "five_lines:dense", "folder:shapes", seeds=2, out="report", **RECIPE
    )
    page = html.unescape(result._repr_html_())
    assert (tested.folder / "report" / "report.html").read_text() in page
    assert page.startswith("<iframe srcdoc=")


def test_a_test_without_a_model_is_refused(own_signals, capsys, no_training):
    assert app.guarded(test_command.main, ["--dataset=digits"]) == 2
    assert re.search("--model: expected the model to test.*received none", capsys.readouterr().err)


def test_an_invalid_run_is_left_out_and_named(tested, monkeypatch):
    (path,) = [
        tested.folder / "runs" / run["run_id"]
        for run in agreement.load_runs(tested.folder / "runs")
        if (run["config"]["corrupt"], run["config"]["seed"]) == (1.0, 1)
    ]
    kept = results.read_summary(path)
    results.finish(path, {**kept, "status": "INVALID", "reason": "labels leaked"})
    found = randomisation_test.run(
        "five_lines:dense", "folder:shapes", seeds=2, out="other", **RECIPE
    )
    results.finish(path, kept)
    assert found["left_out"] == ["random labels, seed 1: INVALID: labels leaked"]
    assert [case["seeds"] for case in found["cases"]] == [[0, 1], [0]]
    assert (
        "## Left out\n\n- random labels, seed 1"
        in (tested.folder / "other" / "report.md").read_text()
    )


def test_from_a_notebook_with_a_model_and_arrays(tested):
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((12, 12, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(7),
        ],
        name="linear",
    )
    how = {"epochs": 2, "out": "notebook", "pixels": ["shuffled"]}
    found = rethink_tf.analysis.randomisation_test.run(model, class_folders.arrays(), **how)
    assert [case["name"] for case in found["cases"]] == [
        "true labels",
        "random labels",
        "shuffled pixels",
    ]
    assert found["model"].startswith("notebook/linear-") and found["train_examples"] == 70
    assert found["verdict"].startswith("fits the true labels (100%) but only ")
    again = rethink_tf.analysis.randomisation_test.run(model, class_folders.arrays(), **how)
    assert [c["run_ids"] for c in again["cases"]] == [c["run_ids"] for c in found["cases"]]


def test_a_model_is_saved_by_what_counts_of_it(tensorflow, tmp_path):
    import keras

    norm = keras.layers.Normalization()
    model = keras.Sequential([keras.layers.Input((4,)), norm, keras.layers.Dense(2)], name="n")
    norm.adapt(np.arange(8.0).reshape(2, 4))
    first = randomisation_test._named(model, tmp_path)
    model.layers[-1].set_weights([w + 1 for w in model.layers[-1].get_weights()])
    assert randomisation_test._named(model, tmp_path) == first
    norm.adapt(np.ones((3, 4)))
    assert randomisation_test._named(model, tmp_path) != first

    class Own(keras.Model):
        def __init__(self, count):
            super().__init__(name="own")

    with pytest.raises(rethink_tf.errors.RequestError, match="own cannot be saved") as error:
        randomisation_test._named(Own(3), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--corrupt=0.5"], "--corrupt: the test"),
        (["--label_noise=pair_flip"], "--label_noise: the test"),
        (["--pixels=blurred"], "--pixels: expected some of shuffled,random,gaussian"),
        (["--seeds=0"], "--seeds: expected a whole"),
        (["--seeds=two"], "--seeds: expected a whole"),
        (["--threshold=2"], "--threshold: expected a number above 0.0 to 1.0, received 2.0"),
        (["--init_from=random"], "--init_from: the test"),
        (["--strategy=multi_worker"], "--strategy: expected auto, one_device or mirrored"),
    ],
)
def test_requests_that_are_refused(argv, words, tested, own_signals, capsys, no_training):
    code = app.guarded(test_command.main, [*tested.argv, *argv])
    assert code == 2
    assert capsys.readouterr().err.startswith(f"rethink_tf: {words}")


def case(train, test, reached, name="true labels"):
    """The figures of runs that reached 99% at the given epochs of 20 (None: not), seed by seed."""
    runs = []
    for seed, epoch in enumerate(reached):
        history = [
            {"epoch": e, "train_accuracy": train if epoch and e >= epoch else 0.02 * e}
            for e in range(1, 21)
        ]
        summary = {"train_accuracy": train, "test_accuracy": test, "epochs": 20, "run_id": "id"}
        runs.append(Run(name, seed, summary, history))
    return randomisation_figures.case_figures(name, runs, 0.99)


@pytest.mark.parametrize(
    "true, random, words",
    [
        (
            (1.0, 0.88, [5]),
            (1.0, 0.1, [9]),
            r"100% of random labels in 1\.8 times .*accuracy of 88%",
        ),
        ((1.0, 0.88, [5]), (0.997, 0.1, [9]), r"memorises 99\.7% of random labels in 1\.8 times"),
        ((1.0, 0.12, [5]), (1.0, 0.1, [9]), r"accuracy of 12% .*above chance \(10%\)"),
        (
            (0.6, 0.5, [None]),
            (0.2, 0.1, [None]),
            r"60% .*after 20 epochs \(0 of 1 .*99%\): .*--epochs",
        ),
        ((1.0, 0.88, [5, None]), (0.2, 0.1, [None] * 2), r"\(1 of 2 runs reached 99%\)"),
        ((0.6, 0.5, [None]), (1.0, 0.1, [9]), "memorises 100% of random labels, which is odd"),
        (
            (1.0, 0.88, [5]),
            (0.4, 0.1, [None]),
            r"true labels \(100%\) .*only 40% .*within 20 epochs \(0 of 1 .*99%\)",
        ),
        (
            (1.0, 0.88, [5]),
            (0.96, 0.1, [None]),
            r"true labels \(100%\) and 96% .*within 20 epochs .*accuracy of 88%",
        ),
        ((1.0, 0.88, [5]), (0.4, 0.1, [None]), "still rising: try more --epochs"),
    ],
)
def test_verdicts(true, random, words):
    found = randomisation_figures.verdict(
        case(*true), case(*random), num_classes=10, threshold=0.99
    )
    assert re.search(words, str(found))


@pytest.mark.parametrize(
    "classes, test, little",
    [
        (2, 0.98, False),
        (2, 0.56, False),
        (2, 0.54, True),
        (3, 0.6, False),
        (3, 0.39, True),
        (10, 0.2, False),
        (10, 0.18, True),
        (100, 0.021, False),
        (100, 0.019, True),
    ],
)
def test_what_is_little_above_chance(classes, test, little):
    random = case(1.0, 1 / classes, [9])
    about = {"num_classes": classes, "threshold": 0.99}
    found = randomisation_figures.verdict(case(1.0, test, [5]), random, **about)
    assert ("little above chance" in found) == little
    assert ("alone does not explain" in found) != little


def test_a_threshold_is_said_as_it_is():
    cases = [case(0.998, 0.88, [None]), case(0.4, 0.1, [None])]
    about = {"num_classes": 10, "threshold": 0.999}
    assert "99.8% of them after 20 epochs (0 of 1 runs reached 99.9%)" in (
        randomisation_figures.verdict(*cases, **about)
    )
    said = randomisation_figures.reasons(cases, **about)
    assert said[0].startswith("true labels: reached 99.9% in 0 of 1 runs")
    assert randomisation_figures.percent(1.0) == "100%"
    almost = {"mean": 0.9998, "std": None, "n": 1}
    assert randomisation_figures.number(almost, 100, "%") == "99.98%", "not all of them"
    assert randomisation_figures.number(almost | {"mean": 1.0}, 100, "%") == "100.0%"


def test_figures_of_a_case():
    found = case(1.0, 0.8, [4, 6, None])
    assert found["epochs"] == {"mean": 5.0, "std": pytest.approx(2**0.5), "n": 2}
    assert (found["reached"], found["seeds"], found["budget"]) == (2, [0, 1, 2], 20)
    assert found["gap"]["mean"] == pytest.approx(0.2) and found["test"]["std"] == 0
    assert randomisation_figures.ratio(found, found) is None
    assert randomisation_figures.ratio(case(1.0, 0.1, [9]), case(1.0, 0.8, [4, 6])) == 1.8
    assert randomisation_figures.number(found["epochs"]) == "5.0 ± 1.4"
    assert randomisation_figures.number(case(1.0, 0.8, [4])["epochs"]) == "4"
    assert randomisation_figures.number(case(0.3, 0.1, [None])["epochs"]) == "not reached"


def test_epochs_are_logarithmic_where_all_is_fitted_early():
    early, late = case(1.0, 0.8, [3, 5]), case(1.0, 0.1, [6, 6])
    assert randomisation_page.is_early([early, case(1.0, 0.1, [5, 5])])
    assert not randomisation_page.is_early([early, late])
    assert not randomisation_page.is_early([early, case(1.0, 0.1, [2, None])])


def test_limits_that_apply():
    def said(cases, **about):
        how = {"num_classes": 10, "num_test": 1000, "recipe": "SGD"} | about
        return " ".join(randomisation_figures.limits(cases, **how))

    one, two = case(1.0, 0.8, [4]), case(1.0, 0.8, [4, 5])
    assert "One seed" in said([one, one]) and "One seed" not in said([two, two])
    assert "3 classes the audit cannot test" in str(said([one], num_classes=3))
    assert re.search("25 test images: .*50% are 20 points", str(said([one], num_test=25)))
    assert "Evaluated every 4 epochs" in said([two], eval_every=4)
    assert "Evaluated" not in said([two])
    assert "The learning rate falls" in said([two, case(0.3, 0.1, [None])])
    assert "classes the audit" not in said([one]) and "test images" not in said([one])


def test_held_out_examples_count_in_place_of_the_test_set():
    wanted = RunConfig("mlp_1x512", "digits", examples=300, held_out=64)
    planned = [(c, resolve(w)) for c, w in randomisation_test.cases(wanted, (), 1)]
    values = {"train_accuracy": 1.0, "test_accuracy": 0.5, "epochs": 2, "parameters": 1}
    runs = [Run(c, 0, values | {"run_id": run_id(own)}, []) for c, own in planned]
    found = randomisation_test._figures(planned, runs, [], 0.99, Options())
    assert (found["train_examples"], found["test_examples"]) == (300, 64)
    assert re.search("64 test images: .*50% are 12 points", " ".join(found["limits"]))


def test_names_of_anyone_s_are_no_html(tested):
    figures = {
        "model": "<script>:x",
        "dataset": "a&b",
        "parameters": 1,
        "train_examples": 1,
        "classes": 2,
        "test_examples": 1,
        "recipe": "SGD",
        "threshold": 0.99,
        "verdict": "fits <b>",
        "notes": [],
        "cases": [case(1.0, 0.8, [4]) | {"ratio": 1.0}],
        "reasons": [],
        "limits": [],
        "left_out": ["<i>"],
    }
    page = randomisation_page.page(figures, b"", b"")
    assert "<script>" not in page and "&lt;script&gt;:x on a&amp;b" in page
    assert "<li>&lt;i&gt;</li>" in page and "Fits &lt;b&gt;." in page


def test_names_of_other_bytes_than_utf8_reach_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(randomisation_page, "picture", lambda *_: np.zeros((1, 1, 3), np.uint8))
    figures = {
        "model": "m",
        "dataset": "d",
        "parameters": 1,
        "train_examples": 1,
        "classes": 2,
        "test_examples": 1,
        "recipe": "SGD",
        "threshold": 0.99,
        "verdict": "fits",
        "left_out": [],
        "cases": [case(1.0, 0.8, [4]) | {"ratio": 1.0}],
        "reasons": [],
        "limits": [],
        "notes": ["class caf\udce9"],
    }
    randomisation_page.write(tmp_path, figures, [], [])
    for ending in ("md", "html"):
        assert "class caf\\udce9" in (tmp_path / f"report.{ending}").read_text()
