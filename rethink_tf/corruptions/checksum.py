"""Identifies the labels that a model is to learn: one hash of all of them, one word for each."""

import hashlib
from typing import Any

import numpy as np


def labels_hash(index: np.ndarray, given: np.ndarray) -> str:
    """sha256 over (index, given), 16 hex digits: what the model was asked to learn."""
    digest = hashlib.sha256(np.ascontiguousarray(index, np.int64).tobytes())
    digest.update(np.ascontiguousarray(given, np.int32).tobytes())
    return digest.hexdigest()[:16]


def label_words(index: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One int64 word for each (example, label): equal to `label_words_tf`.

    Multiplications and shifts mix the two, so a sum of words also reveals exchanged
    labels.
    """
    with np.errstate(over="ignore"):
        words = np.asarray(index, np.int64) * 0x9E3779B97F4A7C1 + np.asarray(labels, np.int64)
        words = (words ^ (words >> 29)) * 0x3F58476D1CE4E5B9
        words = (words ^ (words >> 32)) * 0x14D049BB133111EB
        return words ^ (words >> 29)


def label_words_tf(index: Any, labels: Any) -> Any:
    """`label_words` in TensorFlow: int64 [B] from integer [B] and [B]."""
    import tensorflow as tf

    shift = tf.bitwise.right_shift
    words = tf.cast(index, tf.int64) * 0x9E3779B97F4A7C1 + tf.cast(labels, tf.int64)
    for distance, factor in ((29, 0x3F58476D1CE4E5B9), (32, 0x14D049BB133111EB)):
        words = tf.bitwise.bitwise_xor(words, shift(words, tf.constant(distance, tf.int64)))
        words *= factor
    return tf.bitwise.bitwise_xor(words, shift(words, tf.constant(29, tf.int64)))


def label_checksum(index: np.ndarray, labels: np.ndarray) -> int:
    """The sum of the words of all examples, modulo 2**64, as a signed number."""
    with np.errstate(over="ignore"):
        return int(label_words(index, labels).sum(dtype=np.int64))
