"""What the tests of class-dependent noise share: a matrix of ten classes, and its file."""

import numpy as np

K = 10


def matrix(shift=1):
    """Class i keeps its label with 0.8 - 0.03 i; 0.05 go three further, the rest `shift`."""
    made = np.zeros([K, K])
    for i in range(K):
        made[i, i] = 0.8 - 0.03 * i
        made[i, (i + 3) % K] = 0.05
        made[i, (i + shift) % K] += 0.15 + 0.03 * i
    return made


def text(values):
    """The lines of a file."""
    return "".join(",".join(f"{x:.6g}" for x in row) + "\n" for row in values)


def written(path, values=None):
    """Writes a file; returns its path as text."""
    path.write_text(text(matrix() if values is None else values))
    return str(path)
