"""Detects models that scale their own images, and describes the images that they get.

A model scales its images if the values that reach its first weights are scaled.
Importing this module loads no Keras.
"""

import contextlib

import numpy as np

from rethink_tf.models.nested import layers_of

IMAGES = 8  # images of noise, as many as the model was first called with
# Of standardised images; within these limits they count as not scaled.
_GAINS, _SHIFT = (2 / 3, 3 / 2), 0.5
# Gain over spread; below it the model standardises images itself, whatever their scale.
_FLAT = 1e-3
_FAINT = 0.03  # spread of the outputs below which standardised images hardly differ for the model


def own_scaling(model, input_shape: tuple[int, int, int]) -> str | None:
    """How a built model scales its images before its first weights, in words; None: it does not.

    Args:
        model: from images [B, H, W, C]; it is called in inference, and nothing of it changes.
        input_shape: (H, W, C).
    """
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, *input_shape)).astype(np.float32)
    with _reached(model) as reached:
        outputs = model(images, training=False)
    if reached and _is_of_keras(reached[0][0]):
        arrived = [reached[0][1]]
        for others in (images + 1, -images):
            with _reached(model) as reached:
                model(others, training=False)
            arrived.append(reached[0][1])
        return _change(*arrived)
    # The first weights are used by custom code, so only the outputs show the scaling.
    pixels = rng.uniform(0, 255, images.shape).astype(np.float32)
    return _by_outputs(_spread(outputs), _spread(model(pixels, training=False)))


@contextlib.contextmanager
def _reached(model):
    """Notes, within the block, the first layer with weights of its own that is called, and what
    it is given: [(layer, array)], empty where that cannot be seen."""
    reached, wrapped, seen = [], [], False

    def noting(layer, call):
        def noted(*args, **kwargs):
            nonlocal seen
            given = next(iter([*args, *kwargs.values()]), None)
            if not seen and hasattr(given, "numpy"):  # inside a graph there are no values
                reached.append((layer, np.asarray(given, np.float32)))
            seen = True
            return call(*args, **kwargs)

        return noted

    try:
        for layer in [model, *layers_of(model)]:
            # The layer's own weights, without those of its inner layers.
            if layer._trainable_variables:
                layer.call = noting(layer, layer.call)
                wrapped.append(layer)
        yield reached
    finally:
        for layer in wrapped:
            del layer.call


def _is_of_keras(layer) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def _change(given: np.ndarray, brighter: np.ndarray, negative: np.ndarray) -> str | None:
    """What became of standardised images on their way to the first weights, in words.

    Args:
        given, brighter, negative: what arrives of the images, of the images with 1 added to every
            pixel, and of the images times -1.
    """
    difference = brighter - given
    if not difference.any() or not np.isfinite(difference).all():
        return None
    # Padding does not change, and pixels resampled near it change less.
    changed = np.abs(difference) > 0.5 * np.abs(difference).max()
    gain = float(np.median(difference[changed]))
    shift = float(np.median((given + negative)[changed])) / 2
    if abs(gain) < _FLAT * given.std():
        return None
    if _GAINS[0] <= gain <= _GAINS[1] and abs(shift) <= _SHIFT:
        return None
    changes = [] if abs(gain - 1) < 1e-3 else [f"times {_factor(gain)}"]
    if abs(shift) > 0.05:
        changes.append(f"{'minus' if shift < 0 else 'plus'} {abs(shift):.3g}")
    return f"it scales its images itself ({', '.join(changes)})"


def _factor(gain: float) -> str:
    inverse = round(1 / gain, 1)
    if abs(gain) < 0.1 and abs(inverse * gain - 1) < 1e-3:
        return f"1/{inverse:g}"
    return f"{gain:.3g}"


def _spread(outputs) -> float:
    """How much outputs [B, K] differ between images: the mean deviation of a class's logit."""
    values = np.asarray(outputs).astype(np.float64)
    if (values >= 0).all() and np.allclose(values.sum(axis=-1), 1, atol=1e-3):
        values = np.log(np.maximum(values, 1e-30))
    return float(values.std(axis=0).mean())


def _by_outputs(standardised: float, pixels: float) -> str | None:
    if not standardised < _FAINT <= pixels:
        return None
    return (
        f"it seems to scale its images itself (its outputs differ by {standardised:.2g} between "
        f"standardised images, by {pixels:.2g} between those from 0 to 255)"
    )


def what_it_gets(scaling: str, preprocess: str) -> str:
    """Which images a model that scales them itself gets, and which flag leaves them unscaled.

    Args:
        scaling: what `own_scaling` says.
        preprocess: of the run.
    """
    if preprocess == "none":
        return f"{scaling} and gets pixels from 0 to 255"
    scaled = {
        "standardise": "each image to mean 0 and standard deviation 1",
        "channel_norm": "by mean and deviation of the training set's channels",
        "inception": "at -1 to 1",
    }
    return (
        f"{scaling}, but gets images that are scaled already, {scaled[preprocess]}; for pixels "
        "from 0 to 255 type --preprocess=none"
    )
