"""A run of a sweep that stops answering is named, once, and no other."""

import types

import pytest

from rethink_tf.experiments.sweep import watch as sweep_watch
from rethink_tf.experiments.sweep.watch import Watch
from rethink_tf.runs import results
from rethink_tf.storage import files


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = types.SimpleNamespace(value=1000.0)
    monkeypatch.setattr(sweep_watch.time, "monotonic", lambda: now.value)
    return now


@pytest.fixture
def job(tmp_path):
    (tmp_path / "run").mkdir()
    log = tmp_path / "log"
    log.write_text("begun")
    return types.SimpleNamespace(log=log, run_dir=tmp_path / "run")


def epoch(job, seconds, number=1):
    line = {"epoch": number, "timing": {"train_seconds": seconds, "eval_seconds": 10.0}}
    results.append_history(job.run_dir, line)


def unknown():
    return None


@pytest.fixture(autouse=True)
def plain_history(monkeypatch):
    def read(run_dir):
        path = run_dir / results.HISTORY
        return (
            [files.parse(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        )

    monkeypatch.setattr(sweep_watch.results, "read_history", read)


def test_several_of_its_own_epochs_without_progress(job, clock):
    watch = Watch()
    epoch(job, 40.0)
    assert watch.silent(job, unknown) is None
    clock.value += 249.0
    assert watch.silent(job, unknown) is None, "5 epochs of 50 seconds are 250"
    clock.value += 1.0
    assert watch.silent(job, unknown) == (250.0, 50.0)
    clock.value += 1000.0
    assert watch.silent(job, unknown) is None, "it was named"


@pytest.mark.parametrize("what", ["history", "log"])
def test_progress_begins_the_wait_anew(what, job, clock):
    watch = Watch()
    epoch(job, 40.0)
    for _ in range(3):
        watch.silent(job, unknown)
        clock.value += 240.0
        if what == "log":
            job.log.write_text(job.log.read_text() + "more")
        else:
            epoch(job, 40.0, 2)
        assert watch.silent(job, unknown) is None
    clock.value += 250.0
    assert watch.silent(job, unknown) is not None


def test_before_its_first_epoch_runs_of_its_kind_tell(job, clock):
    watch = Watch()
    watch.silent(job, lambda: 100.0)
    clock.value += 499.0
    assert watch.silent(job, lambda: 100.0) is None
    assert watch.silent(job, unknown) is None, "nothing is known of it"
    clock.value += 1.0
    assert watch.silent(job, lambda: 100.0) == (500.0, 100.0)


def test_short_epochs_are_given_time(job, clock):
    watch = Watch()
    watch.silent(job, lambda: 0.1)
    clock.value += sweep_watch.LEAST - 1
    assert watch.silent(job, lambda: 0.1) is None
    clock.value += 1
    assert watch.silent(job, lambda: 0.1) is not None


def test_a_run_that_is_queued_has_not_stopped(job, clock):
    job.log.unlink()
    watch = Watch()
    watch.silent(job, lambda: 1.0)
    clock.value += 10_000
    assert watch.silent(job, lambda: 1.0) is None
