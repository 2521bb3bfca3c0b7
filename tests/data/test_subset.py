"""Parts of a training split: balanced, nested, a function of seed and identity."""

import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.errors import RequestError

TAKEN = {
    0: [81, 246, 353, 425, 452, 557, 564, 639, 660, 918],
    1: [23, 67, 89, 186, 452, 525, 574, 698, 730, 861],
}


def make_split(labels, index=None, num_classes=10):
    labels = np.asarray(labels, np.int32)
    index = np.arange(len(labels)) if index is None else np.asarray(index)
    images = np.broadcast_to(index.astype(np.uint8)[:, None, None, None], (len(labels), 2, 2, 1))
    return types.Split("train", index.astype(np.int64), images, labels, num_classes)


def test_take_is_balanced_and_nested():
    whole = make_split(np.arange(1000) * 7 % 10)
    before = np.array([], np.int64)
    for count in (1, 9, 10, 95, 500, 999):
        part = datasets.take(whole, count, seed=3)
        assert part.num_examples == count and part.num_classes == 10 and part.name == "train"
        assert (np.diff(part.index) > 0).all()
        assert np.isin(before, part.index).all()
        sizes = np.bincount(part.labels, minlength=10)
        assert sizes.max() - sizes.min() <= 1
        np.testing.assert_array_equal(part.labels, whole.labels[part.index])
        np.testing.assert_array_equal(part.images, whole.images[part.index])
        before = part.index
    assert datasets.take(whole, 1000, seed=3) is whole


def test_take_is_a_function_of_seed_and_identity():
    whole = make_split(np.arange(1000) * 7 % 10)
    assert datasets.take(whole, 10, seed=0).index.tolist() == TAKEN[0]
    assert datasets.take(whole, 10, seed=1).index.tolist() == TAKEN[1]
    # The same identities in other positions: without the examples not taken, the rest stays.
    taken = datasets.take(whole, 500, seed=0)
    assert datasets.take(taken, 10, seed=0).index.tolist() == TAKEN[0]


def test_take_fills_up_from_other_classes():
    whole = make_split([0] * 3 + [1] * 50 + [2] * 50, num_classes=4)
    part = datasets.take(whole, 43, seed=0)
    assert np.bincount(part.labels, minlength=4).tolist() == [3, 20, 20, 0]


@pytest.mark.parametrize("count", [0, -1, 21])
def test_take_refuses_what_is_not_there(count):
    with pytest.raises(RequestError, match=f"expected 1 to 20 training examples, got {count}"):
        datasets.take(make_split(np.zeros(20)), count, seed=0)


def test_a_split_refuses_other_dtypes_and_lengths():
    good = make_split(np.zeros(4))
    with pytest.raises(ValueError, match="labels: expected int32 of length 4, got int64"):
        types.Split("train", good.index, good.images, np.zeros(4, np.int64), 10)
    with pytest.raises(ValueError, match="images: expected uint8 of length 4, got .* length 3"):
        types.Split("train", good.index, good.images[:3], good.labels, 10)
