"""Words of images, seals, and what the model must get, each against its definition."""

import re

import numpy as np
import pytest
import tensorflow as tf

from rethink_tf.audit import reference_input, seal
from rethink_tf.corruptions import image_checksum
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.image_checksum import bytes_word, image_words, image_words_tf
from rethink_tf.data import pipeline
from rethink_tf.data.pipeline import Table
from rethink_tf.data.registry import Split
from rethink_tf.errors import AuditError
from rethink_tf.training import seal_checks

DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 256, [40, 9, 7, 3], dtype=np.uint8)
INDEX = np.arange(40) * 3 + 2**31
ORIGINAL = Corruption()
MOMENTS = Moments(np.array([120.0, 110, 100]), np.array([60.0, 61, 62]))


# Words


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("shape", [(28, 28, 3), (3, 3, 1), (1, 1, 7)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_image_words_are_equal_in_numpy_and_tensorflow(mode, shape, dtype):
    images = (DRAW.normal(size=(6, *shape)) * 90 + 100).astype(dtype)
    words = image_words_tf
    if mode != "eager":
        words = tf.function(words, jit_compile=mode == "xla")
    got = words(tf.constant(images), tf.constant(INDEX[:6])).numpy()
    np.testing.assert_array_equal(got, image_words(images, INDEX[:6]))
    assert got.dtype == np.int64


def test_image_words_are_pinned():
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3, 1)
    assert image_words(images, np.array([0, 7])).tolist() == [
        -3932113320675046407,
        7168418749797758667,
    ]
    assert bytes_word(b"abc", 7) == 8887439590727158229


def test_a_word_is_the_sum_of_its_definition():
    data = IMAGES[0].tobytes()
    data += bytes(-len(data) % 8)
    parts = np.frombuffer(data, np.int64).tolist()
    odd = image_checksum.factors(len(parts)).tolist()
    assert all(factor % 2 for factor in odd) and len(set(odd)) == len(odd)
    total = sum(a * b for a, b in zip(parts, odd, strict=True)) + image_checksum._OFFSET
    total *= int(INDEX[0]) * image_checksum._BY_INDEX + 1
    assert image_words(IMAGES[:1], INDEX[:1]).tolist() == [image_checksum.wrapped(total)]
    np.testing.assert_array_equal(image_checksum.factors(5000)[:9], image_checksum.factors(9))


def test_a_sum_of_words_betrays_what_is_changed_exchanged_repeated_or_missing():
    right = image_checksum.checksum(image_words(IMAGES, INDEX))
    moved = DRAW.permutation(40)
    same = image_words(IMAGES[moved], INDEX[moved])
    assert image_checksum.checksum(same) == right
    wrong = [image_checksum.checksum(image_words(IMAGES[moved], INDEX))]
    wrong.append(image_checksum.checksum(image_words(IMAGES, INDEX)[:-1]))
    for i in range(1, 40):
        exchanged, changed, twice = (IMAGES.copy() for _ in range(3))
        exchanged[[0, i]] = exchanged[[i, 0]]
        changed[i, 8, 6, 2] ^= 1
        twice[i] = twice[0]
        wrong += [image_checksum.checksum(image_words(x, INDEX)) for x in (exchanged, changed)]
        wrong.append(image_checksum.checksum(image_words(twice, INDEX)))
    assert right not in wrong and len(set(wrong)) == len(wrong) == 119


def test_a_word_of_bytes_counts_zeros_at_the_end():
    words = {bytes_word(b"ab" + bytes(n), 1) for n in range(20)} | {bytes_word(b"ab", 2)}
    assert len(words) == 21


# Which rows are sampled


@pytest.mark.parametrize("rows", [1, 5, 8, 40, 127])
def test_sampled_rows_differ_and_reach_every_row(rows):
    found = seal.sampled_rows(np.arange(4 * rows), rows)
    assert found.shape == (4 * rows, min(rows, 8))
    assert all(len(set(some)) == len(some) for some in found.tolist())
    assert set(found.ravel().tolist()) == set(range(rows))
    columns = tf.range(rows), tf.range(rows)[:, None] * 2
    for step in (0, 1, 77):
        first, second = seal.sampled_tf(tf.constant(step), list(columns))
        np.testing.assert_array_equal(first, seal.sampled_rows(step, rows))
        np.testing.assert_array_equal(second[:, 0], 2 * seal.sampled_rows(step, rows))


def test_xla_compiles_the_sample_of_all_steps_once():
    images = tf.constant(IMAGES)
    sampled = tf.function(lambda step: seal.sampled_tf(step, [images]), jit_compile=True)
    programs = [sampled.experimental_get_compiler_ir(tf.constant(n))("hlo") for n in (3, 5)]
    assert programs[0] == programs[1], "a step must not be a constant of the program"


# Seals


def split(images=IMAGES, name="train"):
    labels = (np.arange(len(images)) % 3).astype(np.int32)
    return Split(name, INDEX[: len(images)].astype(np.int64), images, labels, 3)


def table(split, **changes):
    columns = {"index": split.index, "images": split.images, "true": split.labels}
    return Table(**columns | {"given": split.labels, "num_classes": 3} | changes)


def test_a_seal_of_whole_numbers_is_that_of_the_source():
    part = split()
    found = seal.seal(part, part.labels, part.images, ORIGINAL)
    np.testing.assert_array_equal(found.words, image_words(IMAGES, INDEX))
    assert found.num_examples == 40
    for array in (found.index, found.true, found.given, found.words):
        assert not array.flags.writeable
    with pytest.raises(AuditError, match=r"images_sealed_train: FAILED \(1 of 40 images differ"):
        wrong = IMAGES.copy()
        wrong[39, 0, 0, 0] ^= 1
        seal.seal(part, part.labels, wrong, ORIGINAL)
    with pytest.raises(AuditError, match=r"images_sealed_train: FAILED \(expected uint8"):
        seal.seal(part, part.labels, IMAGES.astype(np.float32), ORIGINAL)


def test_every_noisy_image_is_compared_and_the_seal_is_of_what_was_compared():
    from rethink_tf.corruptions import pixels

    part, noise = split(), Corruption(pixels="gaussian")
    reference = pixels.corrupt_pixels(IMAGES, part.index, noise, split=0, moments=MOMENTS)
    near = (reference + np.float32(3e-3)).astype(np.float32)
    found = seal.seal(part, part.labels, near, noise, MOMENTS)
    np.testing.assert_array_equal(found.words, image_words(near, INDEX))
    assert (found.words != image_words(reference, INDEX)).all()
    far = near.copy()
    far[17, 3, 3, 1] += 0.01  # more than 1e-4 of 61 grey levels
    with pytest.raises(AuditError, match="images_sealed_train: FAILED .1 of 40 images differ"):
        seal.seal(part, part.labels, far, noise, MOMENTS)
    far[17, 3, 3, 1] = np.nan
    with pytest.raises(AuditError, match="1 of 40 images differ"):
        seal.seal(part, part.labels, far, noise, MOMENTS)


def test_the_columns_of_a_table_are_compared():
    part = split()
    found = seal.seal(part, part.labels, part.images, ORIGINAL)
    assert found.columns(table(part)) is None
    changed = part.labels.copy()
    changed[5] = (changed[5] + 1) % 3
    for name in ("true", "given"):
        message = found.columns(table(part, **{name: changed}))
        assert message.startswith(f"{name} of the train table: 1 of 40 differ, first at position 5")
        assert message.endswith("(seal: train labels)")
    message = found.columns(table(split(IMAGES[:30])))
    assert message.endswith("30 examples, its seal says 40 (seal: train examples)")
    assert found.with_labels(changed).columns(table(part, given=changed, true=changed)) is None


# What the model must get


@pytest.mark.parametrize("augment, size", [("none", 7), ("crop", 6), ("flip_rotate", 7)])
@pytest.mark.parametrize("norm", [None, ((120.0, 110, 100), (60.0, 61, 62)), (0.0, 1.0)])
def test_the_reference_is_what_the_pipeline_gives_to_the_model(augment, size, norm):
    images = DRAW.integers(0, 256, [40, 11, 9, 3], dtype=np.uint8)
    images[3], images[4] = 255, 0  # without contrast
    part = split(images)
    reference = reference_input.ReferenceInput(part, ORIGINAL, None, size, 5, norm)
    preprocess = pipeline.standardise
    if norm is not None:
        preprocess = lambda x: pipeline.channel_norm(x, *norm)  # noqa: E731
    drawn = {"augment": augment, "size": size, "seed": 5}
    got = preprocess(pipeline.augmented(images, tf.constant(INDEX), epoch=2, **drawn)).numpy()
    expected, allowed = reference.inputs(np.arange(40), augment, 2)
    assert reference_input.differing(got, expected, allowed) == []
    assert np.delete(np.broadcast_to(allowed, [40, 1, 1, 3]), [3, 4], axis=0).max() < 0.02
    others = reference.inputs(np.arange(40), augment, 3)[0]
    if augment != "none":
        assert len(reference_input.differing(got, others, allowed)) > 20
    moved = np.roll(got, 1, axis=0)
    # Of two images without contrast that follow each other nothing is left to tell them apart.
    alike = norm is None
    assert len(reference_input.differing(moved, expected, allowed)) == 40 - alike
    got[7, 0, 0, 0] = np.nan
    assert reference_input.differing(got, expected, allowed) == [7]
    assert reference_input.differing(got[:, 1:], expected, allowed)


def test_what_differs_is_named_with_both_values():
    part = split()
    found = seal.seal(part, part.labels, part.images, ORIGINAL)
    reference = reference_input.ReferenceInput(part, ORIGINAL, None, 7, 0, Moments(0.0, 1.0))
    rows = np.array([2, 9])
    got = IMAGES[rows, 1:8].astype(np.float32)
    assert seal_checks.inputs_differ("here", found, reference, rows, got) is None
    got[1, 2, 3, 0] += 5
    value = IMAGES[9, 3, 3, 0]
    assert re.search(
        rf"\(seal: train inputs\): 1 of 2 images differ, of index {INDEX[9]} first: "
        rf"{value + 5}, expected {value} ",
        seal_checks.inputs_differ("here", found, reference, rows, got),
    )
