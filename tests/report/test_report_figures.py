"""Panels of figures: none is empty without a word."""

import pytest
from report_runs import write_experiment, write_run

from rethink_tf.experiments import plan as experiments
from rethink_tf.report.collection import collect
from rethink_tf.report.sections import build as sections
from rethink_tf.runs import results


def panels(runs_dir, **asked):
    """The words in each panel of Figure 1b, by its title."""
    found = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(runs_dir)}
    (figure,) = sections.build("figure1b", collect(runs_dir, []), **found | asked).figures
    return {a.get_title(): [text.get_text() for text in a.texts] for a in figure.draw().axes}


def test_a_panel_of_figure_1b_says_what_was_not_reached(tmp_path):
    assert panels(tmp_path)["loss ≤ 0.05"] == [], "the paper's curves are there"
    assert panels(tmp_path)["loss ≤ 0.1"] == ["no run yet"]
    write_experiment(tmp_path, "figure1b", only="mlp")
    assert panels(tmp_path)["loss ≤ 0.05"] == []
    # After 7.8 halvings, of which 70 epochs have 7.8 at p = 0.79.
    assert panels(tmp_path)["accuracy ≥ 0.99"] == ["not reached:\nmlp_1x512, 3 of 11 runs"]
    last = next(
        p for p in experiments.planned("figure1b") if p.row == "mlp_1x512" and p.config.corrupt == 1
    )
    folder = tmp_path / last.run_id
    slow = [line | {"loss": 0.2} for line in results.read_history(folder)]
    results.rewrite_history(folder, slow)
    # Finished anew, so that the digests are those of the slow history.
    results.finish(folder, results.read_summary(folder) | {"loss": 0.2})
    assert panels(tmp_path)["loss ≤ 0.1"] == ["not reached:\nmlp_1x512, 1 of 11 runs"]
    assert panels(tmp_path)["loss ≤ 0.3"] == []


def test_without_true_labels_that_is_said_and_not_that_it_was_not_reached(tmp_path):
    plan = next(p for p in experiments.planned("figure1b") if p.axes["corrupt"] == "0.5")
    write_run(tmp_path, plan.config)
    asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    section = sections.build("figure1b", collect(tmp_path, []), **asked)
    (row,) = (row for row in section.tables[0].rows if row.run_ids)
    assert row.cells["relative time"].ours_text() == "no run at p = 0"
    assert row.cells["epochs to loss ≤ 0.05"].ours_text() == "42.0 (n = 1)"
    assert panels(tmp_path)["loss ≤ 0.1"] == [f"no run at p = 0:\n{plan.row}"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("capacity", "resnet_50_true_all"), ("wrn", "cifar10_true"), ("regularisation", "alexnet_c*")],
)
def test_there_are_no_empty_panels(name, rows, tmp_path):
    write_experiment(tmp_path, name, "smoke", only=rows.rstrip("*"))
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    (figure,) = sections.build(name, collect(tmp_path, []), **asked, only=rows).figures
    (axes,) = figure.draw().axes
    assert not axes.texts


@pytest.mark.parametrize("name", ["capacity", "wrn", "regularisation"])
def test_a_panel_without_a_run_says_so(name, tmp_path):
    plan = experiments.planned(name, "smoke")[0]
    write_experiment(tmp_path, name, "smoke", only=plan.row)
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    (figure,) = sections.build(name, collect(tmp_path, []), **asked).figures
    words = [[text.get_text() for text in axes.texts] for axes in figure.draw().axes]
    assert words.count([]) == 1 and words.count(["no run yet"]) == len(words) - 1 > 0
