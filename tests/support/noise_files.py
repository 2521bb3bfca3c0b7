"""A small noise file, as the tests of reading and of the command write it."""

import numpy as np

from rethink_tf.data import noise_file
from rethink_tf.data.noise_file import Noise

INDEX = np.array([3, 5, 8, 2**31 - 1])
TRUE, GIVEN = np.array([0, 1, 2, 2], np.int32), np.array([0, 2, 2, 1], np.int32)
HEADER = {"dataset": "digits", "seed": 0, "p": 0.5, "definition": "uniform", "version": "1"}


def written(path, index=INDEX, true=TRUE, given=GIVEN, header=HEADER):
    noise_file.write(path, Noise(np.asarray(index), np.asarray(true), np.asarray(given), header))
    return path
