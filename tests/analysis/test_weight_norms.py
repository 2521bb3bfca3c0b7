"""Norms of layers and networks against matrices written out in full."""

import itertools

import numpy as np
import pytest

SHAPE = (7, 6, 2)


def matrix_of(layer, shape):
    """A linear layer without its bias, as a matrix."""
    basis = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    zero = layer(np.zeros([1, *shape], np.float32)).numpy()
    return (layer(basis).numpy() - zero).reshape(len(basis), -1)


@pytest.mark.parametrize(
    "size, stride, padding",
    [
        (3, 1, "same"),
        (3, 2, "same"),
        (5, 1, "valid"),
        (3, 2, "valid"),
        (1, 1, "same"),
        (1, 2, "same"),
    ],
)
def test_a_convolution_is_measured_with_its_padding_and_stride(tensorflow, size, stride, padding):
    import keras

    from rethink_tf.analysis import weight_norms

    keras.utils.set_random_seed(size * 10 + stride)
    x = keras.Input(SHAPE)
    layer = keras.layers.Conv2D(4, size, stride, padding=padding, bias_initializer="ones")
    layer(x)
    found, how = weight_norms.spectral_norm(layer)
    assert found == pytest.approx(np.linalg.norm(matrix_of(layer, SHAPE), 2), rel=2e-6)
    assert how == ("svd" if size == 1 else "iteration")
    assert weight_norms.spectral_norm(layer)[0] == found


def test_dense_and_batch_normalisation(tensorflow):
    import keras

    from rethink_tf.analysis import weight_norms
    from rethink_tf.models.layers import FusedBatchNorm

    dense = keras.layers.Dense(3)
    dense.build((None, 5))
    exact = np.linalg.svd(dense.kernel.numpy(), compute_uv=False)[0]
    assert weight_norms.spectral_norm(dense) == (pytest.approx(exact, rel=1e-6), "svd")
    for scale in (False, True):
        norm = FusedBatchNorm(scale=scale, epsilon=0.25)
        norm(keras.Input(SHAPE))
        norm.moving_variance.assign([2.0, 6.0])
        if scale:
            norm.gamma.assign([1.0, -9.0])
        expected = 9 / 2.5 if scale else 1 / 1.5
        assert weight_norms.spectral_norm(norm) == (pytest.approx(expected), "factor")
        assert np.abs(matrix_of(norm, SHAPE)).max() == pytest.approx(expected, rel=1e-5)


def test_the_path_norm_is_the_sum_over_all_paths(tensorflow):
    import keras

    from rethink_tf.analysis import weight_norms

    keras.utils.set_random_seed(0)
    x = keras.Input((1, 1, 3))
    y = keras.layers.Flatten()(x)
    y = keras.layers.Dense(4, activation="relu", bias_initializer="normal")(y)
    y = keras.layers.Dense(2, bias_initializer="normal")(y)
    model = keras.Model(x, y)
    first, b, second, c = (v.numpy().astype(float) for v in model.weights)
    total = sum(
        first[i, j] ** 2 * second[j, k] ** 2
        for i, j, k in itertools.product(range(3), range(4), range(2))
    )
    total += (b**2 @ second**2).sum() + (c**2).sum()
    assert weight_norms.path_norm(model, (1, 1, 3)) == pytest.approx(np.log10(np.sqrt(total)))


def test_the_path_norm_through_convolution_normalisation_and_pooling(tensorflow):
    import keras

    from rethink_tf.analysis import weight_norms
    from rethink_tf.models.layers import FusedBatchNorm

    keras.utils.set_random_seed(1)
    x = keras.Input(SHAPE)
    convolution = keras.layers.Conv2D(3, 3, 2, padding="same", bias_initializer="normal")
    norm = FusedBatchNorm(scale=True, epsilon=0.25)
    dense = keras.layers.Dense(2)
    y = norm(convolution(x))
    model = keras.Model(x, dense(keras.layers.GlobalAveragePooling2D()(y)))
    for variable, values in (
        (norm.gamma, [1.0, -3.0, 2.0]),
        (norm.beta, [0.5, 0.0, -1.0]),
        (norm.moving_mean, [0.1, 2.0, -3.0]),
        (norm.moving_variance, [2.0, 6.0, 0.5]),
    ):
        variable.assign(values)
    bias = convolution.bias.numpy().astype(float)
    paths = (matrix_of(convolution, SHAPE).astype(float) ** 2).sum(axis=0).reshape(-1, 3) + bias**2
    factor = np.array([1.0, -3.0, 2.0]) / np.sqrt(np.array([2.0, 6.0, 0.5]) + 0.25)
    offset = np.array([0.5, 0.0, -1.0]) - np.array([0.1, 2.0, -3.0]) * factor
    paths = (paths * factor**2 + offset**2).mean(axis=0)
    total = (paths @ dense.kernel.numpy().astype(float) ** 2).sum()
    found = weight_norms.path_norm(model, SHAPE)
    assert found == pytest.approx(np.log10(np.sqrt(total)), abs=1e-6)


def halved(model):
    """Halves kernels without changing the function; returns how many."""
    layers = [x for x in model.layers if x.weights]
    if not any(hasattr(x, "moving_variance") for x in layers):
        earlier, last = layers[-2:]
        earlier.set_weights([w / 2 for w in earlier.get_weights()])
        kernel, bias = last.get_weights()
        last.set_weights([kernel * 2, bias])
        return 1
    count = 0
    for norm in (x for x in layers if hasattr(x, "moving_variance")):
        before = norm.input._keras_history.operation
        if type(before).__name__ != "Conv2D" or len(before._outbound_nodes) > 1:
            continue
        before.set_weights([w / 2 for w in before.get_weights()])
        norm.moving_mean.assign(norm.moving_mean / 2)
        norm.moving_variance.assign((norm.moving_variance + norm.epsilon) / 4 - norm.epsilon)
        count += 1
    return count


@pytest.mark.parametrize(
    "name, least", [("inception", 19), ("alexnet", 1), ("wrn_10_1", 3), ("mlp_3x512", 1)]
)
def test_the_path_norm_does_not_change_where_the_function_does_not(tensorflow, name, least):
    """Scaling a layer down and the next one up moves the l2 norm and leaves the paths alone."""
    from rethink_tf import models
    from rethink_tf.analysis import weight_norms

    shape = (8, 8, 3)
    model = models.build(name, shape, 4, seed=1)
    x = np.random.default_rng(0).normal(size=[2, *shape]).astype(np.float32)
    before, outputs = weight_norms.path_norm(model, shape), model(x, training=False).numpy()
    l2 = np.linalg.norm(weight_norms.flat(model.trainable_variables))
    assert np.isfinite(before) and halved(model) >= least
    np.testing.assert_allclose(model(x, training=False).numpy(), outputs, rtol=1e-3, atol=1e-4)
    assert weight_norms.path_norm(model, shape) == pytest.approx(before, abs=1e-5)
    assert abs(np.linalg.norm(weight_norms.flat(model.trainable_variables)) / l2 - 1) > 0.01


def test_all_norms_of_a_network(tensorflow):
    from rethink_tf import models
    from rethink_tf.analysis import weight_norms

    model = models.build("mlp_1x512", (4, 4, 1), 3, seed=0)
    initial = [v.numpy() for v in model.trainable_variables]
    same = weight_norms.all_norms(model, initial, (4, 4, 1))
    assert (same["distance"], same["relative_distance"]) == (0, 0)
    assert same["l2"] == same["l2_initial"] and same["parameters"] == 512 * 17 + 3 * 513
    model.trainable_variables[0].assign_add(np.full([16, 512], 0.5, np.float32))
    found = weight_norms.all_norms(model, initial, (4, 4, 1))
    assert found["distance"] == pytest.approx(0.5 * np.sqrt(16 * 512), rel=1e-6)
    first, second = (model.trainable_variables[i].numpy().astype(float) for i in (0, 2))
    spectral = [np.linalg.norm(w, 2) for w in (first, second)]
    assert found["log10_spectral_product"] == pytest.approx(np.log10(np.prod(spectral)))
    frobenius = [np.linalg.norm(w) for w in (first, second)]
    assert found["log10_frobenius_product"] == pytest.approx(np.log10(np.prod(frobenius)))
    moved = np.prod(spectral) ** 2 * (found["distance"] / spectral[0]) ** 2
    assert found["log10_spectral_distance"] == pytest.approx(np.log10(moved))
    kinds = [(x["name"], x["found_by"]) for x in found["layers"]]
    assert kinds == [("1 Dense", "svd"), ("2 Dense", "svd")]
    assert [x["distance"] for x in found["layers"]] == [pytest.approx(found["distance"]), 0]


def test_a_layer_nobody_wrote_a_norm_for_is_refused(tensorflow):
    import keras

    from rethink_tf.analysis import weight_norms

    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.LayerNormalization()(x))
    with pytest.raises(NotImplementedError, match="defined for layers LayerNorm"):
        weight_norms.linear_layers(model)


@pytest.mark.parametrize("changes", [{"dilation_rate": 2}, {"groups": 2}])
def test_a_convolution_with_gaps_or_in_groups_is_refused(tensorflow, changes):
    import keras

    from rethink_tf.analysis import weight_norms

    x = keras.Input((7, 6, 4))
    model = keras.Model(x, keras.layers.Conv2D(4, 3, **changes)(x))
    with pytest.raises(NotImplementedError, match=f"convolutions with {next(iter(changes))}"):
        weight_norms.linear_layers(model)


def test_the_path_norm_does_not_depend_on_activations_nor_on_an_offset(tensorflow):
    import keras

    from rethink_tf.analysis import weight_norms

    def found(first, after, center=True):
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((6,))
        x = keras.layers.BatchNormalization(center=center)(x)
        x = keras.layers.Dense(8, activation=first, kernel_initializer="he_normal")(x)
        x = keras.layers.Dense(8, kernel_initializer="he_normal")(x)
        model = keras.Model(inputs, keras.layers.Dense(3)(after(x)))
        return weight_norms.path_norm(model, (6,))

    relu = found("relu", keras.layers.ReLU())
    assert found("relu", keras.layers.ReLU(), center=False) == relu
    assert found("tanh", keras.layers.Activation("sigmoid")) == relu
    assert found("relu", keras.layers.ReLU(max_value=0.5)) == relu


def test_every_network_of_the_paper_is_known(tensorflow):
    from rethink_tf import models
    from rethink_tf.analysis import weight_norms

    for name in ("inception", "inception_no_bn", "alexnet", "resnet_18", "wrn_10_1"):
        found = weight_norms.linear_layers(models.build(name, (8, 8, 1), 2, dropout=0.1))
        assert len(found) >= 5
