"""What a sweep has to do, without doing it: each run once, parents first, in shards."""

import itertools
from pathlib import Path

import pytest
from report_runs import write_run

from rethink_tf.experiments.plan import planned
from rethink_tf.experiments.sweep.jobs import Job, jobs_of
from rethink_tf.runs import results


def names(jobs):
    return [job.name for job in jobs]


def finish_parent(plan, runs_dir, epochs=51):
    """As if a run had been trained that others start from."""
    write_run(runs_dir, plan.config, done=epochs, weights_hash="abc")


def test_runs_of_several_experiments_are_there_once():
    plans = planned("table1") + planned("figure2b") + planned("figure1a")
    jobs = jobs_of(plans, Path("runs"))
    assert len(plans) == 26 and len(jobs) == 22
    assert names(jobs)[:2] == ["table1 alexnet_random seed 0", "table1 alexnet_true seed 0"]
    assert names(jobs)[-1] == "figure1a shuffled_pixels seed 0"
    assert jobs[0].run_dir == Path("runs") / planned("table1")[0].run_id


def test_parents_come_before_their_children(tmp_path):
    jobs = jobs_of(planned("transfer", "smoke", 2, runs_dir=tmp_path), tmp_path)
    assert len(jobs) == 2 * (5 * 8 + 2)
    for place, job in enumerate(jobs):
        if job.parent is not None:
            assert jobs.index(job.parent) < place
            assert job.parent.plan.run_id == job.plan.parent.run_id
            assert job.run_dir is None and job.state() == "missing"
    both = planned("levels", "smoke", 2) + planned("transfer", "smoke", 2, runs_dir=tmp_path)
    assert len(jobs_of(both, tmp_path)) == len(jobs) + 2 * 3, "those of no transfer"


def test_shards_are_a_partition_that_nothing_finished_changes(tmp_path):
    def parts(count):
        plans = planned("transfer", "smoke", 2, runs_dir=tmp_path) + planned("table1", "smoke")
        return [names(jobs_of(plans, tmp_path, (part, count))) for part in range(count)]

    whole = parts(1)[0]
    shards = parts(4)
    assert sorted(itertools.chain(*shards)) == sorted(whole)
    assert max(map(len, shards)) - min(map(len, shards)) <= 40, "children are with their parent"
    run = next(p for p in planned("levels", "smoke") if p.row == "labels_100")
    finish_parent(run, tmp_path)
    assert parts(4) == shards


@pytest.mark.parametrize(
    "status, code, why",
    [("DONE", 0, None), ("INVALID", 3, "INVALID: so"), ("DIVERGED", 4, "DIVERGED: so")],
)
def test_a_job_that_ended_before(tmp_path, status, code, why):
    plan = planned("figure2b")[0]
    write_run(tmp_path, plan.config, status=status, reason=why and "so")
    job = Job(plan, tmp_path)
    assert job.settle() == {"DONE": "done"}.get(status, status)
    assert (job.code, job.why, job.failed) == (code, why, code != 0)


def test_a_damaged_run_fails_with_what_to_do(tmp_path):
    plan = planned("figure2b")[0]
    (tmp_path / plan.run_id).mkdir()
    (tmp_path / plan.run_id / results.SUMMARY).write_text("{}")
    job = Job(plan, tmp_path)
    assert job.settle() == "damaged"
    assert job.code == 6 and "damaged: expected the status" in job.why


def test_a_transfer_whose_parent_kept_no_epoch_is_refused(tmp_path):
    plans = planned("transfer", "smoke", runs_dir=tmp_path)
    plan = next(plan for plan in plans if plan.row == "labels_100_epoch_005")
    job = jobs_of([plan], tmp_path)[1]
    finish_parent(plan.parent, tmp_path)  # without its snapshot
    job.plan_again()
    assert job.code == 2 and "--keep_epochs=5" in job.why


def test_a_transfer_is_named_once_its_parent_is_finished(tmp_path):
    plans = planned("transfer", "smoke", runs_dir=tmp_path)
    plan = next(plan for plan in plans if plan.row == "original")
    parent, job = jobs_of([plan], tmp_path)
    finish_parent(parent.plan, tmp_path)
    job.plan_again()
    assert job.stage == "waiting" and job.plan.run_id.startswith("resnet_28-")
    assert job.plan.run_id != parent.plan.run_id and job.state() == "missing"
