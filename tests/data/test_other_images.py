"""A finished run on a part of ImageNet is no run on the whole, though their ids are the same."""

import json
import re

import pytest
from report_runs import write_run

from rethink_tf.cli import sweep
from rethink_tf.cli.app import guarded
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.data.sources import tfrecord_index
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan as experiments
from rethink_tf.report import measured
from rethink_tf.report.collection import collect, read_folder
from rethink_tf.report.sections import build as sections
from rethink_tf.runs import results
from rethink_tf.training import run as train

SEALED = {"sha256": {}}


@pytest.fixture
def folder(tmp_path):
    """Of a prepared set, its metadata alone: 3,000 training images in two files, 1,000 others."""
    folder = tmp_path / "data" / "imagenet2012" / "5.1.0"
    folder.mkdir(parents=True)
    counts = {"train": ["1800", "1200"], "validation": ["1000"]}
    splits = [{"name": name, "shardLengths": lengths} for name, lengths in counts.items()]
    facts = {"fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(facts))
    return folder


def said(folder, done, examples=None, dataset="imagenet2012"):
    summary = {"config": {"dataset": dataset, "examples": examples}, "train_examples": done}
    return tfrecord_index.made_of_others(summary, folder.parents[1])


def test_another_number_of_images_is_told(folder):
    assert re.search(
        f"1,281,167 .*imagenet2012, {re.escape(str(folder))} has 3,000; .*type another --runs_dir",
        said(folder, 1_281_167),
    )
    assert said(folder, 2_995) is not None and said(folder, 3_001) is not None


def test_the_same_number_is_the_same_run(folder):
    assert said(folder, 3_000) is None
    assert said(folder, 2_996) is None, "four that cannot be read are left out"


def test_where_nothing_can_be_told_nothing_is_said(folder):
    assert said(folder, 1_000, examples=1_000) is None
    assert said(folder, None) is None
    assert said(folder, 1_000, dataset="not_here") is None


def test_such_a_run_is_refused_and_not_taken_for_done(folder, tmp_path, monkeypatch, no_training):
    wanted = RunConfig(model="mlp_1x512", dataset="imagenet2012", input_size=24)
    config = resolve(wanted)
    run_dir = tmp_path / "runs" / run_id(config)
    summary = {
        "status": "DONE",
        "config": {"dataset": "imagenet2012", "examples": None},
        "train_examples": 30,
        "epochs": 1,
    }
    monkeypatch.setattr("rethink_tf.runs.agreement.read_summary", lambda *_: summary | SEALED)
    monkeypatch.setattr("rethink_tf.training.recording.messages.verdict", lambda *_: "a verdict")
    options, lines = Options(data_dir=str(folder.parents[1])), []
    with pytest.raises(RequestError, match=f"{run_dir.name}: finished on 30 training images of "):
        train.run(config, run_dir, options=options, say=lines.append)
    assert lines == []
    summary["train_examples"] = 3_000
    assert train.run(config, run_dir, options=options, say=lines.append) == summary | SEALED
    assert re.search(f"{re.escape(str(run_dir))}: finished already; ", lines[0])


def test_a_sweep_refuses_it_too(folder, tmp_path, capsys, own_signals):
    (plan,) = experiments.planned("table2", only="random")
    asked = ["table2", "--rows=random", "--slots=1"]
    asked += [f"--runs_dir={tmp_path / 'runs'}", f"--data_dir={folder.parents[1]}"]
    run_dir = write_run(tmp_path / "runs", plan.config, train_examples=30)
    assert guarded(sweep.main, asked) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"rethink_tf: {run_dir}: finished on 30 training images of imagenet2012,")
    results.finish(run_dir, results.read_summary(run_dir) | {"train_examples": 3_000})
    assert guarded(sweep.main, asked) == 0
    assert "1 run: 1 done, 0 failed, 0 left" in capsys.readouterr().out


def test_a_report_says_of_which_part_it_is_and_it_is_not_shipped(tmp_path):
    (plan,) = experiments.planned("table2", only="random")

    def notes(done):
        run_dir = tmp_path / plan.run_id
        results.finish(run_dir, results.read_summary(run_dir) | {"train_examples": done})
        asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
        found = sections.build("table2", collect(tmp_path, []), **asked, only="random").notes
        return [note for note in found if "Not all images" in note]

    write_run(tmp_path, plan.config)
    words = "30 of imagenet2012's 1,281,167 training images"
    assert notes(1_281_167) == notes(1_280_000) == [], "some cannot be read"
    assert notes(30) == [f"Not all images: {plan.run_id} was trained on {words}."]
    with pytest.raises(RequestError, match=f"one is on {words}"):
        measured.record(read_folder(tmp_path / plan.run_id), None)
