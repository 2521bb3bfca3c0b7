"""Norms of a network's weights: spectral norms of its layers, path norm, distances.

Layers are taken as at evaluation: batch normalisation is a linear map with the factor
gamma / sqrt(variance + epsilon).
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-6  # relative, of a spectral norm that is found by iteration
# Layers without weights that pass values on, or take their mean or maximum.
WEIGHTLESS = (
    keras.layers.InputLayer,
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Dropout,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
)


def _is_batch_norm(layer) -> bool:
    return hasattr(layer, "moving_variance")


def _is_response_norm(layer) -> bool:
    return type(layer).__name__ == "LocalResponseNorm"


def flat(variables) -> np.ndarray:
    """All values of variables or arrays in one vector, float64."""
    return np.concatenate([np.asarray(v, np.float64).ravel() for v in variables])


def linear_layers(model) -> list:
    """The layers with a norm: dense, convolution, batch normalisation, in the model's order.

    Raises:
        NotImplementedError: a layer of another kind, or a convolution with gaps or in groups.
    """
    known = (keras.layers.Dense, keras.layers.Conv2D)
    layers = [x for x in model.layers if isinstance(x, known) or _is_batch_norm(x)]
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D):
            for name, usual in (("dilation_rate", (1, 1)), ("groups", 1)):
                if (value := getattr(layer, name)) != usual:
                    raise NotImplementedError(
                        f"no norm is defined for convolutions with {name} {value}"
                    )
    rest = (x for x in model.layers if not (x in layers or _is_response_norm(x)))
    others = {type(x).__name__ for x in rest if not isinstance(x, WEIGHTLESS)}
    if others:
        raise NotImplementedError(f"no norm is defined for layers {', '.join(sorted(others))}")
    return layers


def factor(layer) -> np.ndarray:
    """The factor of batch normalisation for each channel: float64 [C]."""
    scale = np.asarray(layer.gamma, np.float64) if hasattr(layer, "gamma") else 1.0
    return scale / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)


def spectral_norm(layer) -> tuple[float, str]:
    """The largest factor by which a layer's linear part lengthens an input, and how it was found.

    Args:
        layer: dense, convolution or batch normalisation, built.

    Returns:
        The norm; `svd`: exact, of a matrix; `iteration`: of a convolution as it is, with its
        padding, stride and input size (which circular FFT formulas leave out), by Lanczos iteration
        to a relative tolerance of 1e-6; `factor`: of batch normalisation, exact.
    """
    if _is_batch_norm(layer):
        return float(np.abs(factor(layer)).max()), "factor"
    kernel = np.asarray(layer.kernel, np.float64)
    if isinstance(layer, keras.layers.Dense):
        return float(np.linalg.norm(kernel, 2)), "svd"
    if kernel.shape[:2] == (1, 1):  # the same matrix at each position, whatever the stride
        return float(np.linalg.norm(kernel[0, 0], 2)), "svd"
    return _of_convolution(layer, kernel), "iteration"


def _of_convolution(layer, kernel: np.ndarray) -> float:
    from scipy.sparse.linalg import LinearOperator, eigsh

    shape = (1, *layer.input.shape[1:])
    strides = [1, *layer.strides, 1]
    weights, padding = tf.constant(kernel), layer.padding.upper()

    @tf.function
    def there_and_back(x):
        y = tf.nn.conv2d(tf.reshape(x, shape), weights, strides, padding)
        return tf.nn.conv2d_transpose(y, weights, shape, strides, padding)

    size = int(np.prod(shape))
    if size == 1:
        return float(np.sqrt(there_and_back(np.ones(1)).numpy().item()))
    operator = LinearOperator(
        (size, size), lambda v: there_and_back(np.ravel(v)).numpy().ravel(), dtype=np.float64
    )
    # A fixed start: eigsh would draw another at each call.
    start = np.random.default_rng(0).standard_normal(size)
    # The eigenvalue is the squared norm, so its relative error is twice that of the norm.
    largest = eigsh(operator, k=1, v0=start, tol=TOLERANCE, return_eigenvectors=False)[0]
    return float(np.sqrt(max(largest, 0.0)))


def path_norm(model, input_shape) -> float:
    """log10 of the path norm (Neyshabur et al., 2015): the root of the sum of squares over paths.

    One pass of ones through the network with every weight squared. Biases count as paths from a
    constant; batch normalisation is its factor and offset; maximum pooling takes the largest of its
    paths, average pooling their mean (not the smaller sum with the squares of its weights, which
    would shift every network of one kind alike); local response normalisation, which only shortens,
    counts as the identity, and so does every activation.

    Args:
        model: a functional keras.Model.
        input_shape: (height, width, channels).

    Returns:
        The logarithm, since the norm of a deep network can exceed float64.
    """
    squared = keras.models.clone_model(model, clone_function=_in_double)
    for layer in linear_layers(model):
        squared.get_layer(layer.name).set_weights(_squared_weights(layer))
    total = tf.reduce_sum(squared(tf.ones([1, *input_shape], tf.float64)))
    return float(np.log10(max(float(total), np.finfo(float).tiny)) / 2)


def _in_double(layer):
    """The layer that stands for another in the pass of squares, in float64."""
    if _is_batch_norm(layer):
        return Affine(name=layer.name, dtype="float64")
    # Activations do not count: a path norm is of the weights alone. Nothing is negative in the
    # pass, so a rectifier without an upper limit is the identity anyway.
    bare = keras.layers.ReLU, keras.layers.Activation
    if _is_response_norm(layer) or isinstance(layer, bare):
        return keras.layers.Identity(name=layer.name, dtype="float64")
    settings = {**layer.get_config(), "dtype": "float64"}
    if "activation" in settings:
        settings["activation"] = "linear"
    return type(layer).from_config(settings)


def _squared_weights(layer) -> list[np.ndarray]:
    if _is_batch_norm(layer):
        scale = factor(layer)
        beta = getattr(layer, "beta", None)  # None of Keras' own with center=False
        beta = 0.0 if beta is None else np.asarray(beta, np.float64)
        offset = beta - np.asarray(layer.moving_mean) * scale
        return [scale**2, offset**2]
    return [np.asarray(v, np.float64) ** 2 for v in layer.weights]


class Affine(keras.layers.Layer):
    """x times a factor plus an offset, a channel each."""

    def build(self, input_shape):
        """Creates factor and offset, [C]."""
        shape = (input_shape[-1],)
        self.factor = self.add_weight(name="factor", shape=shape, initializer="ones")
        self.offset = self.add_weight(name="offset", shape=shape, initializer="zeros")

    def call(self, x, training=None, mask=None):
        """x: [..., C] -> the same shape; the others are those of Keras' own normalisation."""
        return x * self.factor + self.offset


def all_norms(model, initial: list[np.ndarray], input_shape) -> dict:
    """All norms of a trained network.

    Args:
        model: built, with the trained weights.
        initial: the values that `model.trainable_variables` had before training.
        input_shape: (height, width, channels).

    Returns:
        `parameters`, `l2` (of all trainable weights), `l2_initial`, `distance` (l2, from the
        initial weights), `relative_distance`; `log10_frobenius_product` and
        `log10_spectral_product` over the linear layers; `log10_path`; `log10_spectral_distance`,
        of Prod s^2 * Sum ||W - W0||_F^2 / s^2 (the norm term of Neyshabur et al., 2018), over dense
        layers and convolutions; `layers`: one dict each with `name`, `spectral`, `found_by`,
        `frobenius`, `distance` (None for batch normalisation).
    """
    trained = [v.numpy() for v in model.trainable_variables]
    before = {id(v): a for v, a in zip(model.trainable_variables, initial, strict=True)}
    layers: list[dict[str, Any]] = []
    distances = 0.0
    for place, layer in enumerate(linear_layers(model), 1):
        spectral, found_by = spectral_norm(layer)
        moved = None
        if _is_batch_norm(layer):
            frobenius = float(np.linalg.norm(factor(layer)))
        else:
            kernel = np.asarray(layer.kernel, np.float64)
            frobenius = float(np.linalg.norm(kernel))
            moved = float(np.linalg.norm(kernel - before[id(layer.kernel)]))
            distances += (moved / max(spectral, 1e-300)) ** 2
        layers.append(
            {
                "name": f"{place} {type(layer).__name__}",
                "spectral": spectral,
                "found_by": found_by,
                "frobenius": frobenius,
                "distance": moved,
            }
        )
    products = {
        key: float(sum(np.log10(max(x[key], 1e-300)) for x in layers))
        for key in ("spectral", "frobenius")
    }
    start, end = flat(initial), flat(trained)
    return {
        "parameters": len(end),
        "l2": float(np.linalg.norm(end)),
        "l2_initial": float(np.linalg.norm(start)),
        "distance": float(np.linalg.norm(end - start)),
        "relative_distance": float(np.linalg.norm(end - start) / np.linalg.norm(start)),
        "log10_frobenius_product": products["frobenius"],
        "log10_spectral_product": products["spectral"],
        "log10_spectral_distance": float(
            2 * products["spectral"] + np.log10(max(distances, 1e-300))
        ),
        "log10_path": path_norm(model, input_shape),
        "layers": layers,
    }
