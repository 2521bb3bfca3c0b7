"""The data of a kernel command: whole images, and images that equal each other."""

import numpy as np

from rethink_tf import kernel_data
from rethink_tf.config import RunConfig
from rethink_tf.pipeline import Table


def test_whole_images_are_used_unless_asked_otherwise():
    run, why = kernel_data.resolved(RunConfig(dataset="cifar10"), None)
    assert (run.input_size, why) == (32, "")
    assert kernel_data.resolved(RunConfig(dataset="mnist"), None)[0].input_size == 28
    cropped, _ = kernel_data.resolved(RunConfig(dataset="cifar10", input_size=20), None)
    assert cropped.input_size == 20


def test_equal_images_are_counted_and_so_are_those_of_other_labels():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)
    images[3], images[4], images[5] = images[0], images[0], images[1]
    labels = np.array([1, 2, 3, 1, 0, 2], np.int32)
    table = Table(np.arange(6), images, labels.copy(), labels, 10)
    assert kernel_data.equal_images(table) == (3, 1)
