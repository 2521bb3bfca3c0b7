"""Corrupted data for a fit of one's own: what comes out, on which scale, what is refused."""

import class_folders
import numpy as np
import pytest

import rethink_tf


def test_corrupted_data_for_a_fit_of_one_s_own(tensorflow):
    x, y, _x_test, _y_test = class_folders.arrays()
    made, checks = rethink_tf.corrupted_dataset((x, y), corrupt=1.0, seed=3)
    images, given = (np.stack(column) for column in zip(*made.as_numpy_iterator(), strict=True))
    assert np.array_equal(images, x) and images.dtype == np.uint8
    expected = rethink_tf.corruptions.labels.corrupt_labels(
        y, np.arange(70), corrupt=1.0, num_classes=7, seed=3
    )
    assert np.array_equal(given, expected) and np.mean(given != y) > 0.7
    passed = [check.name for check in checks if check.passed]
    assert "given_equals_reference" in passed and not [n for n in passed if n.startswith("test_")]
    source = tensorflow.data.Dataset.from_tensor_slices((x, y)).batch(16)
    again, _ = rethink_tf.corrupted_dataset(source, seed=3)
    assert np.array_equal([label for _, label in again.as_numpy_iterator()], given)
    model = tensorflow.keras.Sequential(
        [
            tensorflow.keras.layers.Input((12, 12, 3)),
            tensorflow.keras.layers.Rescaling(1 / 255),
            tensorflow.keras.layers.Flatten(),
            tensorflow.keras.layers.Dense(7),
        ]
    )
    model.compile(loss=tensorflow.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(made.batch(10), epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_corrupted_pixels_for_a_fit_of_one_s_own(tensorflow):
    x, y, x_test, y_test = class_folders.arrays()
    train, test, checks = rethink_tf.corrupted_dataset(
        ((x / 255).astype(np.float32), y), corrupt=0.0, pixels="shuffled", test=(x_test, y_test)
    )
    first, label = next(train.as_numpy_iterator())
    assert label == y[0] and 0 <= first.min() <= first.max() <= 1
    order = np.sort(first.reshape(-1, 3), axis=0) * 255
    assert order == pytest.approx(np.sort(x[0].reshape(-1, 3), axis=0), abs=1e-3)
    assert not np.allclose(first * 255, x[0], atol=1)
    labels = [label for _, label in test.as_numpy_iterator()]
    assert labels == y_test.tolist() and all(c.passed is not False for c in checks)
    whole, _ = rethink_tf.corrupted_dataset((x.astype(np.float32), y), corrupt=0.0)
    assert np.array_equal(next(whole.as_numpy_iterator())[0], x[0]), "whole numbers to 255 stay"
    for given in (7, (x,), "name"):
        with pytest.raises(rethink_tf.errors.RequestError, match="train: expected arrays"):
            rethink_tf.corrupted_dataset(given)
    sizes = ((np.zeros((2 + n, 2, 1), np.uint8), n) for n in range(2))
    spec = tensorflow.TensorSpec([None, 2, 1], "uint8"), tensorflow.TensorSpec([], "int64")
    varied = tensorflow.data.Dataset.from_generator(lambda: sizes, output_signature=spec)
    odd = tensorflow.data.Dataset.from_tensors((x[0], np.eye(7)[y]))
    four = tensorflow.data.Dataset.from_tensor_slices((x[:12, :, :, [0] * 4], np.eye(12)))
    for given, words in (
        ((x, ["cat"] * len(x)), "train: y: expected whole numbers"),
        ((x, y + 0.5), "train: y: expected whole numbers, found 0.5 at position 0"),
        (([[1], [2, 3]], [0, 1]), "train: expected arrays"),
        (([], []), "train: y: expected labels, received none"),
        (varied, "train: expected images of one shape"),
        (odd, r"train: elements of shapes \[12, 12, 3\] and \[70, 7\]: expected an image"),
        (four, r"x_train of .*, received uint8 \[12, 12, 12, 4\]"),
        (
            tensorflow.data.Dataset.from_tensor_slices({"x": x, "y": y}),
            "expected a tf.data.Dataset of .image, label., two dense tensors",
        ),
    ):
        with pytest.raises(rethink_tf.errors.RequestError, match=words):
            rethink_tf.corrupted_dataset(given)
    one_hot, _ = rethink_tf.corrupted_dataset((x, np.eye(7)[y]), corrupt=0.0)
    assert [label for _, label in one_hot.as_numpy_iterator()] == y.tolist()
    endless = tensorflow.data.Dataset.from_tensor_slices((x, y)).repeat()
    with pytest.raises(rethink_tf.errors.RequestError, match="received a repeated one"):
        rethink_tf.corrupted_dataset(endless)


# Labels in tf.data: shapes tell a batch from an example, where ranks do not

IMAGES = {  # 40 images whose sides are as large as their batches, or as the number of classes
    "colour": (8, 8, 3), "channel": (10, 10, 1), "grey": (8, 8), "wide": (8, 3, 3),
}  # fmt: skip
LABELS = {
    "scalars": lambda y: y,
    "[1]": lambda y: y[:, None],
    "one-hot": lambda y: np.eye(10, dtype=np.float32)[y],
}


@pytest.mark.parametrize("batch", [None, 1, 8, 10, 12])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", IMAGES)
def test_labels_of_any_shape_batched_or_not(kind, labels, batch, tensorflow):
    from rethink_tf.training import corrupted_dataset as own_training

    x = np.random.default_rng(0).integers(0, 256, (40, *IMAGES[kind]), np.uint8)
    y = np.arange(40) % 10
    source = tensorflow.data.Dataset.from_tensor_slices((x, LABELS[labels](y)))
    source = source if batch is None else source.batch(batch)
    images, found, _ = own_training._arrays("train", source)
    assert np.array_equal(images, x) and np.array_equal(found, y)


@pytest.mark.parametrize("labels", LABELS)
def test_shapes_that_are_not_known_before_are_looked_at(labels, tensorflow):
    from rethink_tf.training import corrupted_dataset as own_training

    x = np.random.default_rng(0).integers(0, 256, (40, 10, 10), np.uint8)
    y = np.arange(40) % 10
    rows = LABELS[labels](y)
    for size in (1, 10):

        def batches(size=size):
            return ((x[i : i + size], rows[i : i + size]) for i in range(0, 40, size))

        spec = tuple(tensorflow.TensorSpec(None, kind) for kind in ("uint8", rows.dtype))
        source = tensorflow.data.Dataset.from_generator(batches, output_signature=spec)
        images, found, _ = own_training._arrays("train", source)
        assert np.array_equal(images, x) and np.array_equal(found, y)


def test_labels_of_shape_one_are_corrupted_as_scalars_are(tensorflow):
    x = np.random.default_rng(0).integers(0, 256, (320, 32, 32, 3)).astype(np.uint8)
    y = np.arange(320) % 32
    made = []
    for labels, size in ((y, 48), (y[:, None], None), (y[:, None], 48)):
        source = tensorflow.data.Dataset.from_tensor_slices((x, labels))
        source = source if size is None else source.batch(size)
        table, _ = rethink_tf.corrupted_dataset(source, corrupt=1.0)
        assert int(table.cardinality()) == 320 and table.element_spec[0].shape == (32, 32, 3)
        made.append([int(label) for _, label in table.as_numpy_iterator()])
    assert made[0] == made[1] == made[2] and len(set(made[0])) == 32
