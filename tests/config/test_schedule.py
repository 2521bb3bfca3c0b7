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


def test_the_cosine_rises_and_falls_to_the_end():
    fields = dict(dataset="cifar10", lr_schedule="cosine", learning_rate=0.4)
    plain = resolve(RunConfig(**fields, epochs=4))
    assert (plain.lr_decay, plain.warmup_epochs) == (1.0, 0)
    # (1 + cos(pi t)) / 2 at t = 0, 1/4, 1/2, 3/4.
    half = 0.5**0.5
    shares = [1, (1 + half) / 2, 1 / 2, (1 - half) / 2]
    assert [learning_rate(plain, e) for e in (1, 2, 3, 4)] == pytest.approx(
        [0.4 * share for share in shares]
    )
    warmed = resolve(RunConfig(**fields, epochs=7, warmup_epochs=3))
    rates = [learning_rate(warmed, e) for e in range(1, 8)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, *(0.4 * share for share in shares)])


def test_the_rate_of_adam_is_its_own():
    for name in ("adam", "adamw"):
        for dataset in ("cifar10", "digits"):
            resolved = resolve(RunConfig(dataset=dataset, optimizer=name))
            assert resolved.learning_rate == 0.001
    kept = resolve(RunConfig(dataset="cifar10", optimizer="adam", learning_rate=0.01))
    assert kept.learning_rate == 0.01


@pytest.mark.parametrize(
    "fields, refusal",
    [
        ({"warmup_epochs": 3}, "--warmup_epochs: expected --lr_schedule=cosine with it"),
        (
            {"lr_schedule": "cosine", "warmup_epochs": 5, "epochs": 5},
            "--warmup_epochs: expected fewer than --epochs=5, received 5",
        ),
        ({"lr_schedule": "cosine", "lr_decay": 0.9}, "--lr_decay: expected none with"),
        ({"optimizer": "adamw", "momentum": 0.8}, "--momentum: expected --optimizer=sgd with it"),
    ],
)
def test_settings_without_effect_are_refused(fields, refusal):
    with pytest.raises(RequestError, match=refusal):
        resolve(RunConfig(dataset="cifar10", **fields))


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
