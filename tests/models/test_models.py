"""The networks are the paper's: golden counts, shapes, and layers that mean what Keras means."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rethink_tf import models
from rethink_tf.models.layers import FusedBatchNorm, LocalResponseNorm

# model: trainable parameters at 28x28x3 and 10 classes. Sources: the paper's Table 1; WRN-28-1 as
# the first author's demonstration prints it; WRN-28-10 36.5 million (Zagoruyko and Komodakis);
# ResNet-18, 50 and 101 as the usual PyTorch code for CIFAR has them; ResNet-200 by arithmetic.
GOLDEN = {
    "inception": 1_649_402,
    "inception_no_bn": 1_649_402,
    "alexnet": 1_387_786,
    "mlp_3x512": 1_735_178,
    "mlp_1x512": 1_209_866,
    "wrn_28_1": 369_498,
    "wrn_28_10": 36_479_194,
    "resnet_18": 11_173_962,
    "resnet_28": 369_498,
    "resnet_50": 23_520_842,
    "resnet_101": 42_512_970,
    "resnet_200": 62_637_642,
}
# Models that see no images as small as those above: input, classes, trainable parameters, and with
# the moving statistics, as Keras documents them.
GOLDEN_LARGE = {"inception_v3": ((299, 299, 3), 1000, 23_817_352, 23_851_784)}
# trainable parameters at 16x16x1 and 10 classes (digits): counted here, held from then on.
GOLDEN_DIGITS = {
    "inception": 1_647_674,
    "inception_no_bn": 1_647_674,
    "alexnet": 573_578,
    "mlp_3x512": 662_026,
    "mlp_1x512": 136_714,
    "wrn_28_1": 369_210,
    "wrn_28_10": 36_478_906,
    "resnet_18": 11_172_810,
    "resnet_28": 369_210,
    "resnet_50": 23_519_690,
    "resnet_101": 42_511_818,
    "resnet_200": 62_636_490,
}
SMALL = [name for name, count in GOLDEN.items() if count < 2_000_000]


def test_no_registered_model_is_missing_from_the_golden_table():
    assert set(GOLDEN) == set(GOLDEN_DIGITS) == set(models.MODELS) - set(GOLDEN_LARGE)
    assert set(GOLDEN_LARGE) == {n for n, spec in models.MODELS.items() if spec.smallest_input}


@pytest.mark.parametrize("name", GOLDEN_LARGE)
def test_parameters_of_large_models(name):
    shape, classes, trainable, whole = GOLDEN_LARGE[name]
    model = models.build(name, shape, classes)
    assert (models.count_trainable(model), model.count_params()) == (trainable, whole)
    assert not model.losses, "no weight decay but where it is asked for"


def test_inception_v3_is_keras_own_with_dropout_and_decay_before_the_last_layer():
    model = models.build("inception_v3", (75, 75, 3), 7, weight_decay=0.5, dropout=0.25, seed=3)
    keras_own = keras.applications.InceptionV3(
        weights=None, input_shape=(75, 75, 3), classes=7, classifier_activation=None
    )
    keras_own.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(3, 75, 75, 3)).astype(np.float32)
    np.testing.assert_allclose(model(x), keras_own(x), rtol=0, atol=1e-5)
    assert [type(layer).__name__ for layer in model.layers[-2:]] == ["Dropout", "Dense"]
    assert model.layers[-2].rate == 0.25
    normal = [layer for layer in model.layers if isinstance(layer, FusedBatchNorm)]
    assert len(normal) == 94 and not any(layer.synchronized for layer in normal)
    assert {(layer.momentum, layer.epsilon, layer.scale) for layer in normal} == {
        (0.9, 1e-3, False)
    }
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == len(model.losses) == 95
    expected = sum(0.25 * float(np.square(kernel).sum()) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", GOLDEN)
def test_trainable_parameters(name):
    assert models.count_trainable(models.build(name, (28, 28, 3), 10)) == GOLDEN[name]
    if name in (*SMALL, "resnet_18"):
        assert models.count_trainable(models.build(name, (16, 16, 1), 10)) == GOLDEN_DIGITS[name]
    else:  # slow to build: all but the two missing channels of the first 3x3 kernel is the same
        filters = 16 if name.startswith("wrn") else 64
        assert GOLDEN[name] - GOLDEN_DIGITS[name] == 3 * 3 * 2 * filters


def test_resnet_200_by_arithmetic():
    """Convolutions, two numbers of batch norm per channel, and the last layer's biases."""

    def conv(size, before, after):
        return size * size * before * after + 2 * after

    total, channels = conv(3, 3, 64), 64
    for width, blocks in zip((64, 128, 256, 512), (3, 24, 36, 3), strict=True):
        total += conv(1, channels, 4 * width)  # the first block's shortcut
        for _ in range(blocks):
            total += conv(1, channels, width) + conv(3, width, width) + conv(1, width, 4 * width)
            channels = 4 * width
    assert total + channels * 10 + 10 == GOLDEN["resnet_200"]


@pytest.mark.parametrize("name, depth", [("wrn_28_1", 28), ("wrn_16_2", 16), ("resnet_28", 28)])
def test_a_wide_resnet_is_as_deep_as_its_name(name, depth):
    model = models.build(name, (32, 32, 3), 10)
    convs = [x for x in model.layers if isinstance(x, keras.layers.Conv2D) and x.kernel_size[0] > 1]
    shortcuts = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    # The name counts 3x3 convolutions, the last layer, and the two (or three) shortcuts.
    assert len(convs) == depth - 3
    assert len(shortcuts) - len(convs) == (2 if name != "wrn_16_2" else 3)
    pooling = [x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D)]
    assert [tuple(x.input.shape[1:3]) for x in pooling] == [(8, 8)]


@pytest.mark.parametrize("name", ["wrn_27_1", "wrn_4_1", "wrn_28_0", "wrn_28_01", "wrn_28", "vgg"])
def test_names_of_no_model(name):
    assert models.find_spec(name) is None


@pytest.mark.parametrize("name", ["inception", "inception_no_bn"])
def test_inception_pools_a_7x7_map_of_336_channels(name):
    model = models.build(name, (28, 28, 3), 10)
    pooling = [x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D)]
    assert [tuple(x.input.shape[1:]) for x in pooling] == [(7, 7, 336)]


def test_inception_without_batch_norm_has_none_and_with_it_no_conv_bias():
    kinds = {type(x) for x in models.build("inception_no_bn", (28, 28, 3), 10).layers}
    assert FusedBatchNorm not in kinds and keras.layers.BatchNormalization not in kinds
    convs = [
        x
        for x in models.build("inception", (28, 28, 3), 10).layers
        if isinstance(x, keras.layers.Conv2D)
    ]
    assert len(convs) == 19 and not any(x.use_bias for x in convs)


@pytest.mark.parametrize("name", [*SMALL, "resnet_18"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_logits_are_float32_and_weights_depend_on_the_seed(name, precision):
    x = np.ones((2, 16, 16, 1), np.float32) * np.linspace(-1, 1, 16)[:, None]
    build = lambda seed: models.build(name, (16, 16, 1), 7, precision=precision, seed=seed)  # noqa: E731
    first = build(1)(x)
    assert first.dtype == tf.float32 and first.shape == (2, 7)
    if precision == "float32":  # that of the variables in both
        np.testing.assert_array_equal(first, build(1)(x))
        assert np.abs(np.asarray(first) - build(2)(x)).max() > 1e-4
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("scale", [False, True])
def test_fused_batch_norm_means_what_keras_means(scale):
    x = np.random.default_rng(0).normal(3, 2, (8, 5, 6, 4)).astype(np.float32)
    ours = FusedBatchNorm(scale=scale)
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, scale=scale)
    for layer in (ours, theirs):
        layer.build(x.shape)
        if scale:
            layer.gamma.assign([0.5, 1.0, 2.0, -1.0])
    for training in (True, True, False):
        np.testing.assert_allclose(
            ours(x, training=training), theirs(x, training=training), atol=2e-5
        )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_a_frozen_fused_batch_norm_uses_and_keeps_its_statistics_as_in_keras():
    x = np.random.default_rng(0).normal(3, 2, (8, 5, 6, 4)).astype(np.float32)
    ours = FusedBatchNorm(trainable=False)
    theirs = keras.layers.BatchNormalization(epsilon=1e-3, scale=False, trainable=False)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=2e-5)
    np.testing.assert_array_equal(ours.moving_mean, np.zeros(4))
    np.testing.assert_array_equal(ours.moving_variance, np.ones(4))


def test_fused_batch_norm_gradient_is_keras_gradient():
    x = tf.constant(np.random.default_rng(1).normal(size=(4, 3, 3, 2)).astype(np.float32))
    weight = tf.constant(np.random.default_rng(2).normal(size=(4, 3, 3, 2)).astype(np.float32))
    gradients = []
    for layer in (FusedBatchNorm(), keras.layers.BatchNormalization(epsilon=1e-3, scale=False)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * weight)
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(*gradients, atol=1e-5)


def test_local_response_norm_is_a_window_of_nine_channels():
    x = np.random.default_rng(0).normal(size=(1, 1, 1, 12)).astype(np.float32)
    flat = x.ravel()
    expected = [
        flat[i] / (1 + 0.001 / 9 * sum(flat[max(0, i - 4) : i + 5] ** 2)) ** 0.75 for i in range(12)
    ]
    np.testing.assert_allclose(np.ravel(LocalResponseNorm()(x)), expected, rtol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"radius": 2, "bias": 2.0, "alpha": 0.1, "beta": 0.5}])
def test_local_response_norm_and_its_gradient_are_those_of_the_operation(settings):
    draw = np.random.default_rng(0)
    x, weight = (tf.constant(draw.normal(size=(2, 3, 3, 16)) * 3, tf.float32) for _ in range(2))
    kinds = {"radius": 4, "bias": 1.0, "alpha": 0.001 / 9, "beta": 0.75} | settings

    def operation(x):
        return tf.nn.local_response_normalization(
            x, kinds["radius"], kinds["bias"], kinds["alpha"], kinds["beta"]
        )

    found = []
    for function in (LocalResponseNorm(**settings), operation):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        found.append((y, tape.gradient(y, x, weight)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    half = LocalResponseNorm(**settings, dtype="mixed_bfloat16")(x)
    assert half.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half, tf.float32), found[1][0], rtol=0.01, atol=0.01)


def test_weight_decay_is_half_lambda_w_squared_on_the_kernels_that_the_source_decays():
    for name, kernels in {
        "mlp_1x512": 2,
        "alexnet": 2,
        "inception": 20,
        "wrn_28_1": 28,
        "resnet_18": 21,
    }.items():
        model = models.build(name, (16, 16, 1), 10, weight_decay=0.1)
        decayed = [
            x.kernel for x in model.layers if getattr(x, "kernel_regularizer", None) is not None
        ]
        assert len(decayed) == kernels
        half_squares = sum(0.05 * float(tf.reduce_sum(tf.square(k))) for k in decayed)
        assert float(tf.add_n(model.losses)) == pytest.approx(half_squares, rel=1e-5)
        assert not models.build(name, (16, 16, 1), 10).losses


@pytest.mark.parametrize("name, layers", [("inception", 1), ("alexnet", 2), ("mlp_3x512", 3)])
def test_dropout_layers(name, layers):
    count = lambda m: sum(isinstance(x, keras.layers.Dropout) for x in m.layers)  # noqa: E731
    assert count(models.build(name, (16, 16, 1), 10, dropout=0.5)) == layers
    assert count(models.build(name, (16, 16, 1), 10)) == 0
