"""The solver's tiles on a GPU through TensorFlow; the matrix itself stays in the host's memory.

Only block rows go to the device, so that neither its memory nor the 2**31 elements that its kernels
can index bound the number of examples. On a CPU the same code gives the same numbers.
"""

from typing import Any

import numpy as np


def start(name: str = "/GPU:0"):
    """The functions of one device.

    Args:
        name: of the device. TensorFloat-32 is switched off: it keeps ten bits of each factor.

    Returns:
        (eliminate, product, add_products), for `cholesky.factorise`, `gram.of_features` and
        `streamed.accumulate`.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """left right^T of [a, d] and [b, d]: new [a, b]."""
        with tf.device(name):
            return np.array(tf.matmul(left, right, transpose_b=True))

    def add_products(out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """out += left right^T, by tiles of as many columns as rows."""
        step = max(len(left), 1024)
        with tf.device(name):
            resident = tf.constant(left)
            for start in range(0, len(right), step):
                part = tf.matmul(resident, right[start : start + step], transpose_b=True)
                out[:, start : start + step] += part.numpy()

    def eliminate_on_device(row: np.ndarray, factor: list[np.ndarray]) -> float:
        """As `cholesky.eliminate_on_host`; the diagonal block is factorised on the host."""
        from rethink_tf.theory.kernels import cholesky

        done: list[Any] = []
        with tf.device(name):
            for above in factor:
                stop = above.shape[1]
                start = stop - len(above)
                part, lower = tf.constant(row[:, start:stop]), tf.constant(above)
                if done:
                    known = tf.concat(done, axis=1)
                    part -= tf.matmul(known, lower[:, :start], transpose_b=True)
                solved = tf.linalg.triangular_solve(lower[:, start:], tf.transpose(part))
                done.append(tf.transpose(solved))
                row[:, start:stop] = done[-1].numpy()
            start = row.shape[1] - len(row)
            corner = row[:, start:].copy()
            if done:
                known = tf.concat(done, axis=1)
                corner -= tf.matmul(known, known, transpose_b=True).numpy()
        return cholesky.factorise_corner(corner, row[:, start:], row.shape[1])

    return eliminate_on_device, product, add_products
