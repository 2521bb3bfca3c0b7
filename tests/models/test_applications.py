"""Networks of keras.applications by name: which there are, what is built, what is refused."""

import re

import numpy as np
import pytest
from report_runs import write_run

import rethink_tf as rt
from rethink_tf import models
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.errors import RequestError
from rethink_tf.models.custom import applications
from rethink_tf.models.custom import name as custom_models
from rethink_tf.runs import pretrained
from rethink_tf.training import input_pipeline

SHAPE = (32, 32, 1)


def resolved(name, dataset="digits", **fields):
    return resolve(RunConfig(model=f"keras:{name}", dataset=dataset, **fields))


@pytest.fixture(scope="module")
def mobile(tensorflow):
    return models.build("keras:MobileNetV2", SHAPE, 10)


@pytest.mark.parametrize("name", applications.SMALLEST)
def test_each_name_resolves_to_a_size_that_its_network_accepts(name):
    config = resolved(name)
    assert custom_models.is_custom(config.model) and models.accepts(config.model)
    assert config.input_size == applications.SMALLEST[name] > 16, "the digits' own size"
    assert run_id(config).startswith(f"{name}-")
    assert (config.learning_rate, config.lr_decay, config.epochs) == (0.01, 0.98, 100)


def test_the_names_are_those_of_keras(tensorflow):
    from keras import applications as keras_applications

    assert set(applications.SMALLEST) == {n for n in dir(keras_applications) if n[0].isupper()}


@pytest.mark.parametrize("name", applications.SMALLEST)
def test_keras_refuses_smaller_images_than_the_smallest(name, tensorflow):
    from keras import applications as keras_applications

    side = applications.SMALLEST[name] - 1
    with pytest.raises(ValueError, match="must be at least"):
        getattr(keras_applications, name)(input_shape=(side, side, 3), weights=None)


def test_the_name_counts_and_stays_the_same():
    assert run_id(resolved("MobileNetV2")) == "MobileNetV2-76c41bd420cd"
    assert run_id(resolved("ResNet50V2")) != run_id(resolved("ResNet50"))


def test_larger_images_keep_their_size_and_smaller_inputs_are_refused():
    assert resolved("MobileNetV2", "cifar10").input_size == 32
    assert resolved("Xception", "imagenet2012").input_size == 299
    assert resolved("MobileNetV2", input_size=48).input_size == 48
    with pytest.raises(RequestError, match="--input_size: expected at least 71 .*received 64"):
        resolved("Xception", input_size=64)
    with pytest.raises(RequestError, match="--augment=crop: .*type --augment=none"):
        resolved("MobileNetV2", "cifar10", augment="crop")


@pytest.mark.parametrize(
    "name, near",
    [("resnet50v2", "ResNet50V2"), ("MobilNetV2", "MobileNetV2"), ("VGG-16", "VGG16"), ("q", None)],
)
def test_a_name_that_keras_has_not_is_answered_with_the_nearest(name, near):
    for ask in (lambda: resolved(name), lambda: rt.build_model(f"keras:{name}", SHAPE, 10)):
        with pytest.raises(RequestError, match=f"received keras:{name}") as caught:
            ask()
        assert str(caught.value).endswith(f"did you mean --model=keras:{near}?") is bool(near)
        assert "\n" not in str(caught.value) and "Xception" in str(caught.value)


@pytest.mark.parametrize(
    "name, parameters", [("MobileNetV2", 3_538_984), ("ResNet50V2", 25_613_800)]
)
def test_a_network_has_its_published_number_of_parameters(name, parameters, tensorflow):
    model = rt.build_model(f"keras:{name}", (32, 32, 3), 1000)
    assert model.count_params() == parameters and model.output.shape == (None, 1000)


def test_logits_come_out_and_images_go_in_standardised(mobile):
    images = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
    logits = mobile(images, training=False).numpy()
    assert logits.shape == (3, 10) and logits.dtype == np.float32
    assert logits.min() < 0 and not np.allclose(logits.sum(axis=1), 1)
    assert models.conversions(mobile, "standardise") == [
        "keras:MobileNetV2: weights drawn anew by --seed; its outputs are logits"
    ]


def test_weights_are_drawn_by_the_seed(mobile):
    first = mobile.get_weights()
    same, other = (
        models.build("keras:MobileNetV2", SHAPE, 10, seed=s).get_weights() for s in (0, 1)
    )
    assert all(map(np.array_equal, first, same))
    assert not np.array_equal(first[0], other[0])


def test_the_scaling_that_a_network_brings_is_left_out_or_told(tensorflow):
    without = models.build("keras:MobileNetV3Small", SHAPE, 10, precision="mixed_bfloat16")
    assert not any(type(x).__name__ == "Rescaling" for x in models.layers_of(without))
    assert without.output.dtype == "float32", "in mixed precision too"
    (note,) = models.conversions(without, "standardise")
    assert "images is switched off" in note
    kept = models.build("keras:EfficientNetB0", SHAPE, 10)
    _, note = models.conversions(kept, "standardise")
    assert re.search(r"\(times 1/255\), .*scaled already, .*--preprocess=none", note)


def test_what_an_application_has_no_place_for_is_refused(tensorflow, monkeypatch):
    import keras

    for flag in ("weight_decay", "dropout"):
        with pytest.raises(RequestError, match=f"--{flag}: keras:VGG16 takes no {flag}; type"):
            models.build("keras:VGG16", SHAPE, 10, **{flag: 0.1})
    with pytest.raises(RequestError, match="at least 32x32 for keras:VGG16, received 16x16"):
        models.build("keras:VGG16", (16, 16, 1), 10)
    monkeypatch.delattr(keras.applications, "VGG16")
    with pytest.raises(RequestError, match=r"Keras 3\.\S+ has no keras:VGG16"):
        models.build("keras:VGG16", SHAPE, 10)


def test_a_child_sees_images_as_its_parent_did(offline, tensorflow):
    own = resolved("MobileNetV2")
    folder = write_run(
        offline / "runs", own, weights_hash="0" * 16, image_shape=[16, 16, 1], classes=10
    )
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | {"dataset": "digits", "corrupt": 1.0}
    child = resolve(pretrained.adopt(RunConfig(init_from=str(folder), **wanted), "no runs"))
    images = [input_pipeline.load(config).train.images for config in (own, child)]
    assert images[0].shape == (1500, 32, 32, 1) and np.array_equal(*images)


def test_a_run_resizes_whole_images_and_prints_it(tensorflow, offline):
    lines = []
    fields = {"corrupt": 1.0, "examples": 64, "epochs": 1}
    record = rt.run(
        RunConfig(model="keras:MobileNet", dataset="digits", **fields),
        offline / "runs",
        say=lines.append,
    )
    assert record.run_dir.name.startswith("MobileNet-") and record.epochs == 1
    assert record.arrivals[1] == "images of 16x16 are resized whole to 32x32"
    assert record.arrivals[1] in "\n".join(lines)
    assert record.image_shape == [16, 16, 1]
    published, classes, colours = 4_231_976, 990 * (1024 + 1), 2 * 9 * 32
    assert record.exact and record.parameters == published - classes - colours
