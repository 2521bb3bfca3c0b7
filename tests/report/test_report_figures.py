"""Panels of figures: none is empty without a word."""

import dataclasses
import html
from types import SimpleNamespace

import numpy as np
import pytest
from report_runs import write_experiment, write_run

from rethink_tf.experiments import plan as experiments
from rethink_tf.report import drawing, measured, table
from rethink_tf.report.collection import MEASURED, collect
from rethink_tf.report.drawing import Series
from rethink_tf.report.sections import build as sections
from rethink_tf.report.sections import kernels, levels
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
    [
        ("capacity", "resnet_50_true_10000"),
        ("wrn", "cifar10_true"),
        ("regularisation", "alexnet_c*"),
    ],
)
def test_there_are_no_empty_panels(name, rows, tmp_path):
    write_experiment(tmp_path, name, "smoke", only=rows.rstrip("*"))
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    figures = sections.build(name, collect(tmp_path, []), **asked, only=rows).figures
    for figure in figures:
        every = figure.draw().axes
        texts = [text.get_text() for axes in every for text in axes.texts]
        assert every and "no run yet" not in texts
    assert len(figures[0].draw().axes) == (2 if name == "wrn" else 1)


@pytest.mark.parametrize("name", ["capacity", "wrn", "regularisation"])
def test_a_panel_without_a_run_says_so(name, tmp_path):
    plan = experiments.planned(name, "smoke")[0]
    write_experiment(tmp_path, name, "smoke", only=plan.row)
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    figure = sections.build(name, collect(tmp_path, []), **asked).figures[0]
    words = [[text.get_text() for text in axes.texts] for axes in figure.draw().axes]
    shown = 2 if name == "wrn" else 1  # training and test loss
    assert words.count(["no run yet"]) == len(words) - shown > 0


def curves(axes):
    """The names of the curves in a panel."""
    return [line.get_label() for line in axes.get_lines() if not line.get_label().startswith("_")]


def built(name, runs_dir, only="*", seeds=None, scale="smoke"):
    asked = {"scale": scale, "seeds": seeds, "threshold": 0.05, "runs_dir": str(runs_dir)}
    return sections.build(name, collect(runs_dir, []), **asked, only=only)


def test_each_network_has_a_figure_of_accuracy_and_cross_entropy(tmp_path):
    write_experiment(tmp_path, "capacity", "paper", only="resnet_50")
    figures = built("capacity", tmp_path, scale="paper").figures
    assert [figure.name for figure in figures] == ["capacity", "capacity_resnet_50"]
    panels = {axes.get_title(): curves(axes) for axes in figures[1].draw().axes}
    assert list(panels) == [
        "training accuracy",
        "test accuracy",
        "training cross-entropy",
        "test cross-entropy",
    ]
    part = ["true labels, 10,000 images", "random labels, 10,000 images"]
    assert all(found[:2] == part and len(found) == 4 for found in panels.values())


def test_jumps_from_epoch_to_epoch_are_not_taken_of_a_shortened_history(tmp_path):
    """Shipped, every second of 150 epochs is left; over two epochs a curve bends further."""
    (row,) = (p.row for p in experiments.planned("capacity") if p.row == "resnet_50_true_10000")
    write_experiment(tmp_path / "runs", "capacity", "paper", only=row)
    own = collect(tmp_path / "runs", [])
    measured.add(own.runs, tmp_path / "measured", None)
    shipped = collect(None, measured.read(tmp_path / "measured"))
    assert [len(run.history()) for run in (*own.runs, *shipped.runs)] == [150, 79]
    asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    cells = [
        next(
            line.cells
            for line in sections.build("capacity", there, **asked).tables[0].rows
            if line.run_ids
        )
        for there in (own, shipped)
    ]
    for name, cell in cells[0].items():
        if name.startswith("jumps"):
            assert cell.values and not cells[1][name].values
        else:
            assert cell.ours_text() == cells[1][name].ours_text(), name


def test_the_size_of_a_whole_set_is_named(tmp_path):
    section = sections.build(
        "capacity", collect(tmp_path, []), scale="paper", seeds=None, threshold=0.05, runs_dir="x"
    )
    sizes = {row.labels[2] for row in section.tables[0].rows}
    assert sizes == {"10,000", "60,000"}
    assert "60,000 images, all of CIFAR-10 50,000" in section.tables[0].notes[0]


def test_all_levels_of_a_wide_resnet_are_in_one_picture_of_each_loss(tmp_path):
    write_experiment(tmp_path, "wrn", "smoke")
    (figure,) = built("wrn", tmp_path).figures
    panels = {axes.get_title(): curves(axes) for axes in figure.draw().axes}
    assert list(panels)[:2] == ["training loss, cifar10", "test loss, cifar10"]
    assert all(found == ["p = 0", "p = 0.5", "p = 1"] for found in panels.values())


def test_one_evaluated_epoch_is_drawn_inside_its_panel(tmp_path):
    write_experiment(tmp_path, "wrn", "smoke", only="cifar10")
    (panel, *_) = built("wrn", tmp_path, "cifar10*").figures[0].draw().axes
    values = [y for line in panel.get_lines() for y in line.get_ydata()]
    assert panel.get_ylim() == (0, pytest.approx(1.05 * max(values)))
    assert all(tick == int(tick) for tick in panel.get_xticks())


def test_each_condition_of_the_regularisers_has_its_curve(tmp_path):
    write_experiment(tmp_path, "regularisation", "smoke", only="alexnet_cifar10")
    figures = built("regularisation", tmp_path, "alexnet_cifar10*").figures
    (panel, *_) = figures[0].draw().axes
    assert panel.get_title(loc="right") == "n = 1" and not panel.texts
    assert figures[1].name == "regularisation_alexnet_cifar10"
    every = figures[1].draw().axes
    assert len(every) == 6, "three kinds of data, training and test"
    assert all(curves(a) == ["plain", "weight decay", "dropout", "both"] for a in every)


def test_what_the_architecture_and_the_regularisers_gain(tmp_path):
    tests = {
        "alexnet_cifar10_true_plain": 0.70,
        "alexnet_cifar10_true_wd": 0.72,
        "resnet_18_cifar10_true_plain": 0.80,
    }
    for run in experiments.planned("regularisation", "smoke"):
        if run.row in tests:
            write_run(tmp_path, run.config, test=tests[run.row])
    section = built("regularisation", tmp_path)
    (row,) = (r for r in section.tables[1].rows if r.labels == ("cifar10", "true labels"))
    numbers = {name: cell.values for name, cell in row.cells.items() if cell.values}
    assert numbers == {
        "weight decay, alexnet": (pytest.approx(2),),
        "resnet_18 in place of alexnet, plain": (pytest.approx(10),),
    }
    assert len(row.run_ids) == 3
    others = [r for r in section.tables[1].rows if r is not row]
    assert others and not any(r.run_ids for r in others)


def finished_parents(runs_dir):
    """Trains the parents of the transfers, as if."""
    for run in experiments.planned("levels", "smoke"):
        folder = write_run(runs_dir, run.config, weights_hash=run.run_id[-12:])
        for epoch in (5, 20, 50):
            results.save_snapshot(folder, epoch, {"0000/w": np.zeros(1)})


def children(runs_dir, row):
    """Of one parent: the runs on held-out images and those on the test set, by rate."""
    plans = [p for p in experiments.planned("transfer", "smoke", runs_dir=runs_dir) if p.row == row]
    return [
        {p.config.learning_rate: p for p in plans if bool(p.config.held_out) is held_out}
        for held_out in (True, False)
    ]


def transferred(runs_dir, row, held_out, tests):
    """Writes the runs of one parent: accuracies by rate."""
    for plans, accuracies in zip(children(runs_dir, row), (held_out, tests), strict=True):
        for rate, accuracy in accuracies.items():
            more = {"status": "DIVERGED"} if accuracy is None else {"test": accuracy}
            write_run(runs_dir, plans[rate].config, **more)


def of_parent(section, *labels):
    (row,) = (row for row in section.tables[0].rows if row.labels[: len(labels)] == labels)
    return row


def test_the_rate_of_a_last_layer_is_chosen_on_held_out_images(tmp_path):
    finished_parents(tmp_path)
    held_out = {0.05: 0.5, 0.2: 0.7, 1: 0.7, 5: None}
    tests = {0.05: 0.9, 0.2: 0.6, 1: 0.8, 5: 0.95}
    transferred(tmp_path, "labels_100", held_out, tests)
    section = built("transfer", tmp_path)
    row = of_parent(section, "random labels", "1", "at its end")
    assert row.labels[3] == "0.2", "the smaller of two that are alike; never by the test set"
    assert row.cells["test (%)"].values == (pytest.approx(60),)
    (tries,) = (r for r in section.tables[1].rows if r.run_ids)
    assert tries.cells["rate 1"].values == (pytest.approx(70),)
    assert tries.cells["rate 5"].ours_text() == "DIVERGED"


def test_without_all_tries_no_rate_is_chosen(tmp_path):
    finished_parents(tmp_path)
    transferred(tmp_path, "original", {0.05: 0.5, 0.2: 0.7}, {0.2: 0.6, 5: 0.8})
    row = of_parent(built("transfer", tmp_path), "original data", "0", "at its end")
    assert row.labels[3] == "2 of 4 tried"
    assert not any(cell.values for cell in row.cells.values()) and not row.run_ids


def test_a_number_of_own_and_of_shipped_runs_is_marked(tmp_path):
    plans = {run.row: run for run in experiments.planned("regularisation", "smoke")}
    plain, decay = (plans[f"alexnet_cifar10_true_{name}"] for name in ("plain", "wd"))
    write_run(tmp_path / "own", plain.config, test=0.7)
    write_run(tmp_path / "other", decay.config, test=0.72)
    (run,) = collect(tmp_path / "other", []).runs
    shipped = dataclasses.replace(run, source=MEASURED)
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": "runs"}
    section = sections.build("regularisation", collect(tmp_path / "own", [shipped]), **asked)
    (row,) = (row for row in section.tables[1].rows if row.run_ids)
    texts = table.cell_texts(section.tables[1], row, "weight decay, alexnet")
    assert texts == [f"2.00 (n = 1) {table.MARK}"]


def test_a_time_relative_to_a_shipped_run_is_marked(tmp_path):
    plans = {p.axes["corrupt"]: p for p in experiments.planned("figure1b", only="mlp_1x512")}
    for level, place in (("0", "other"), ("0.3", "other"), ("0.5", "own")):
        write_run(tmp_path / place, plans[level].config)
    shipped = [
        dataclasses.replace(run, source=MEASURED) for run in collect(tmp_path / "other", []).runs
    ]
    asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": "runs"}
    section = sections.build("figure1b", collect(tmp_path / "own", shipped), **asked)
    for one, name in zip(section.tables, ("relative time", "loss ≤ 0.1"), strict=True):
        (row,) = (row for row in one.rows if row.labels == ("mlp_1x512", "0.5"))
        assert table.cell_texts(one, row, name)[-2 if one.compared(name) else 0].endswith("†")
    (row,) = (row for row in section.tables[0].rows if row.labels == ("mlp_1x512", "0.5"))
    assert row.cells["epochs to loss ≤ 0.05"].ours_text() == "42.0 (n = 1)"
    assert not row.cells["epochs to loss ≤ 0.05"].marked, "it is of the folder's run alone"
    (row,) = (row for row in section.tables[0].rows if row.labels == ("mlp_1x512", "0.3"))
    assert not row.cells["relative time"].marked, "the row is marked"


def test_the_original_data_alone_are_a_table_without_curves(tmp_path):
    write_experiment(tmp_path, "levels", "smoke", only="original")
    asked = {"scale": "smoke", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    section = sections.build("levels", collect(tmp_path, []), **asked, only="original")
    assert len(section.tables[0].rows) == 1 and section.figures == ()


def test_the_transfer_is_drawn_against_the_epoch_of_the_parent(tmp_path):
    finished_parents(tmp_path)
    rates = dict.fromkeys((0.05, 0.2, 1, 5), 0.5)
    for row, test in (("labels_100", 0.6), ("labels_100_epoch_005", 0.7), ("random_weights", 0.4)):
        transferred(tmp_path, row, rates, dict.fromkeys(rates, test))
    figure = built("transfer", tmp_path).figures[1]
    (axes,) = figure.draw().axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["random labels"] == [[5, pytest.approx(70)], [51, pytest.approx(60)]]
    (dashed,) = (line for line in axes.get_lines() if line.get_label().startswith("_"))
    assert dashed.get_ydata()[0] == pytest.approx(40)


def entries(figure):
    """The texts of a figure's legend."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_legend_shows_what_is_drawn_alone():
    figure, (axes,) = drawing.axes_grid(1, 1, 3.0)
    series = [
        Series("ours", [[(0, 1.0), (1, 2.0)]], [(0, 1.5)], 0),
        Series("no run", [[]], (), 1),
        Series("the paper alone", (), [(0, 3.0)], 2),
    ]
    drawing.draw_series(axes, series)
    drawing.legend(figure, series)
    assert entries(figure) == ["ours", "the paper alone", "the paper's curve"]
    figure, (axes,) = drawing.axes_grid(1, 1, 3.0)
    drawing.draw_series(axes, series[1:2])
    drawing.legend(figure, series[1:2])
    assert entries(figure) == [] and [t.get_text() for t in axes.texts] == ["no run yet"]


TWO, ONE = [(0, 1.0), (1, 2.0)], [(0, 1.0)]


@pytest.mark.parametrize(
    ("curves", "right", "above"),
    [
        ([[TWO, TWO]], "n = 2", []),
        ([[TWO, ONE]], "", ["n =", "2", "1"]),
        ([[TWO], [TWO, TWO]], "", ["n = 1", "n = 2"]),
        ([[TWO], [TWO, ONE]], "", ["n =", "2", "1", "n = 1"]),
    ],
)
def test_the_number_of_seeds_is_stated_per_point(curves, right, above):
    _figure, (axes,) = drawing.axes_grid(1, 1, 3.0)
    series = [Series(f"{n}", seeds, (), n) for n, seeds in enumerate(curves)]
    drawing.draw_series(axes, series)
    assert axes.get_title(loc="right") == right
    assert [text.get_text() for text in axes.texts] == above
    assert all(text.xyann[1] > 0 and text.xy[1] == 1 for text in axes.texts), "over the panel"
    inks = {one.ink for one in series if above}
    assert {text.get_color() for text in axes.texts} - {drawing.INK} == inks


def test_a_seed_that_ends_between_two_markers_is_stated():
    """Training and test curve of the same runs share one line of numbers."""
    _figure, (axes,) = drawing.axes_grid(1, 1, 3.0)
    whole, ended = ([(float(x), 1.0) for x in range(count)] for count in (30, 28))
    drawing.draw_series(axes, [Series(name, [whole, ended]) for name in ("train", "test")])
    assert axes.get_title(loc="right") == ""
    above = [(text.get_text(), text.xy[0]) for text in axes.texts]
    assert above == [("n =", 0), *(("2", x) for x in range(0, 28, 3)), ("1", 28.0)]


def test_a_drawing_holds_its_numbers():
    def draw():
        figure, (axes,) = drawing.axes_grid(1, 1, 3.0)
        drawing.draw_series(axes, [Series("ours", [[(0, 1.0)], [(0, 2.0)]], [(0, 1.5)])])
        drawing.label_axes(axes, "x", "y", "a < b")
        return figure

    svg = drawing.svg(drawing.Figure("some", "Some", "", draw))
    numbers = html.unescape(svg.partition("<metadata>")[2].partition("</metadata>")[0])
    assert numbers.splitlines() == [
        "panel,curve,x,y,std,n",
        'a < b,"ours, the paper\'s",0,1.5',
        "a < b,ours,0,1.5,0.707107,2",
    ]


def test_a_line_joins_neighbouring_levels_alone():
    points = [[(x, 1.0)] for x in (0.0, 0.1, 0.5, 1.0)]
    one = Series("a", points, places=(0.0, 0.1, 0.3, 0.5, 0.7, 1.0))
    assert drawing.has_gap(one) and not drawing.has_gap(dataclasses.replace(one, places=()))
    _, (axes,) = drawing.axes_grid(1, 1, 3.0)
    drawing.draw_series(axes, [one])
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.0, 0.1], [0.5], [1.0]]


@pytest.mark.parametrize(("levels", "parts"), [((0.5, 1.0), 2), ((0.5, 0.6), 1)])
def test_figure_1c_says_that_levels_are_missing(levels, parts, tmp_path):
    for plan in experiments.planned("figure1c", only="alexnet"):
        if float(plan.axes["corrupt"]) in levels:
            write_run(tmp_path, plan.config)
    asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    (figure,) = sections.build("figure1c", collect(tmp_path, []), **asked).figures
    assert ("neighbouring levels" in figure.caption) == (parts > 1)
    solid = [line for line in figure.draw().axes[0].lines if line.get_marker() == "s"]
    assert len(solid) == parts


def test_points_that_were_not_solved_are_named_and_not_drawn():
    keys = ("filters", "ridge", "test_error", "solved")
    values = ((8_192, 0.0, 0.48, False), (8_192, 0.1, 0.22, True), (16_384, 0.0, 0.28, True))
    summary = {"solutions": [dict(zip(keys, row, strict=True)) for row in values]}
    runs = SimpleNamespace(runs=[SimpleNamespace(summary=summary)])
    drawn = {ridge: list(curve) for ridge, curve in kernels.points(runs).items()}
    assert drawn == {0.0: [16_384], 0.1: [8_192]}
    named = "Left out, since it was not solved to --tolerance: 8,192 filters, ridge 0."
    assert kernels.unsolved(runs) == named
    summary["solutions"][0]["solved"] = True
    assert kernels.unsolved(runs) == "" and len(kernels.points(runs)[0.0]) == 2


def test_levels_are_not_joined_over_levels_without_a_run(tmp_path):
    write_experiment(tmp_path, "levels", "hours", only="original")
    write_experiment(tmp_path, "levels", "hours", only="labels_100")
    write_experiment(tmp_path, "levels", "hours", only="gaussian_020")
    (axes,) = built("levels", tmp_path, scale="hours").figures[0].draw().axes
    joined = {tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) > 1}
    assert joined == {(0.0, 0.2)}


def test_epochs_of_a_parent_are_not_joined_over_epochs_without_a_run():
    tests = {5: [69.0], 20: [], 50: [64.0], 90: [63.0]}
    parents = [
        SimpleNamespace(level=("labels", 1.0), epoch=epoch, at_end=epoch == 90, tests=values)
        for epoch, values in tests.items()
    ]
    (axes,) = levels._draw_by_parent(parents).axes
    joined = {tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) > 1}
    assert joined == {(50, 90)}
