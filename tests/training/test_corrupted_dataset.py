"""Corrupted data for a fit of one's own: what comes out, on which scale, what is refused."""

import class_folders
import numpy as np
import pytest

import rethink_tf


def test_corrupted_data_for_a_fit_of_one_s_own(tensorflow):
    x, y, x_test, y_test = class_folders.arrays()
    made, checks = rethink_tf.corrupted_dataset((x, y), corrupt=1.0, seed=3)
    images, given = (np.stack(column) for column in zip(*made.as_numpy_iterator(), strict=True))
    assert np.array_equal(images, x) and images.dtype == np.uint8
    expected = rethink_tf.corruptions.labels.corrupt_labels(
        y, np.arange(70), probability=1.0, num_classes=7, seed=3
    )
    assert np.array_equal(given, expected) and np.mean(given != y) > 0.7
    passed = [check.name for check in checks if check.passed]
    assert "given_equals_twin" in passed and not [n for n in passed if n.startswith("test_")]
    source = tensorflow.data.Dataset.from_tensor_slices((x, y)).batch(16)
    again, _ = rethink_tf.corrupted_dataset(source, seed=3)
    assert np.array_equal([label for _, label in again.as_numpy_iterator()], given)
    model = tensorflow.keras.Sequential([
        tensorflow.keras.layers.Input((12, 12, 3)), tensorflow.keras.layers.Rescaling(1 / 255),
        tensorflow.keras.layers.Flatten(), tensorflow.keras.layers.Dense(7),
    ])  # fmt: skip
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
    for given, words in (
        ((x, ["cat"] * len(x)), "train: y: expected whole numbers"),
        ((x, y + 0.5), "train: y: expected whole numbers, found 0.5 at position 0"),
        (([[1], [2, 3]], [0, 1]), "train: expected arrays"),
        (([], []), "train: y: expected labels, received none"),
        (varied, "train: expected images of one shape"),
    ):
        with pytest.raises(rethink_tf.errors.RequestError, match=words):
            rethink_tf.corrupted_dataset(given)
    one_hot, _ = rethink_tf.corrupted_dataset((x, np.eye(7)[y]), corrupt=0.0)
    assert [label for _, label in one_hot.as_numpy_iterator()] == y.tolist()
    endless = tensorflow.data.Dataset.from_tensor_slices((x, y)).repeat()
    with pytest.raises(rethink_tf.errors.RequestError, match="received a repeated one"):
        rethink_tf.corrupted_dataset(endless)
