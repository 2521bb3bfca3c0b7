"""Anyone's model: what is accepted, what is made of it, what is refused, what its identity is."""

import re
import sys
import zipfile

import class_folders
import numpy as np
import pytest

from rethink_tf import models
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.errors import RequestError
from rethink_tf.models.custom import keras_file
from rethink_tf.models.custom import name as custom_models

SHAPE, CLASSES = (12, 12, 3), 7
IMAGES = np.random.default_rng(1).standard_normal((5, *SHAPE)).astype(np.float32)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the module five_lines, on the path as the current folder is."""
    class_folders.write_models(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "five_lines", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def built(spec, **changes):
    return models.build(custom_models.resolved(spec), SHAPE, CLASSES, **changes)


def named(spec):
    return run_id(resolve(RunConfig(model=spec, dataset="digits")))


def saved(path, name="dense"):
    """FILE.keras of a function of the module."""
    import five_lines

    getattr(five_lines, name)(SHAPE, CLASSES).save(path)
    return str(path)


def test_what_is_a_name_of_a_custom_model():
    good = ("a:b", "pack.age:build", "x.keras", "/a/b-c.keras", "a:b@sha256:0f")
    bad = ("inception", "a:b:c", "wrn_28_1", ":b", "a:", "a b:c", "x.h5")
    assert all(map(custom_models.is_custom, good))
    assert not any(map(custom_models.is_custom, bad))
    assert custom_models.folder_name("/a/my net (2).keras@sha256:0f") == "my_net_2"


def test_the_source_of_a_function_counts_and_not_its_path(own, monkeypatch):
    first = named("five_lines:dense")
    assert first.startswith("dense-") and named("five_lines:plain") != first
    (own / "five_lines.py").rename(own / "moved.py")
    assert named("moved:dense") == first
    (own / "moved.py").write_text(class_folders.MODELS.replace("Dense(64", "Dense(65"))
    assert named("moved:dense") != first


def test_a_source_that_changed_is_read_anew(own):
    before = built("five_lines:dense")
    stale = custom_models.resolved("five_lines:dense")
    (own / "five_lines.py").write_text(class_folders.MODELS.replace("Dense(64", "Dense(15"))
    assert built("five_lines:dense").count_params() < before.count_params()
    with pytest.raises(RequestError, match="since it was named"):
        models.build(stale, SHAPE, CLASSES)


def test_the_content_of_a_file_counts_and_not_its_path(own, tensorflow):
    path = saved(own / "net.keras")
    (own / "copy.keras").write_bytes((own / "net.keras").read_bytes())
    first, second = named(path), named(str(own / "copy.keras"))
    assert first.partition("-")[2] == second.partition("-")[2]
    assert (first.partition("-")[0], second.partition("-")[0]) == ("net", "copy")
    assert named(saved(own / "net.keras", "softmax_layer")) != first


@pytest.mark.parametrize(
    "name, words",
    [
        ("dense", "softmax, is removed"),
        ("softmax_layer", "softmax, is removed"),
        ("sigmoid", "sigmoid, is removed"),
        (
            "subclassed",
            "their logarithm is used",
        ),
        ("plain", "; its outputs are used"),
        ("normalised", "; its outputs are used"),
    ],
)
def test_outputs_are_brought_to_logits(name, words, own, tensorflow):
    model = built(f"five_lines:{name}")
    (told,) = models.conversions(model, "standardise")
    assert told.startswith(f"five_lines:{name}: ") and words in told
    logits = model(IMAGES, training=False).numpy()
    assert logits.shape == (5, CLASSES) and logits.dtype == np.float32
    own_words = getattr(__import__("five_lines"), name)(SHAPE, CLASSES)
    own_words(IMAGES)
    own_words.set_weights(model.get_weights())
    outputs = own_words(IMAGES, training=False).numpy()
    expected = {
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "plain": logits,
        "normalised": logits,
    }.get(name, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    assert outputs == pytest.approx(expected, abs=1e-5)


def test_a_file_starts_from_weights_drawn_anew_by_the_seed(own, tensorflow):
    path = saved(own / "net.keras")
    stored = tensorflow.keras.models.load_model(path).get_weights()[0]
    first, second, other = (built(path, seed=s).get_weights()[0] for s in (1, 1, 2))
    assert np.array_equal(first, second)
    for weights in (other, stored):
        assert not np.isclose(first, weights).any(axis=1).all()
    said = models.conversions(built(path), "standardise")
    assert len(said) == 1 and re.search(
        "drawn anew by --seed; .*weights are not used", str(said[0])
    )


def test_batch_norm_within_models_is_found(own, tensorflow):
    model = built("five_lines:normalised")
    found = [x for x in models.layers_of(model) if hasattr(x, "moving_variance")]
    assert len(found) == 2 and not any(layer.synchronized for layer in found)


def test_mixed_precision_gives_float32_logits(own, tensorflow):
    model = built("five_lines:dense", precision="mixed_bfloat16")
    assert model(IMAGES).dtype == "float32"
    path = saved(own / "net.keras")
    with pytest.raises(RequestError, match="has its own; type --precision=float32"):
        built(path, precision="mixed_bfloat16")


@pytest.mark.parametrize(
    "name, words",
    [
        ("two_inputs", "expected one input, images; five_lines:two_inputs takes 2"),
        (
            "two_outputs",
            "expected one output, .*:two_outputs gives 2 in a list",
        ),
        ("other_size", "expected an input of 12x12x3, .* takes 9x9x3; type --input_size=9"),
        ("too_few", "expected 7 outputs, .*five_lines:too_few gives 6"),
        ("weightless", "expected weights to train, five_lines:weightless has none"),
        ("fails_in_training", r"compiled by tf.function: .*Failing.call\(\). only in training$"),
        ("no_model", "expected a keras.Model from five_lines:no_model, received str"),
        ("fails", r"ValueError at line \d+ of .*five_lines.py: it cannot be built$"),
        ("exits", r"SystemExit at line \d+ of .*five_lines.py: 0$"),
        ("half", "expected weights in float32, five_lines:half has float16"),
        ("no_arguments", r"expected a function of \(input_shape, num_classes\), .* takes \(\)"),
        ("missing", "function missing in .*five_lines.py"),
    ],
)
def test_functions_that_are_refused(name, words, own, tensorflow):
    with pytest.raises(RequestError, match=words) as caught:
        built(f"five_lines:{name}")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("--model")


def test_settings_that_a_model_does_not_take_are_refused(own, tensorflow):
    with pytest.raises(
        RequestError, match="--weight_decay: five_lines:dense takes no weight_decay"
    ):
        built("five_lines:dense", weight_decay=0.1)
    decayed = built("five_lines:plain", weight_decay=0.1)
    assert float(decayed.losses[0]) > 0
    with pytest.raises(RequestError, match="--dropout: .*net.keras has its own"):
        built(saved(own / "net.keras"), dropout=0.5)


def test_a_module_that_is_not_there(own):
    for name in ("nowhere:build", "nowhere.inner:build", "itertools:chain"):
        with pytest.raises(RequestError, match="--model: "):
            named(name)
    (own / "package_that_fails").mkdir()
    (own / "package_that_fails" / "__init__.py").write_text("1 / 0\n")
    with pytest.raises(RequestError, match="cannot be imported: ZeroDivisionError: division by"):
        named("package_that_fails.inner:build")
    (own / "script.py").write_text("import sys\n\nsys.exit(0)\n")
    with pytest.raises(RequestError, match="script:build: SystemExit at line 3 of .*: 0$"):
        built("script:build")


def test_a_file_with_code_in_it_is_refused_before_it_is_opened(own, tensorflow, monkeypatch):
    import keras

    keras.Sequential(
        [
            keras.layers.Input(SHAPE),
            keras.layers.Lambda(lambda x: 2 * x),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    ).save(own / "lambda.keras")
    saved(own / "own.keras", "subclassed")
    (own / "text.keras").write_text("no archive")

    def opened(*_, **__):
        raise AssertionError("opened")

    monkeypatch.setattr(keras.saving, "load_model", opened)
    for name, words in (
        ("lambda", "holds a Lambda layer, which runs code from the file; give a function instead"),
        ("own", "holds five_lines.Head, which is not part of Keras; give a function instead"),
        ("text", "expected a file saved by Keras 3"),
        ("none", "No such file or directory"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            built(str(own / f"{name}.keras"))
        assert "\n" not in str(caught.value)


REGISTERED = """
import keras
from keras import layers

@keras.saving.register_keras_serializable()
class Gate(layers.Layer):
    def call(self, x):
        return x / 2

@keras.saving.register_keras_serializable("my")
def act(x, dtype=None):
    return keras.ops.zeros(x) if dtype else x

def plain_act(x):
    return x

def model(layer):
    return keras.Sequential([layers.Input((12, 12, 3)), layers.Flatten(), layer, layers.Dense(7)])
"""


def test_registered_objects_of_a_file_are_named(own, tensorflow, monkeypatch):
    import keras

    (own / "registered.py").write_text(REGISTERED)
    import registered

    dense = keras.layers.Dense
    for layer, words in (
        (registered.Gate(), r"holds Gate \(Custom>Gate\), .*give a function instead, --model="),
        (dense(7, activation=registered.act), "holds the function my>act, which is not part of"),
        (dense(7, activation=registered.plain_act), "holds the function plain_act, which is no"),
        (dense(7, kernel_initializer=registered.act), "holds the function my>act, which is no"),
    ):
        registered.model(dense(7, "gelu")).save(own / "net.keras")
        assert built(str(own / "net.keras")), "names of Keras' own are none"
        registered.model(layer).save(own / "net.keras")
        with pytest.raises(RequestError, match=words):
            built(str(own / "net.keras"))


def test_a_loss_of_ones_own_does_not_matter(own, tensorflow):
    import five_lines

    model = five_lines.dense(SHAPE, CLASSES)
    model.compile(loss=lambda true, given: given)
    model.save(own / "net.keras")
    assert built(str(own / "net.keras"))


@pytest.mark.parametrize("name", ["leg.h5", "a/leg.HDF5", "net.pt", "folder/saved", "five.dense"])
def test_files_of_other_kinds_are_answered_with_what_is_taken(name, own):
    words = "--model: expected FILE.keras or package.module:function, received"
    with pytest.raises(RequestError, match=words) as caught:
        named(name)
    old = name.lower().endswith(("h5", "hdf5"))
    assert ("open it with keras.models.load_model and save" in str(caught.value)) is old


def archive(path, members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return str(path)


def test_an_archive_that_unpacks_to_far_more_is_refused_before_it_is_read(own, monkeypatch):
    import h5py

    monkeypatch.setattr(keras_file, "_SLACK", 1 << 16)
    monkeypatch.setattr(keras_file, "_MOST_JSON", 1 << 16)
    large = bytes(1 << 20)
    with h5py.File(own / "small.h5", "w") as file:  # nothing of it is stored
        file.create_dataset("kernel", (1 << 15, 1 << 15), "float32", chunks=True)
    for members, words in (
        ({"config.json": "{}", "model.weights.h5": large}, "unpack to 1.0 MiB or more; expected a"),
        ({"config.json": b" " * (1 << 20)}, "unpack to 1.0 MiB or more; expected a file as Keras"),
        (
            {"config.json": "{}", "model.weights.h5": (own / "small.h5").read_bytes()},
            "unpack to 4.0 GiB or more",
        ),
    ):
        path = archive(own / "net.keras", members)
        with pytest.raises(RequestError, match=words) as caught:
            keras_file._refuse_large(path)
        assert str(caught.value).startswith("--model: ") and "memory" not in str(caught.value)


class _Small:
    """An entry of an archive that declares one byte."""

    file_size = 1

    def __init__(self, packed):
        self.packed, self.compress_type, self.filename = packed, 8, packed.filename


def test_what_is_really_read_counts_where_the_archive_declares_less(own, monkeypatch):
    monkeypatch.setattr(keras_file, "_SLACK", 1 << 16)
    path = archive(own / "net.keras", {"config.json": "{}", "assets/a": bytes(1 << 20)})
    declared, opened = zipfile.ZipFile.infolist, zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile, "infolist", lambda self: [_Small(p) for p in declared(self)]
    )
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda self, small: opened(self, small.packed))
    with pytest.raises(RequestError, match="unpack to 1.0 MiB or more"):
        keras_file._refuse_large(path)


def test_archives_that_unpack_without_a_bound_or_are_damaged_are_none(own):
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = archive(own / "net.keras", {"config.json": "{}"}, kind)
        with pytest.raises(RequestError, match="saved by Keras 3"):
            keras_file._refuse_large(path)
    path = archive(own / "net.keras", {"config.json": "{}" * 50}, zipfile.ZIP_STORED)
    content = (own / "net.keras").read_bytes()
    (own / "net.keras").write_bytes(content.replace(b"{}{}{}", b"{}[]{}", 1))
    with pytest.raises(RequestError, match="saved by Keras 3"):
        keras_file._refuse_large(path)


def test_statistics_of_normalisation_are_kept_from_the_file(own, tensorflow):
    import keras

    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(IMAGES * 3 + 1)
    x = images = keras.Input(SHAPE)
    x = keras.layers.Dense(CLASSES)(keras.layers.Flatten()(layer(x)))
    keras.Model(images, x).save(own / "net.keras")
    model = built(str(own / "net.keras"))
    kept = next(x for x in models.layers_of(model) if hasattr(x, "adapt"))
    assert np.allclose(kept.variance.numpy(), layer.variance.numpy())


def test_statistics_of_layers_that_gather_none_are_kept(own, tensorflow):
    from rethink_tf.data import types
    from rethink_tf.training.evaluation import Evaluation
    from rethink_tf.training.train_step import Steps

    x, y, *_ = class_folders.arrays()
    y = y.astype(np.int32)
    table = types.Table(np.arange(70), x, y, y, CLASSES)
    steps = Steps(
        lambda: built("five_lines:normalised"),
        tensorflow.distribute.OneDeviceStrategy("/CPU:0"),
        table,
        batch_size=10,
        input_size=12,
        augment="none",
        momentum=0.9,
        seed=0,
        jit=False,
    )
    found = [x for x in models.layers_of(steps.model) if hasattr(x, "moving_variance")]
    inner, inference = sorted(found, key=lambda layer: layer.moving_variance.shape[0])
    steps.begin_epoch(1, 0.0)
    Evaluation(steps).recalibrate()
    assert not np.allclose(inner.moving_mean, 0) and not np.allclose(inner.moving_variance, 1)
    assert np.allclose(inference.moving_variance, 1), "the model calls it as in inference"
    steps.advance(0, 7)
    assert steps.weights_finite() and steps.running()["seen"] == 70


def test_errors_of_frameworks_in_one_line():
    text = "in user code:\n\n    File x.py, line 5, in call  *\n        raise ValueError(1)\n\n"
    keras = "ValueError: Exception encountered when calling A.call().\n\n\x1b[1mwhy\x1b[0m\n\nArg"
    expected = "ValueError: Exception encountered when calling A.call(). why"
    assert keras_file.first_line(RuntimeError(text + keras)) == expected
    assert keras_file.first_line(ValueError("one\ntwo")) == "one"
    inferred = (
        "Exception encountered when calling A.call().\n\n\x1b[1mCould not automatically infer the "
        "output shape / dtype of 'a'. Either this or that. Error encountered:\n\nwhy\x1b[0m\n\nArg"
    )
    expected = "Exception encountered when calling A.call(). why"
    assert keras_file.first_line(RuntimeError(inferred)) == expected
    assert keras_file.first_line(ValueError(" ")) == "ValueError"
