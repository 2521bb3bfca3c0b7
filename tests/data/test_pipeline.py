"""The corrupting pipeline, and what is drawn for each step: order, crop, standardisation."""

import numpy as np
import pytest
import tensorflow as tf

from rethink_tf.corruptions import checksum, pixels, threefry
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.data import pipeline
from rethink_tf.data.types import Split

N, K = 203, 7


def split(name="train"):
    draw = np.random.default_rng(1)
    index = np.sort(draw.choice(10_000, N, replace=False)).astype(np.int64)
    images = draw.integers(0, 256, [N, 6, 5, 3], dtype=np.uint8)
    return Split(name, index, images, (index % K).astype(np.int32), K)


def table(name="train", **kinds):
    return pipeline.collect(pipeline.corrupted(split(name), Corruption(**kinds)), K)


# Corruption


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("batch", [1, 50, 203, 1000])
def test_each_example_comes_once_and_equals_the_reference_for_any_batch(monkeypatch, batch, noise):
    monkeypatch.setattr(pipeline, "CORRUPTION_BATCH", batch)
    source, kinds = split(), {"corrupt": 0.6, "seed": 3, "label_noise": noise}
    got = table(**kinds)
    reference = corruptions.corrupt_labels(source.labels, source.index, num_classes=K, **kinds)
    np.testing.assert_array_equal(got.index, source.index)
    np.testing.assert_array_equal(got.images, source.images)
    np.testing.assert_array_equal(got.true, source.labels)
    np.testing.assert_array_equal(got.given, reference)
    assert (got.given != got.true).mean() > 0.3
    assert (got.num_classes, got.num_examples) == (K, N)


def test_the_pipeline_is_read_in_batches_of_the_corruption_batch(monkeypatch):
    monkeypatch.setattr(pipeline, "CORRUPTION_BATCH", 50)
    sizes = [len(batch["index"]) for batch in pipeline.corrupted(split(), Corruption(corrupt=1.0))]
    assert sizes == [50, 50, 50, 50, 3]


def test_columns_have_their_types():
    got = table(corrupt=1.0)
    assert [a.dtype for a in (got.index, got.images, got.true, got.given)] == [
        np.int64,
        np.uint8,
        np.int32,
        np.int32,
    ]


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
def test_test_labels_are_never_touched(noise):
    got = table("test", corrupt=1.0, label_noise=noise, seed=3)
    np.testing.assert_array_equal(got.given, split("test").labels)
    assert (table(corrupt=1.0, label_noise=noise, seed=3).given != got.given).mean() > 0.7


def test_nothing_is_changed_by_default():
    got = table()
    np.testing.assert_array_equal(got.given, split().labels)
    np.testing.assert_array_equal(got.images, split().images)


def test_two_passes_over_one_pipeline_are_equal():
    dataset = pipeline.corrupted(split(), Corruption(corrupt=1.0, seed=5))
    first, second = (pipeline.collect(dataset, K) for _ in range(2))
    np.testing.assert_array_equal(first.given, second.given)


@pytest.mark.parametrize("column", ["index", "images", "true", "given"])
def test_a_table_is_read_only(column):
    with pytest.raises(ValueError, match="read-only"):
        getattr(table(corrupt=1.0), column)[0] = 0


def test_the_source_is_not_written_to():
    source = split()
    before = source.labels.copy()
    pipeline.collect(pipeline.corrupted(source, Corruption(corrupt=1.0)), K)
    np.testing.assert_array_equal(source.labels, before)


def test_corruption_runs_on_the_accelerator():
    assert pixels.accelerator() in ("/CPU:0", "/GPU:0")
    assert pixels.accelerator() == ("/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0")


# The labels' hash


def test_labels_hash_is_pinned_and_notices_everything():
    index, given = np.arange(20), (np.arange(20) % 10).astype(np.int32)
    found = checksum.labels_hash(index, given)
    assert found == "88924a686cf42e01"
    assert checksum.labels_hash(index, given.astype(np.int64)) == found  # a value, not a type
    exchanged = given[[1, 0, *range(2, 20)]]
    changed = np.where(index == 19, 8, given)
    hashes = {
        found,
        checksum.labels_hash(index, exchanged),
        checksum.labels_hash(index, changed),
        checksum.labels_hash(index + 1, given),
        checksum.labels_hash(index[:19], given[:19]),
    }
    assert len(hashes) == 5


# Order


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    first = pipeline.order(0, 1, 1000)
    assert first.dtype == np.int32
    np.testing.assert_array_equal(np.sort(first), np.arange(1000))
    np.testing.assert_array_equal(first, pipeline.order(0, 1, 1000))
    for other in (pipeline.order(0, 2, 1000), pipeline.order(1, 1, 1000)):
        assert (first == other).sum() < 10


def test_the_order_is_pinned():
    assert pipeline.order(0, 1, 10).tolist() == [5, 2, 6, 0, 8, 9, 7, 1, 3, 4]


# Random crop


def crop_in_numpy(images, index, size, seed, epoch):
    """Written anew: offsets by a multiplication of 32-bit words, one image at a time."""
    rows, columns = threefry.bits(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)
    height, width = images.shape[1:3]
    top = [int(r) * (height - size + 1) // 2**32 for r in rows]
    left = [int(c) * (width - size + 1) // 2**32 for c in columns]
    return (
        np.stack(
            [
                image[t : t + size, x : x + size]
                for image, t, x in zip(images, top, left, strict=True)
            ]
        ),
        top,
        left,
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_random_crop_equals_numpy_and_stays_within_the_image(compiled):
    # The value of a pixel is its place, so a wrong window is a wrong value.
    images = np.broadcast_to(np.arange(90, dtype=np.uint8).reshape(1, 10, 9, 1), [500, 10, 9, 1])
    index = np.arange(500) * 3
    crop = lambda i, e: pipeline.random_crop(  # noqa: E731
        tf.constant(images), i, size=6, seed=4, epoch=e
    )
    crop = tf.function(crop, jit_compile=True) if compiled else crop
    for epoch in (1, 2):
        expected, top, left = crop_in_numpy(images, index, 6, 4, epoch)
        got = crop(tf.constant(index), tf.constant(epoch, tf.int64)).numpy()
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, expected)
        assert (set(top), set(left)) == (set(range(5)), set(range(4)))  # every window occurs
        places = got[:, :, :, 0].astype(int)
        assert (places // 9 == places[:, :, :1] // 9).all()  # whole rows, none wrapped round


def test_a_crop_depends_on_the_example_not_on_its_place_in_the_batch():
    images = np.random.default_rng(0).integers(0, 256, [60, 12, 12, 2], dtype=np.uint8)
    index = np.arange(60)
    kinds = {"size": 8, "seed": 0, "epoch": 7}
    whole = pipeline.random_crop(images, index, **kinds).numpy()
    moved = np.random.default_rng(1).permutation(60)
    np.testing.assert_array_equal(
        pipeline.random_crop(images[moved], index[moved], **kinds), whole[moved]
    )
    np.testing.assert_array_equal(
        pipeline.random_crop(images[5:6], index[5:6], **kinds)[0], whole[5]
    )
    for changed in ({"seed": 1}, {"epoch": 8}):
        other = pipeline.random_crop(images, index, **(kinds | changed)).numpy()
        assert (other != whole).reshape(60, -1).any(axis=1).mean() > 0.8


def test_a_crop_of_the_whole_image_is_the_image():
    images = np.random.default_rng(0).integers(0, 256, [4, 5, 5, 1], dtype=np.uint8)
    got = pipeline.random_crop(images, np.arange(4), size=5, seed=0, epoch=1)
    np.testing.assert_array_equal(got, images)


def test_only_what_is_needed_stays_resident():
    images = np.arange(2 * 6 * 6).reshape(2, 6, 6, 1)
    np.testing.assert_array_equal(pipeline.window(images, 4, "none"), images[:, 1:5, 1:5])
    np.testing.assert_array_equal(pipeline.window(images, 3, "none"), images[:, 1:4, 1:4])
    np.testing.assert_array_equal(pipeline.window(images, 4, "crop"), images)


# Standardisation


@pytest.mark.parametrize("kind", ["uint8", "float32", "nearly flat"])
def test_standardise_is_tensorflow_s_per_image_standardization(kind):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, [20, 8, 9, 3], dtype=np.uint8)
    if kind == "float32":
        images = draw.normal(120, 60, images.shape).astype(np.float32)
    elif kind == "nearly flat":  # deviation below 1/sqrt(216) = 0.068: the adjusted one counts
        images = np.zeros_like(images)
        images[:, 0, 0, 0] = 1
        assert images[0].std() == pytest.approx(0.068, abs=1e-3)
        images[10:, 0, 0, 0] = 0
    got = pipeline.standardise(images).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, tf.image.per_image_standardization(images), atol=1e-5)
    if kind != "nearly flat":
        np.testing.assert_allclose(got.mean(axis=(1, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(got.std(axis=(1, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_flat_image_gives_zeros(value):
    got = pipeline.standardise(np.full([2, 28, 28, 3], value, np.uint8)).numpy()
    np.testing.assert_array_equal(got, 0)


def test_the_adjusted_deviation_keeps_a_single_bright_entry_bounded():
    images = np.zeros([1, 4, 4, 1], np.float32)
    images[0, 0, 0, 0] = 0.4  # deviation 0.097, below the floor of 1/4
    got = pipeline.standardise(images).numpy()
    assert got.max() == pytest.approx((0.4 - 0.025) / 0.25, rel=1e-6)


def test_images_are_standardised_one_by_one():
    images = np.random.default_rng(0).integers(0, 256, [6, 5, 5, 3], dtype=np.uint8)
    whole = pipeline.standardise(images).numpy()
    np.testing.assert_allclose(pipeline.standardise(images[2:3])[0], whole[2], atol=1e-6)
    brighter = pipeline.standardise(images.astype(np.float32) * 0.5 + 100).numpy()
    np.testing.assert_allclose(brighter, whole, atol=1e-5)  # offset and contrast do not matter
