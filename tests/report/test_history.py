"""Histories by column, functions over several processes, and what a page of many runs holds."""

import dataclasses
import os
from pathlib import Path

import pytest
from report_runs import lines, resolved, write_run

from rethink_tf.analysis import corrupted_test
from rethink_tf.errors import StorageError
from rethink_tf.report import collection, html, listing, measured, parallel
from rethink_tf.report.history import History, column
from rethink_tf.runs import results

CONFIG = resolved(model="mlp_1x512", corrupt=0.5, epochs=6, eval_every=2)
LINES = lines(CONFIG)


def test_a_history_gives_back_its_lines_and_sums_its_times():
    history = History(LINES)
    whole = [{key: value for key, value in line.items() if key != "timing"} for line in LINES]
    assert list(history) == whole and history[-1] == whole[-1] and history[1:3] == whole[1:3]
    types = [[type(value) for value in line.values()] for line in history]
    assert types == [[type(value) for value in line.values()] for line in whole]
    assert history.column("test_loss")[0] is None, "not evaluated in the first epoch"
    assert history.column("no_such_key") == [None] * 6 == column(LINES, "no_such_key")
    assert history.train_seconds == 12.0 and history.eval_seconds == 0
    with pytest.raises(IndexError):
        history[6]


def test_an_empty_history_has_no_lines():
    assert list(History([])) == [] and not History([]) and History([]).column("epoch") == []


def test_results_of_several_processes_come_in_order(monkeypatch):
    monkeypatch.setattr(parallel, "_may_fork", lambda: True)
    monkeypatch.setattr(parallel.environment, "cores", lambda: 2)
    offset = 3
    found = list(parallel.mapped(lambda x: (x + offset, os.getpid()), range(40)))
    assert [value for value, _ in found] == list(range(3, 43))
    assert os.getpid() not in {process for _, process in found}
    few = parallel.mapped(lambda x: os.getpid(), range(3), at_least=4)
    assert set(few) == {os.getpid()}, "few values are not worth a process"


def test_a_failure_in_another_process_is_raised_here(monkeypatch):
    monkeypatch.setattr(parallel, "_may_fork", lambda: True)
    monkeypatch.setattr(parallel.environment, "cores", lambda: 2)

    def refuse(number):
        if number == 1:
            raise StorageError("the second one")
        return number

    with pytest.raises(StorageError, match="the second one"):
        list(parallel.mapped(refuse, range(3)))


def test_a_folder_is_read_alike_by_one_process_and_by_several(tmp_path, monkeypatch):
    first, second, *_ = (
        write_run(tmp_path, dataclasses.replace(CONFIG, seed=seed)) for seed in range(4)
    )
    summary = results.read_summary(first)
    error, weights = 1 - summary["test_accuracy"], summary["weights_hash"]
    tested = corrupted_test.CorruptedTestError(
        first.name, weights, 0.5, 10_000, error, 0.8, (0.79, 0.8)
    )
    for folder in (first, second):  # the second's is another run's
        corrupted_test.write(tested, folder)
    damaged = write_run(tmp_path, dataclasses.replace(CONFIG, seed=4))
    (damaged / "history.jsonl").write_text("{}\n")
    one = collection.collect(tmp_path, [])
    monkeypatch.setattr(collection, "MANY", 1)
    monkeypatch.setattr(parallel, "_may_fork", lambda: True)
    monkeypatch.setattr(parallel.environment, "cores", lambda: 2)
    several = collection.collect(tmp_path, [])
    assert [list(run.history()) for run in one.runs] == [list(r.history()) for r in several.runs]
    assert [(run.run_id, run.summary, run.config) for run in one.runs] == [
        (run.run_id, run.summary, run.config) for run in several.runs
    ]
    assert one.broken == several.broken
    assert set(one.broken) == {damaged.name, f"{second.name}/{corrupted_test.FILE}"}
    for found in (one, several):
        errors = {run.run_id: run.corrupted_test for run in found.runs}
        assert len(errors) == 4 and errors.pop(first.name) == tested
        assert set(errors.values()) == {None}


def test_each_file_of_a_run_is_read_once(tmp_path, monkeypatch):
    folder = write_run(tmp_path, CONFIG)
    read = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))
    monkeypatch.setattr(results, "file_digest", lambda _, name: read.append(name))
    assert collection.read_folder(folder) is not None
    once = [results.CONFIG, corrupted_test.FILE, results.HISTORY, results.SUMMARY]
    assert sorted(read) == once  # the second is looked for, in vain


def test_a_page_of_many_runs_thins_their_curves(tmp_path, monkeypatch):
    wanted = resolved(model="mlp_1x512", epochs=40)
    runs = collection.collect(write_run(tmp_path, wanted).parent, [])
    (run_id,) = (run.run_id for run in runs.runs)
    assert listing.curves(runs)[run_id]["epoch"] == list(range(1, 41))
    monkeypatch.setattr(listing, "MOST_LINES", 12)
    few = listing.curves(runs)[run_id]
    assert len(few["epoch"]) < 30 and few["epoch"][0] == 1 and few["epoch"][-1] == 40
    assert len(few["loss"]) == len(few["epoch"])
    best = runs.runs[0].summary["best_test_epoch"]
    assert best in few["epoch"], "the best epoch is kept"


def test_runs_by_column_are_the_same_runs():
    listed = [
        {"id": f"run-{n}", "model": "mlp", "test": 0.123456, "facts": {"precision": "float32"}}
        for n in range(8)
    ]
    packed = listing.by_column(listed)
    assert packed["id"] == [line["id"] for line in listed]
    assert packed["model"] == {"of": ["mlp"], "at": [0] * 8}
    assert packed["facts.precision"]["of"] == ["float32"]
    assert packed["test"]["of"] == [0.1235], "four digits are shown"


def test_the_page_of_the_shipped_runs_is_small():
    runs = collection.collect(None, measured.read(None))
    assert len(html.page([], runs, "shipped", {})) < 500_000
