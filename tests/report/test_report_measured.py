"""What was measured: written small, read back the same, shown and marked."""

import dataclasses
import fcntl
import json
import os
import re
import threading

import pytest
from report_runs import ENVIRONMENT, resolved, write_run

from rethink_tf.cli import readme_tables, report, ship
from rethink_tf.cli.app import guarded
from rethink_tf.config import paper, run_config
from rethink_tf.errors import StorageError
from rethink_tf.experiments import plan
from rethink_tf.report import listing, measured, readme
from rethink_tf.report.collection import collect, read_folder

MLP = paper.row_config(paper.TABLE1["mlp_1x512_random"])
OTHER = dataclasses.replace(MLP, corrupt=0.0)


@pytest.fixture
def shipped(tmp_path, capsys):
    """A folder of measured runs: the single-layer network on true and on random labels."""
    for wanted in (MLP, OTHER):
        write_run(tmp_path / "done", wanted)
    folders = [str(path) for path in (tmp_path / "done").iterdir()]
    argv = [*folders, f"--out={tmp_path / 'measured'}", "--machine=two cores"]
    assert guarded(ship.main, argv) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'measured'}/mlp_1x512.jsonl: ")
    return tmp_path / "measured"


def test_it_is_read_back_the_same_but_for_the_digits_kept(shipped, tmp_path):
    runs = measured.read(shipped)
    assert [run.run_id for run in runs] == sorted(run_config.run_id(c) for c in (MLP, OTHER))
    run = next(run for run in runs if run.config == MLP)
    whole = read_folder(tmp_path / "done" / run.run_id)
    assert (run.status, run.source, run.place) == ("DONE", "measured", None)
    for key in ("test_accuracy", "train_loss", "epochs", "changed_fraction", "best_test_accuracy"):
        assert run.summary[key] == pytest.approx(whole.summary[key], rel=1e-5)
    lines, before = run.history(), whole.history()
    assert len(lines) == 70
    for key in ("epoch", "loss", "accuracy", "train_accuracy", "corrupted_original_accuracy"):
        expected = [pytest.approx(line[key], rel=1e-5) for line in before]
        assert [line[key] for line in lines] == expected
    took = {"train_seconds": 140, "hours": 0.0388889}
    assert run.machine == ENVIRONMENT | {"name": "two cores"} | took
    assert measured.hours(run) == pytest.approx(measured.hours(whole), rel=1e-5) == 140 / 3600
    assert run.summary["audit_passed"] == run.summary["audit_checks"] == 1


def test_it_keeps_no_path_and_no_command_line(shipped, tmp_path):
    text = "".join(path.read_text() for path in shipped.iterdir())
    assert str(tmp_path) not in text and "argv" not in text and text.count("\n") == 2


def test_paths_of_parents_and_of_noise_files_are_left_out_and_the_run_stays_the_same():
    parent = "/somewhere/mlp-1@parent:mlp-1:5:abc"
    fields = {"init_from": parent, "labels_from": "/somewhere/noise.csv@sha256:123"}
    fields |= {"label_noise": "/somewhere/matrix.csv@sha256:456", "corrupt": 0.5}
    wanted = dataclasses.replace(MLP, **fields)
    kept = measured._without_paths(dataclasses.asdict(wanted))
    assert "/somewhere" not in json.dumps(kept)
    assert run_config.run_id(run_config.RunConfig(**kept)) == run_config.run_id(wanted)


HASH = 64 * "5"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"model": f"/home/someone/own.keras@sha256:{HASH}"}, f"own.keras@sha256:{HASH}"),
        ({"model": f"nets.small:build@sha256:{HASH}"}, f"nets.small:build@sha256:{HASH}"),
        ({"model": "keras:MobileNetV2"}, "keras:MobileNetV2"),
        ({"dataset": f"npz:/home/someone/set.npz@sha256:{HASH}"}, f"npz:set.npz@sha256:{HASH}"),
        ({"dataset": f"folder:../pictures/@sha256:{HASH}"}, f"folder:pictures@sha256:{HASH}"),
        ({"dataset": f"folder:.@sha256:{HASH}"}, f"folder:folder@sha256:{HASH}"),
    ],
)
def test_paths_of_ones_own_model_and_data_are_left_out_and_the_run_stays_the_same(fields, kept):
    wanted = dataclasses.replace(MLP, **fields)
    left = measured._without_paths(dataclasses.asdict(wanted))
    assert left == dataclasses.asdict(wanted) | dict.fromkeys(fields, kept)
    assert run_config.run_id(run_config.RunConfig(**left)) == run_config.run_id(wanted)


def test_the_list_of_runs_has_machine_hours_and_commit(shipped, tmp_path):
    entry = {"machine": {"git_commit": "5e8c4ad58cffc309f3af7722a80bebee63c1403e"}}
    rewritten(shipped / "mlp_1x512.jsonl", lambda e: e["machine"].update(entry["machine"]), True)
    found = listing.listed(collect(tmp_path / "done", measured.read(shipped)), {})
    own = [x["machine"] for x in found]
    assert own == ["CPU x86_64"] * 2, "where nobody named the machine, its devices"
    assert [x["hours"] for x in found] == [pytest.approx(140 / 3600)] * 2
    found = listing.listed(collect(None, measured.read(shipped)), {})
    assert [x["machine"] for x in found] == ["two cores"] * 2
    assert [x["commit"] for x in found] == ["5e8c4ad", ""]
    assert [x["seed"] for x in found] == [0, 0]


def test_a_run_measured_again_replaces_itself(shipped, tmp_path):
    folder = tmp_path / "done" / run_config.run_id(MLP)
    run = read_folder(folder)
    run.summary["weights_hash"] = "of another machine"
    measured.add([run], shipped, None)
    found = {r.run_id: r.summary["weights_hash"] for r in measured.read(shipped)}
    assert found[run.run_id] == "of another machine" and len(found) == 2


def test_who_ships_waits_for_another_who_does(shipped, tmp_path):
    folder = write_run(tmp_path, resolved(model="mlp_1x512", dataset="cifar10", seed=7))
    added, (path,) = read_folder(folder), shipped.glob("*.jsonl")
    other = os.open(shipped, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    waiting = threading.Thread(target=measured.add, args=([added], shipped, None))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(first)  # as if the other had changed the file meanwhile
    os.close(other)
    waiting.join()
    assert rest and len(measured.read(shipped)) == 2


def test_of_a_long_history_the_thresholds_the_best_and_the_end_stay(tmp_path):
    folder = write_run(tmp_path, resolved(model="mlp_1x512", dataset="cifar10", epochs=301))
    lines = read_folder(folder).history()
    kept = [line["epoch"] for line in measured.kept_lines(lines)]
    assert kept[:4] == [1, 4, 8, 12] and kept[-1] == 301 and len(kept) < 110
    # Halved every 5 epochs from 2.3: 0.5, 0.3, 0.1 and 0.05; accuracy exp(-loss).
    assert {15, 23, 40, 150} <= set(kept)
    assert measured.kept_lines(lines[:100]) == lines[:100]


def refused(capsys, *argv):
    code = guarded(ship.main, list(argv))
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    return code, err


def test_what_is_not_done_is_refused(tmp_path, capsys):
    invalid = write_run(tmp_path, MLP, status="INVALID")
    out = f"--out={tmp_path / 'measured'}"
    assert re.search(
        "expected a run that is DONE, .*INVALID", str(refused(capsys, str(invalid), out)[1])
    )
    inexact = write_run(tmp_path, OTHER, exact=False)
    assert "--resume=anyway" in refused(capsys, str(inexact), out)[1]
    code, err = refused(capsys, str(tmp_path / "nothing"), out)
    assert code == 2 and "found neither" in err
    short = write_run(tmp_path, dataclasses.replace(MLP, seed=1))
    lines = (short / "history.jsonl").read_text().splitlines(keepends=True)
    (short / "history.jsonl").write_text("".join(lines[:3]))
    code, err = refused(capsys, str(short), out)
    assert code == 6 and "epochs up to 70, found those up to 3;" in err
    assert refused(capsys)[0] == 2
    assert not (tmp_path / "measured").exists()


def test_of_a_folder_of_runs_those_that_are_done(tmp_path, capsys):
    done = write_run(tmp_path / "runs", MLP)
    other = write_run(tmp_path / "runs", OTHER, status="DIVERGED")
    assert guarded(ship.main, [str(tmp_path / "runs"), f"--out={tmp_path / 'out'}"]) == 0
    assert f"{other}: not DONE, left out\n" in capsys.readouterr().out
    assert [run.run_id for run in measured.read(tmp_path / "out")] == [done.name]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"run_id": "a"}', '{"config": {}, "summary": {}, "history": {}, "machine": {}}'],
)
def test_a_damaged_file_is_one_clear_line(line, tmp_path):
    (tmp_path / "mlp.jsonl").write_text(line + "\n")
    with pytest.raises(StorageError, match=r"mlp\.jsonl: damaged: "):
        measured.read(tmp_path)


def test_columns_of_unequal_length_are_damage(shipped):
    path = shipped / "mlp_1x512.jsonl"
    entry = json.loads(path.read_text().splitlines()[0])
    entry["history"]["loss"].pop()
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(StorageError, match="columns of equal length"):
        measured.read(shipped)


def rewritten(path, change, seal=False):
    """Changes the first record of a file, with or without a digest that fits."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    change(entries[0])
    entries[0] = measured.sealed(entries[0]) if seal else entries[0]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return entries[0]["run_id"]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e["summary"].update(changed_fraction=0.125),
        lambda e: e["history"]["loss"].__setitem__(3, 0.5),
        lambda e: e["machine"].update(hours=1.0),
        lambda e: e.update(before_seals=True),
    ],
)
def test_an_edited_record_is_refused_by_its_digest(change, shipped):
    run_id = rewritten(shipped / "mlp_1x512.jsonl", change)
    with pytest.raises(StorageError, match=f"damaged: the digest of {run_id} is wrong; add"):
        measured.read(shipped)


def test_a_record_without_a_digest_is_refused(shipped):
    run_id = rewritten(shipped / "mlp_1x512.jsonl", lambda e: e.pop("sha256"))
    with pytest.raises(StorageError, match=f"the digest of {run_id} is missing; add"):
        measured.read(shipped)


def test_a_record_follows_from_its_own_history(shipped):
    path = shipped / "mlp_1x512.jsonl"
    run_id = rewritten(path, lambda e: e["summary"].update(test_accuracy=0.75), seal=True)
    expected = f"{run_id}: does not agree with its history: test_accuracy is 0.75 here, 0.5 there"
    with pytest.raises(StorageError, match=expected):
        measured.read(shipped)


def test_it_is_kept_whether_a_run_was_before_digests(shipped, tmp_path):
    assert not any(run.before_seals for run in measured.read(shipped))
    folder = write_run(tmp_path / "old", dataclasses.replace(MLP, seed=1))
    summary = json.loads((folder / "summary.json").read_text())
    del summary["sha256"]
    (folder / "summary.json").write_text(json.dumps(summary))
    measured.add([read_folder(folder)], shipped, None)
    found = {run.run_id: run.before_seals for run in measured.read(shipped)}
    assert found.pop(folder.name) is True and set(found.values()) == {False}


def test_a_report_of_an_empty_folder_shows_them_marked(shipped, tmp_path):
    out = tmp_path / "out"
    argv = ["table1", f"--runs_dir={tmp_path / 'none'}", f"--out={out}", f"--measured={shipped}"]
    assert guarded(report.main, argv) == 0
    text = (out / "report.md").read_text()
    assert "| 10.61 | 10.00 (n = 1) † | −0.61 |" in text
    assert re.search(r"† measured by .*not in your folder", text)
    assert re.search(r"2 runs, 1 seed; all measured by .*shipped\.", text)
    assert re.search(r"\(which does not exist\): 0; measured by .*shipped with it \(†\): 2\.", text)
    assert ",measured," in (out / "table1.csv").read_text()


def test_own_runs_stand_in_place_of_them(shipped, tmp_path):
    write_run(tmp_path / "runs", dataclasses.replace(MLP, seed=1), test=0.25)
    out = tmp_path / "out"
    argv = ["table1", f"--runs_dir={tmp_path / 'runs'}", f"--out={out}", f"--measured={shipped}"]
    assert guarded(report.main, argv) == 0
    text = (out / "report.md").read_text()
    assert "| 10.61 | 25.00 (n = 1) | +14.39 |" in text, "one row is of one source"
    assert "| 50.51 | 50.00 (n = 1) † | −0.51 |" in text


def test_a_block_has_the_measured_rows_linked_to_their_flagfiles(shipped):
    text = "before\n<!-- measured: table1 -->\nstale\n<!-- end -->\nafter\n"
    made = readme.rewritten(text, measured.read(shipped))
    assert made.startswith("before\n<!-- measured: table1 -->\n\nTable 1. Scale paper: ")
    assert made.endswith("\n\n<!-- end -->\nafter\n")
    row = "| [mlp_1x512](flags/table1/mlp_1x512_random.flags) | random |"
    assert f"{row} 99.34 |" in made and f"10.00 (n{readme.NBSP}={readme.NBSP}1) |" in made
    assert "stale" not in made and "inception" not in made and "†" not in made
    assert readme.rewritten(made, measured.read(shipped)) == made
    assert readme.rewritten(made, []) == text.replace("stale\n", "")


def test_the_command_rewrites_a_file(tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text("<!-- measured: table4 smoke -->\nstale\n<!-- end -->\n")
    assert guarded(readme_tables.main, [str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 1 block\n"
    assert path.read_text() == "<!-- measured: table4 smoke -->\n<!-- end -->\n"
    assert guarded(readme_tables.main, [str(tmp_path / "none.md")]) == 2
    path.write_text("<!-- measured: table9 -->\n<!-- end -->\n")
    assert guarded(readme_tables.main, [str(path)]) == 2


def test_what_is_shipped_is_sound():
    for run in collect(None, measured.read()).runs:
        assert run.status == "DONE" and run.summary["audit_passed"] == run.summary["audit_checks"]
        assert run.machine["threads"] > 0 and run.machine["name"] and measured.hours(run) > 0
        assert len(run.machine["git_commit"]) == 40
        seed = plan.setting(run.config, "seed")  # memorisation names its settings but the defaults
        assert seed is None if run.summary.get("kind") == "memorisation" else seed >= 0
        if run.summary.get("kind") == "kernels":
            assert run.summary["solutions"][-1]["solved"] and not run.history()
        elif run.summary.get("kind") == "leave-one-out":
            assert run.summary["exact"] and run.summary["solved"] and not run.history()
        elif run.summary.get("kind") == "memorisation":
            assert run.summary["models"] == run.config["models"] and not run.history()
        else:
            assert run.machine["devices"] and run.history()[-1]["epoch"] == run.summary["epochs"]


def test_a_readmes_table_names_what_is_equal_in_all_rows_above_it():
    made = readme.rewritten("<!-- measured: table1 -->\n<!-- end -->\n", measured.read())
    assert "In all rows: random crop no.\n" in made
    assert "\n| model | weight decay | labels | train (%): paper | ours |" in made
