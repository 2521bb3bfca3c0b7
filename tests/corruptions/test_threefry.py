"""Threefry: known answers, equal references, independent streams."""

import numpy as np
import pytest

from rethink_tf.corruptions import threefry

# Random123's kat_vectors for threefry2x32, 20 rounds: key, counter, answer.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("key, counter, answer", KNOWN_ANSWERS)
def test_known_answers_in_numpy(key, counter, answer):
    got = threefry.threefry2x32(key, *(np.array([c], np.uint32) for c in counter))
    assert [int(word[0]) for word in got] == list(answer)


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("key, counter, answer", KNOWN_ANSWERS)
def test_known_answers_in_tensorflow(mode, key, counter, answer):
    import tensorflow as tf

    def draw(c0, c1):
        return threefry.threefry2x32_tf(key, c0, c1)

    if mode != "eager":
        draw = tf.function(draw, jit_compile=mode == "xla")
    got = draw(*(tf.constant([c], tf.uint32) for c in counter))
    assert [int(word[0]) for word in got] == list(answer)


def test_references_agree_on_a_broadcast_of_examples_and_draws():
    import tensorflow as tf

    index, counter = np.arange(100)[:, None], np.arange(7)[None]
    expected = threefry.bits(3, threefry.Stream.GAUSS, threefry.SplitId.TEST, index, counter)
    got = tf.function(
        lambda i: threefry.bits_tf(3, threefry.Stream.GAUSS, threefry.SplitId.TEST, i, counter),
        jit_compile=True,
    )(tf.constant(index))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_streams_splits_seeds_and_counters_differ():
    index = np.arange(1000)
    base = (7, threefry.Stream.LABEL, threefry.SplitId.TRAIN)
    draws = [
        threefry.bits(*base, index)[0],
        threefry.bits(8, *base[1:], index)[0],
        threefry.bits(7, threefry.Stream.PIXELS, base[2], index)[0],
        threefry.bits(*base[:2], threefry.SplitId.TEST, index)[0],
        threefry.bits(*base, index, 1)[0],
        threefry.bits(*base, index)[1],
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert (a == b).mean() < 0.01


def test_permutation_is_fixed_and_moves_with_the_counter():
    first = threefry.permutation(0, threefry.Stream.ORDER, threefry.SplitId.TRAIN, 10)
    assert sorted(first) == list(range(10))
    assert first.tolist() == [8, 9, 0, 6, 5, 7, 4, 2, 3, 1]
    assert (
        first.tolist()
        != threefry.permutation(0, threefry.Stream.ORDER, threefry.SplitId.TRAIN, 10, 1).tolist()
    )


def test_seed_out_of_range_is_refused():
    with pytest.raises(ValueError, match="expected 0 to 4294967295, received -1"):
        threefry.bits(-1, threefry.Stream.LABEL, threefry.SplitId.TRAIN, np.arange(3))
