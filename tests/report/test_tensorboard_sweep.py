"""TensorBoard of a sweep, asked over loopback: HParams table, custom scalars, curves."""

import dataclasses
import json
import re
import time
import urllib.parse
import urllib.request

import pytest
from report_runs import lines, resolved, write_run

from rethink_tf.cli import tensorboard as tensorboard_command
from rethink_tf.cli.app import guarded
from rethink_tf.report import tensorboard
from rethink_tf.report.collection import collect

LEVELS = (0.0, 0.5, 1.0)
FAMILY = "mlp_1x512 digits"


def sweep(runs_dir):
    """Three levels of corruption, two seeds at p = 1, and one run of another network."""
    configs = [resolved(model="mlp_1x512", corrupt=p, epochs=4) for p in LEVELS]
    configs.append(dataclasses.replace(configs[-1], seed=1))
    configs.append(resolved(model="alexnet", epochs=4))
    for config in configs:
        write_run(runs_dir, config, test=0.5 - 0.4 * config.corrupt + 0.02 * config.seed)
    return configs


@pytest.fixture(scope="module")
def served(tensorflow, tmp_path_factory):
    """The address of a TensorBoard server that shows a sweep, and the folder of its runs."""
    from tensorboard import program

    from rethink_tf.training.recording.tensorboard import TensorBoardLog

    runs_dir = tmp_path_factory.mktemp("sweep")
    sweep(runs_dir)
    for run in collect(runs_dir, []).runs:
        log = TensorBoardLog(run.place / "tb", dataclasses.asdict(run.config))
        for line in run.history():
            log.write(line)
        log.close()
    assert guarded(tensorboard_command.main, [f"--runs_dir={runs_dir}"]) == 0
    server = program.TensorBoard()
    # It reads once: a thread that still reads when the process ends takes that down with a signal.
    server.configure(
        argv=[
            "tensorboard",
            f"--logdir={runs_dir}",
            "--host=127.0.0.1",
            "--port=0",
            "--load_fast=false",
            "--reload_interval=0",
        ]
    )
    address = server.launch()
    deadline = time.monotonic() + 300
    # It lists a run before it has read its events.
    wanted = {f"tensorboard/{FAMILY}/p={p:g}": ("loss_by_epoch", 4) for p in LEVELS}
    wanted |= {f"tensorboard/{FAMILY}/{c}": ("error_by_corruption", 3) for c in ("train", "test")}
    for run in collect(runs_dir, []).runs:
        wanted[f"{run.run_id}/tb"] = ("final/test_accuracy", 4)
        wanted |= {f"{run.run_id}/tb/{c}": ("loss", 4) for c in ("train", "test", "online")}
    while any(len(points(address, run, tag)) < n for run, (tag, n) in wanted.items()):
        assert time.monotonic() < deadline, ask(address, "runs")
        time.sleep(0.2)
    return address, runs_dir


def ask(address, path, body=None, **query):
    """What the server answers, from JSON."""
    url = f"{address}data/{path}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def points(address, run, tag):
    """(wall time, step, value) of a curve, by the custom scalars that show it."""
    answer = ask(address, "plugin/custom_scalars/scalars", run=run, tag=f"^{tag}$")
    return answer["tag_to_events"].get(tag, [])


def test_the_columns_of_the_table_are_what_differs(served):
    found = ask(served[0], "plugin/hparams/experiment", {"experimentName": ""})
    columns = {info["name"]: info.get("domainDiscrete") for info in found["hparamInfos"]}
    assert {name for name in columns} >= {"model", "dataset", "corrupt", "seed"}
    assert "momentum" not in columns, "the same in all runs"
    assert columns["corrupt"] == [0.0, 0.5, 1.0]
    assert columns["model"] == ["alexnet", "mlp_1x512"]
    names = [info["displayName"] for info in found["metricInfos"]]
    assert names == [
        "training accuracy",
        "test accuracy",
        "best test accuracy",
        "training loss",
        "test loss",
    ]


def test_the_rows_of_the_table_are_the_runs_with_their_values(served):
    address, _runs_dir = served
    asked = {
        "experimentName": "",
        "sliceSize": 100,
        "startIndex": 0,
        "colParams": [],
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"],
    }
    groups = ask(address, "plugin/hparams/session_groups", asked)["sessionGroups"]
    assert len(groups) == 5
    found = {}
    for group in groups:
        metrics = {
            (m["name"].get("group", ""), m["name"]["tag"]): m["value"]
            for m in group["metricValues"]
        }
        key = group["hparams"]["model"], group["hparams"]["corrupt"], group["hparams"]["seed"]
        found[key] = metrics
    assert found["mlp_1x512", 1.0, 1.0]["", "final/test_accuracy"] == pytest.approx(0.12)
    assert found["mlp_1x512", 0.5, 0.0]["test", "best_test_accuracy"] == pytest.approx(0.31)
    last = lines(resolved(model="alexnet", epochs=4))[-1]
    assert found["alexnet", 0.0, 0.0]["train", "loss"] == pytest.approx(last["train_loss"])


def test_training_and_test_are_in_one_card(served):
    address, _ = served
    layout = ask(address, "plugin/custom_scalars/layout")
    cards = {
        (category["title"], chart["title"]): chart["multiline"]["tag"]
        for category in layout["category"]
        for chart in category["chart"]
    }
    assert cards["By epoch", "Loss: training, test, running"] == ["^loss$"]
    assert len(cards) == 7
    run = next(name for name in ask(address, "runs") if name.startswith("mlp"))
    run_id = run.partition("/")[0]
    for curve in ("train", "test", "online"):
        shown = points(address, f"{run_id}/tb/{curve}", "loss")
        assert [step for _, step, _ in shown] == [1, 2, 3, 4]


def values(address, run, tag):
    return [(step, pytest.approx(value)) for _, step, value in points(address, run, tag)]


def test_loss_by_corruption_is_the_mean_over_seeds(served):
    address, runs_dir = served
    runs = collect(runs_dir, []).runs
    last = {
        (r.config.corrupt, r.config.seed): r.summary for r in runs if r.config.model != "alexnet"
    }
    errors = [(0, 0.5), (50, 0.7), (100, 1 - (0.1 + 0.12) / 2)]
    assert values(address, f"tensorboard/{FAMILY}/test", "error_by_corruption") == errors
    losses = [(0, last[0.0, 0]["test_loss"]), (50, last[0.5, 0]["test_loss"]),
              (100, (last[1.0, 0]["test_loss"] + last[1.0, 1]["test_loss"]) / 2)]  # fmt: skip
    assert values(address, f"tensorboard/{FAMILY}/test", "loss_by_corruption") == losses
    by_epoch = values(address, f"tensorboard/{FAMILY}/p=0.5", "loss_by_epoch")
    assert by_epoch == [
        (x["epoch"], x["loss"]) for x in lines(resolved(model="mlp_1x512", corrupt=0.5, epochs=4))
    ]


def test_written_again_it_is_written_anew(served):
    _, runs_dir = served
    folder = runs_dir / tensorboard.FOLDER
    before = {path.relative_to(folder).parent for path in folder.rglob("events*")}
    (folder / "stale").mkdir()
    tensorboard.write(folder, tensorboard.trained(collect(runs_dir, [])))
    found = [path.relative_to(folder).parent for path in folder.rglob("events*")]
    assert sorted(found) == sorted(before)
    assert not (folder / "stale").exists()


def test_families_need_two_levels_and_differ_in_name(tmp_path):
    sweep(tmp_path)
    found = tensorboard.families(collect(tmp_path, []).runs)
    assert {
        name: {p: len(runs) for p, runs in levels.items()} for name, levels in found.items()
    } == {FAMILY: {0.0: 1, 0.5: 1, 1.0: 2}}


def test_each_kind_of_label_noise_is_a_family_that_starts_at_true_labels(tmp_path):
    sweep(tmp_path)
    flipped = resolved(model="mlp_1x512", corrupt=0.5, label_noise="pair_flip", epochs=4)
    write_run(tmp_path, flipped)
    found = tensorboard.families(collect(tmp_path, []).runs)
    sizes = {name: {p: len(runs) for p, runs in levels.items()} for name, levels in found.items()}
    assert sizes == {FAMILY: {0.0: 1, 0.5: 1, 1.0: 2}, f"{FAMILY} pair_flip": {0.0: 1, 0.5: 1}}
    assert found[f"{FAMILY} pair_flip"][0.5][0].config == flipped


def test_what_is_left_out_is_named(tmp_path, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(tensorboard, "write", lambda folder, runs: written.extend(runs))
    done, invalid, damaged = (
        write_run(tmp_path, resolved(model="mlp_1x512", seed=seed, epochs=4), status=status)
        for seed, status in enumerate(("DONE", "INVALID", "DONE"))
    )
    (damaged / "history.jsonl").write_text("{}\n")
    assert guarded(tensorboard_command.main, [f"--runs_dir={tmp_path}"]) == 0
    assert [run.run_id for run in written] == [done.name]
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == f"left out: {invalid.name} is INVALID: the made-up reason"
    assert second.startswith(f"left out: {damaged.name} cannot be read: history.jsonl: damaged")
    assert (
        last == f"{tmp_path}/tensorboard: 1 run, 1 cannot be read; tensorboard --logdir {tmp_path}"
    )


@pytest.mark.parametrize("folder", ["empty", "not_there"])
def test_no_runs_are_one_clear_line(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert guarded(tensorboard_command.main, [f"--runs_dir={tmp_path / folder}"]) == 2
    _out, err = capsys.readouterr()
    assert re.search(
        f"--runs_dir={re.escape(str(tmp_path / folder))}: expected finished runs, found none",
        err,
    )
