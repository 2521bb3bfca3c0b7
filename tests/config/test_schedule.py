"""The learning rate of an epoch, and the milestones as typed."""

import pytest

from rethink_tf.config.run_config import RunConfig, resolve
from rethink_tf.config.schedule import learning_rate, milestones
from rethink_tf.errors import RequestError


def test_the_papers_rate_falls_after_each_epoch():
    config = resolve(RunConfig(dataset="cifar10"))
    rates = [learning_rate(config, epoch) for epoch in (1, 2, 70)]
    assert rates == pytest.approx([0.1, 0.095, 0.1 * 0.95**69])


def test_the_demonstrations_rate_falls_after_epochs_150_and_225():
    config = resolve(RunConfig(dataset="cifar10", model="wrn_28_1", lr_schedule="step", epochs=300))
    assert config.lr_decay == 0.1
    rates = [learning_rate(config, epoch) for epoch in (1, 150, 151, 225, 226, 300)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_the_rate_does_not_depend_on_the_length():
    long, short = (
        resolve(RunConfig(dataset="cifar10", lr_schedule="step", lr_milestones="3", epochs=n))
        for n in (9, 5)
    )
    assert [learning_rate(long, e) for e in range(1, 6)] == [
        learning_rate(short, e) for e in range(1, 6)
    ]


def test_milestones_have_one_form():
    assert milestones(" 30,4 ") == (4, 30)
    wanted = RunConfig(dataset="cifar10", lr_schedule="step", lr_milestones="225, 150")
    assert resolve(wanted).lr_milestones == "150,225"


@pytest.mark.parametrize("text", ["", "1,,2", "0,3", "3,3", "1.5", "-1", "ten", "1e3", "12345678"])
def test_milestones_that_are_none(text):
    with pytest.raises(RequestError, match="--lr_milestones: expected"):
        milestones(text)


def test_milestones_without_their_schedule_are_refused():
    with pytest.raises(RequestError, match="expected --lr_schedule=step with it"):
        resolve(RunConfig(dataset="cifar10", lr_milestones="3"))
