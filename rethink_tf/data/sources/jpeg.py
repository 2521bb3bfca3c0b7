"""JPEG bytes to images of one size, in TensorFlow: the Inception package's preprocessing.

`central` is its evaluation (the central 87.5% of height and width), `distorted` its augmentation: a
random part of random shape, a flip, and colours. Both give uint8 [size, size, 3].
"""

import tensorflow as tf

CENTRAL = 0.875
AREA, SHAPE = (0.05, 1.0), (3 / 4, 4 / 3)


def central(data, size: int):
    """The central part of a JPEG, by bilinear interpolation.

    Args:
        data: string tensor, the file's bytes.
        size: height and width of the result, pixels.

    Returns:
        uint8 [size, size, 3].
    """
    shape = tf.io.extract_jpeg_shape(data)
    sides = tf.cast(shape[:2], tf.float32)
    begin = tf.cast((sides - sides * CENTRAL) / 2, tf.int32)
    return _bytes(_part(data, begin, shape[:2] - 2 * begin, size))


def distorted(data, words, size: int):
    """A random part of a JPEG, maybe mirrored, with its colours changed.

    Brightness by up to 32/255, saturation and contrast by 0.5 to 1.5, hue by up to 0.2, in one of
    the package's two orders. What is drawn is a function of `words` alone.

    Args:
        data: string tensor, the file's bytes.
        words: uint32 [2], the random bits of (seed, epoch, example).
        size: as for `central`.

    Returns:
        uint8 [size, size, 3].
    """

    def seed(draw):
        return tf.bitwise.bitwise_xor(tf.bitcast(words, tf.int32), [0, draw])

    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(data),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed(0),
        min_object_covered=0.1,
        aspect_ratio_range=SHAPE,
        area_range=AREA,
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    image = _part(data, begin[:2], extent[:2], size) / 255
    image = tf.image.stateless_random_flip_left_right(image, seed(1))

    def brightness(x):
        return tf.image.stateless_random_brightness(x, 32 / 255, seed(2))

    def saturation(x):
        return tf.image.stateless_random_saturation(x, 0.5, 1.5, seed(3))

    def hue(x):
        return tf.image.stateless_random_hue(x, 0.2, seed(4))

    def contrast(x):
        return tf.image.stateless_random_contrast(x, 0.5, 1.5, seed(5))

    image = brightness(image)
    image = tf.cond(
        tf.bitwise.bitwise_and(words[0], tf.constant(1, tf.uint32)) > 0,
        lambda: contrast(hue(saturation(image))),
        lambda: hue(saturation(contrast(image))),
    )
    return _bytes(255 * image)


def _part(data, begin, extent, size):
    """A part of a JPEG, decoded and resized: float32 [size, size, 3], 0 to 255."""
    window = tf.concat([begin, extent], 0)
    part = tf.image.decode_and_crop_jpeg(data, window, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(tf.image.resize(part, [size, size]), [size, size, 3])


def _bytes(image):
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
