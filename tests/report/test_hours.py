"""Hours of the shipped runs, and the estimate of the rest."""

import dataclasses

import pytest

from rethink_tf.config import run_config
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan
from rethink_tf.report import hours
from rethink_tf.report.collection import MEASURED, Collection, Run
from rethink_tf.report.history import History

EPYC, XEON = "two cores of an AMD EPYC", "two cores of an Intel Xeon"


def shipped(planned, seconds, machine=EPYC, **changes):
    """A shipped run of a row: its recorded hours, of 50,000 examples and 70 epochs."""
    config = dataclasses.replace(planned.config, **changes)
    summary = {"status": "DONE", "epochs": 70, "train_examples": 50_000}
    times = {"name": machine, "hours": seconds / 3600} if seconds else {"name": machine}
    run_id = run_config.run_id(config)
    return Run(run_id, config, summary, MEASURED, History([{"epoch": 70}] * 70), times)


@pytest.fixture(scope="module")
def table1():
    return {one.row: one for one in plan.planned("table1", "paper", 1)}


def test_costs_are_medians_by_network_and_machine(table1):
    planned = table1["mlp_1x512_random"]
    runs = [shipped(planned, 70 * s, seed=n) for n, s in enumerate((2.0, 3.0, 10.0))]
    runs += [shipped(planned, 70.0, XEON, seed=3), shipped(planned, None, XEON, seed=4)]
    epyc, xeon = hours.costs(runs)
    assert (epyc.model, epyc.machine, epyc.runs) == ("mlp_1x512", EPYC, 3)
    assert epyc.seconds_an_epoch == pytest.approx(3.0)
    assert epyc.hours == pytest.approx(70 * 15.0 / 3600)
    assert (xeon.runs, xeon.seconds_an_epoch) == (1, pytest.approx(1.0))


def test_what_is_missing_is_estimated_by_the_slowest_machine(table1):
    planned = table1["mlp_1x512_random"]
    slow, fast = shipped(planned, 70 * 6.0), shipped(planned, 70.0, XEON, seed=1)
    found = hours.rest("table1", Collection([slow, fast]), hours.costs([slow, fast]))
    rows = [one for one in table1.values() if one.config.model == "mlp_1x512"]
    assert (found.shipped, found.missing) == (1, len(table1) - 1)
    assert found.unknown == len(table1) - len(rows)
    assert found.hours == pytest.approx((len(rows) - 1) * 70 * 6.0 / 3600)


def test_the_last_layer_alone_says_nothing_of_the_whole_network(table1):
    planned = table1["mlp_1x512_random"]
    last = shipped(planned, 7.0, freeze="all_but_last", init_from="random:cifar10", seed=1)
    whole = shipped(planned, 70 * 6.0)
    assert [cost.freeze for cost in hours.costs([last, whole])] == ["all_but_last", "none"]
    found = hours.rest("table1", Collection([last]), hours.costs([last]))
    assert (found.unknown, found.hours) == (len(table1), 0.0)


def test_without_a_run_nothing_is_estimated(table1):
    found = hours.rest("table1", Collection([]), [])
    assert found == hours.Rest("table1", 0, len(table1), 0.0, len(table1))
    with pytest.raises(RequestError):
        hours.rest("table9", Collection([]), [])
