"""How long runs take, from histories written by hand."""

import dataclasses
import os

import pytest

from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.experiments import rates
from rethink_tf.runs import results
from rethink_tf.storage import files

CONFIG = resolve(RunConfig("mlp_1x512", "digits", epochs=10, eval_every=4))


def write(runs_dir, seed=0, speed=1000.0, threads=1, epochs=3, seconds=None, **fields):
    """A run of so many epochs; evaluated in the second, in 0.36 s."""
    config = dataclasses.replace(CONFIG, seed=seed, **fields)
    folder = runs_dir / run_id(config)
    folder.mkdir()
    record = {"config": dataclasses.asdict(config), "threads": threads}
    files.write_json(folder / results.CONFIG, record)
    for epoch in range(1, epochs + 1):
        timing = {"train_seconds": 1.5, "eval_seconds": 0.36 if epoch == 2 else 0.0}
        timing["images_per_second"] = 1.0 if epoch == 1 else speed
        accuracy = 0.5 if epoch == 2 else None
        line = {"epoch": epoch, "train_accuracy": accuracy, "timing": timing}
        results.append_history(folder, line)
    if seconds:
        summary = {"status": "DONE", "timing": {"seconds": seconds}}
        results.finish(folder, summary)
    return folder


def test_a_rate_is_the_median_of_what_was_measured(tmp_path):
    for seed, speed in enumerate((500.0, 1000.0, 2000.0)):
        write(tmp_path, seed, speed)
    found = rates.measure(tmp_path, ["mlp_1x512"])
    assert found == {rates.kind(CONFIG): rates.Rate(0.001, pytest.approx(0.36 / 1797), None)}


def test_what_else_a_run_takes_is_counted(tmp_path):
    write(tmp_path, seconds=12.86)
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"]).values()
    assert rate.rest == pytest.approx(8.0)


def test_what_compiles_in_the_first_epoch_is_counted(tmp_path):
    folder = write(tmp_path, seconds=12.86)
    lines = results.read_history(folder)
    lines[0]["timing"]["train_seconds"] = 9.0  # of 12.86 in all, 4.86 would have been steady
    results.rewrite_history(folder, lines)
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"]).values()
    assert rate.rest == pytest.approx(8.0)


def test_of_a_run_that_went_on_or_is_not_finished_it_is_not_known_what_else_it_took(tmp_path):
    folder = write(tmp_path, 0, seconds=12.86)
    write(tmp_path, 1)
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"]).values()
    assert rate.rest == pytest.approx(8.0), "that of the finished one, not halved by a zero"
    results.add_resumed(folder, {}, {"epoch": 2})
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"]).values()
    assert rate.rest is None
    known = {rates.kind(CONFIG): rates.Rate(0.001, 0.0, None)}
    assert rates.seconds_left(CONFIG, known) == pytest.approx(15.0)


def test_many_runs_of_one_kind_hide_no_other(tmp_path):
    rare = write(tmp_path, speed=500.0, augment="crop")
    os.utime(rare, (1, 1))
    for seed in range(12):
        write(tmp_path, seed)
    found = rates.measure(tmp_path, ["mlp_1x512"])
    assert sorted(rate.train for rate in found.values()) == [0.001, 0.002]


@pytest.mark.parametrize("gone", ["threads", "config"])
def test_a_damaged_record_is_left_out(gone, tmp_path):
    folder = write(tmp_path, 0)
    write(tmp_path, 1, 4000.0)
    record = {k: v for k, v in results.read_config(folder).items() if k != gone}
    files.write_json(folder / results.CONFIG, record)
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"]).values()
    assert rate.train == 1 / 4000


def test_a_folder_that_vanishes_is_left_out(tmp_path):
    write(tmp_path)
    (tmp_path / "mlp_1x512-gone").symlink_to(tmp_path / "nowhere")
    assert len(rates.measure(tmp_path, ["mlp_1x512"])) == 1


def test_runs_of_as_many_threads_count_alone(tmp_path):
    write(tmp_path, 0, 1000.0, threads=1)
    write(tmp_path, 1, 4000.0, threads=4)
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"], threads=4).values()
    assert rate.train == 1 / 4000
    (rate,) = rates.measure(tmp_path, ["mlp_1x512"], threads=3).values()
    assert rate.train == (0.001 + 1 / 4000) / 2


def test_seconds_left():
    known = {rates.kind(CONFIG): rates.Rate(0.001, 0.0002, 8.0)}
    # 1,500 training and 297 test examples; exact passes in epochs 4, 8 and 10.
    whole = 10 * 1.5 + 3 * 1797 * 0.0002 + 8.0
    assert rates.seconds_left(CONFIG, known) == pytest.approx(whole)
    assert rates.seconds_left(CONFIG, known, 8) == pytest.approx(3.0 + 1797 * 0.0002 + 8.0)
    fewer = dataclasses.replace(CONFIG, examples=150)
    assert rates.seconds_left(fewer, known) < 0.5 * whole


def test_what_was_not_measured_is_unknown(tmp_path):
    write(tmp_path)
    known = rates.measure(tmp_path, ["mlp_1x512", "alexnet"])
    other = resolve(RunConfig("alexnet", "digits"))
    assert rates.seconds_left(other, known) is None
    assert rates.seconds_left({"no": "configuration"}, known) is None
    assert rates.measure(tmp_path / "nowhere", ["mlp_1x512"]) == {}


@pytest.mark.parametrize("content", ["", "{", '{"config": {}}', '{"config": {"dataset": "x"}}'])
def test_damaged_runs_are_left_out(tmp_path, content):
    folder = write(tmp_path)
    (folder / results.CONFIG).write_text(content)
    assert rates.measure(tmp_path, ["mlp_1x512"]) == {}


def test_a_run_without_an_epoch_is_left_out(tmp_path):
    write(tmp_path, epochs=0)
    assert rates.measure(tmp_path, ["mlp_1x512"]) == {}
