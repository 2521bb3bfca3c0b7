"""What is said of a request before it is trained: a large batch, floats, long hashes."""

import re

import numpy as np
import pytest

from rethink_tf.analysis import randomisation_test
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError
from rethink_tf.storage import content_hash

FEW = {"model": "mlp_1x512", "dataset": "digits", "examples": 64}
LINE = (
    "--batch_size: 500 is more than the training examples; each step takes all 64: the run is that "
    "with --batch_size=64"
)


def test_a_batch_larger_than_the_training_set_is_said():
    def words(**fields):
        wanted = RunConfig(**FEW, **fields)
        return run_config.smaller_batch(wanted, run_config.resolve(wanted))

    assert words(batch_size=500) == LINE
    assert words(batch_size=64) is words(batch_size=10) is words() is None


def test_it_is_said_and_stands_in_the_configuration(call, tensorflow):
    argv = [f"--{name}={value}" for name, value in FEW.items()]
    code, out, err = call(*argv, "--batch_size=500", "--dry_run")
    said, rest = out.split("\n", 1)
    assert (code, err, said) == (0, "", LINE)
    assert "batch_size 64," in rest
    assert call(*argv, "--batch_size=64", "--dry_run") == (0, rest, "")


def test_of_a_hash_the_first_digits_are_shown():
    whole = f"npz:a.npz@sha256:{'0123456789abcdef' * 4}"
    assert content_hash.brief(whole) == "npz:a.npz@sha256:0123456789ab"
    assert content_hash.brief(f"random:{whole}") == "random:npz:a.npz@sha256:0123456789ab"
    assert [content_hash.brief(value) for value in (None, 0.5, "cifar10")] == [
        "None",
        "0.5",
        "cifar10",
    ]


def arrays(x):
    y = np.arange(len(x)) % 2
    return x, y, x, y


def test_floats_to_one_are_brought_to_255_and_said(tmp_path):
    x = np.linspace(0, 1, 4 * 64).reshape(4, 8, 8)
    name, notes = randomisation_test._stored(arrays(x), tmp_path)
    assert notes == tuple(
        f"x_{part} of the arrays: 0 to 1 taken as 0 to 255, rounded" for part in ("train", "test")
    )
    with np.load(name.removeprefix("npz:")) as kept:
        assert kept["x_train"].dtype == np.uint8
        assert np.abs(kept["x_train"][..., 0] - 255 * x).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8])
def test_whole_numbers_to_255_are_kept(dtype, tmp_path):
    x = np.arange(4 * 64).reshape(4, 8, 8)
    name, notes = randomisation_test._stored(arrays(x.astype(dtype)), tmp_path)
    assert notes == ()
    with np.load(name.removeprefix("npz:")) as kept:
        assert np.array_equal(kept["x_train"][..., 0], x)


@pytest.mark.parametrize(
    "scale, offset, words",
    [
        (1.0, 0.5, "from 0.5 to 63.5, not all whole"),
        (0.1, -3.0, "from -3 to 3.3"),
        (100.0, 0.0, "from 0 to 6300"),
    ],
)
def test_other_ranges_are_refused_in_one_line(scale, offset, words, tmp_path):
    x = np.arange(64.0).reshape(1, 8, 8).repeat(2, axis=0) * scale + offset
    with pytest.raises(RequestError) as caught:
        randomisation_test._stored(arrays(x), tmp_path)
    assert re.search(
        rf"--dataset: x_train.* from 0 to 255, .* received float64 {re.escape(words)}",
        str(caught.value),
    )
