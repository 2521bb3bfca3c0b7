"""From a configuration to two audited Tables; a pipeline with a defect is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import noise_file, pipeline
from rethink_tf.data import registry as datasets
from rethink_tf.data.types import Split
from rethink_tf.errors import AuditError, ExitCode, RequestError
from rethink_tf.runs import results
from rethink_tf.training import input_pipeline
from rethink_tf.training import run as train

TEST = SplitId.TEST
ORIGINAL, SHUFFLED, RANDOM, GAUSSIAN = (
    {"pixels": p} for p in ("original", "shuffled", "random", "gaussian")
)
KINDS = [
    ORIGINAL,
    SHUFFLED,
    {"pixels": "shuffled", "shuffle_fraction": 0.3},
    RANDOM,
    {"pixels": "random", "shuffle_fraction": 0.3},
    GAUSSIAN,
    {"pixels": "gaussian", "pixel_mix": 0.3},
]
NAMES = ["-".join(map(str, kind.values())) for kind in KINDS]


def resolved(**changes):
    return run_config.resolve(RunConfig(**({"model": "mlp_1x512", "dataset": "digits"} | changes)))


def load(**changes):
    return input_pipeline.load(resolved(**changes), say=lambda _: None)


@pytest.fixture
def colours(monkeypatch):
    """Takes the place of CIFAR-10: 400 and 100 images of uneven channels."""

    def split(name, n):
        draw = np.random.default_rng(n)
        images = draw.integers(0, [100, 200, 256], [n, 32, 32, 3]).astype(np.uint8)
        images[:, 0] = 255  # outside of the window that the model sees
        index = np.arange(n, dtype=np.int64)
        return Split(name, index, images, (index % 10).astype(np.int32), 10)

    both = split("train", 400), split("test", 100)
    monkeypatch.setattr(datasets, "load", lambda *_, **__: both)
    return both


def test_held_out_examples_take_the_place_of_the_test_set():
    plain, found = load(examples=1000), load(examples=1000, held_out=100)
    np.testing.assert_array_equal(found.train.index, plain.train.index)
    assert found.test.name == "test" and found.test.num_examples == 100
    assert not set(found.test.index) & set(found.train.index)
    whole = load().train
    rows = np.searchsorted(whole.index, found.test.index)
    np.testing.assert_array_equal(whole.index[rows], found.test.index)
    np.testing.assert_array_equal(whole.images[rows], found.test.images)
    np.testing.assert_array_equal(whole.labels[rows], found.test.labels)
    counts = np.bincount(found.test.labels)
    assert counts.max() - counts.min() <= 2, "class-balanced, as both of which it is the difference"


def test_held_out_examples_are_audited_and_sealed():
    source = load(examples=1000, held_out=100, corrupt=1.0, pixels="random")
    found = input_pipeline.audited(source)
    np.testing.assert_array_equal(found.test.given, source.test.labels)
    assert found.test_seal.num_examples == 100
    assert all(check.passed is not False for check in found.checks)


def test_held_out_examples_that_are_trained_on_are_refused():
    source = load(examples=1000, held_out=100)
    rows = np.arange(7)
    seen = {name: getattr(source.train, name)[rows] for name in ("index", "images", "labels")}
    test = Split("test", **seen, num_classes=10)
    with pytest.raises(AuditError, match="held_out_not_trained_on: FAILED .7 of 7 "):
        input_pipeline.audited(replace(source, test=test))
    input_pipeline.audited(replace(source, test=test, held_out=False))


def test_the_memory_is_that_of_the_examples_that_are_tested_on():
    info, plain = datasets.info("digits"), resolved(examples=50)
    both = [
        input_pipeline.memory(config, info, 1)
        for config in (plain, replace(plain, held_out=info.num_test), replace(plain, held_out=1))
    ]
    assert both[0] == both[1] != both[2]


def test_the_corruption_is_that_of_the_configuration():
    source = load(corrupt=0.25, label_noise="pair_flip", seed=5, examples=50)
    assert source.corruption == Corruption(corrupt=0.25, label_noise="pair_flip", seed=5)
    assert source.moments is None and source.file_labels is None
    source = load(pixels="random", shuffle_fraction=0.4)
    assert source.corruption == Corruption(pixels="random", shuffle_fraction=0.4)
    source = load(pixels="gaussian", pixel_mix=0.2)
    assert source.corruption == Corruption(pixels="gaussian", pixel_mix=0.2)
    assert source.moments is not None


@pytest.mark.parametrize(
    "changes", [{}, {"examples": 7}, {"input_size": 4}, {"examples": 30, "seed": 3}]
)
def test_gaussian_moments_are_of_the_whole_original_training_set(changes, colours):
    moments = load(dataset="cifar10", pixels="gaussian", **changes).moments
    entries = colours[0].images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(moments.mean, entries.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, entries.std(axis=0), rtol=1e-12)
    assert moments.mean.tolist() == pytest.approx([55.9, 104.3, 131.5], abs=0.5)


def test_examples_are_taken_and_the_window_is_cut(colours):
    source = load(dataset="cifar10", examples=40, input_size=20)
    assert source.train.num_examples == 40 and source.test.num_examples == 100
    chosen = datasets.take(colours[0], 40, seed=0)
    np.testing.assert_array_equal(source.train.index, chosen.index)
    np.testing.assert_array_equal(source.train.images, chosen.images[:, 6:26, 6:26])
    np.testing.assert_array_equal(source.test.images, colours[1].images[:, 6:26, 6:26])
    whole = load(dataset="cifar10", augment="flip_rotate", input_size=20)
    assert whole.train.image_shape == whole.test.image_shape == (32, 32, 3)


@pytest.mark.parametrize("kind", KINDS[1:], ids=NAMES[1:])
def test_pixels_are_cropped_first_and_then_corrupted(kind, colours, tensorflow):
    source = load(dataset="cifar10", input_size=10, corrupt=0.5, **kind)
    first, test, _ = input_pipeline.corrupt(source)
    for table, split, part in ((first, colours[0], SplitId.TRAIN), (test, colours[1], TEST)):
        window = split.images[:, 11:21, 11:21]
        expected = pixels.corrupt_pixels(
            window, split.index, source.corruption, split=part, moments=source.moments
        )
        assert table.images.dtype == expected.dtype
        np.testing.assert_allclose(table.images, expected, rtol=0, atol=1e-3)
    assert 0.3 < (first.given != first.true).mean() < 0.6  # labels and pixels together
    np.testing.assert_array_equal(test.given, colours[1].labels)


def given_labels(path, seed=1):
    """A noise file of all digits that follows no kind of ours."""
    split, _ = datasets.load("digits")
    drawn = np.random.default_rng(seed).integers(0, 10, split.num_examples)
    given = np.where(split.labels < 5, split.labels, drawn).astype(np.int32)
    noise_file.write(path, noise_file.Noise(split.index, split.labels, given, {"by": "hand"}))
    return dict(zip(split.index.tolist(), given.tolist(), strict=True))


@pytest.mark.parametrize("examples", [None, 100])
def test_labels_from_a_file(examples, tmp_path, tensorflow):
    given = given_labels(tmp_path / "noise.csv")
    source = load(labels_from=str(tmp_path / "noise.csv"), examples=examples)
    first, test, checks = input_pipeline.corrupt(source)
    assert first.given.tolist() == [given[i] for i in first.index.tolist()]
    assert first.num_examples == (examples or 1500)
    assert (first.given[first.true < 5] == first.true[first.true < 5]).all()
    assert (first.given != first.true).mean() > 0.3
    np.testing.assert_array_equal(test.given, test.true)
    names = {check.name for check in checks}
    assert "given_equals_reference" in names and not {"changed_count", "uniformity"} & names


def test_a_file_that_changed_since_it_was_named_is_refused(tmp_path):
    path = tmp_path / "noise.csv"
    given_labels(path)
    named = resolved(labels_from=str(path))
    given_labels(path, seed=2)
    with pytest.raises(RequestError, match="noise.csv: its content changed"):
        input_pipeline.load(named, say=lambda _: None)


def test_labels_of_a_file_that_are_exchanged_on_the_way_are_refused(tmp_path, tensorflow):
    given_labels(tmp_path / "noise.csv")
    source = load(labels_from=str(tmp_path / "noise.csv"), examples=100)
    exchanged = {"file_labels": np.roll(source.file_labels, 1)}
    honest = pipeline.corrupted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "corrupted", lambda s, c, **_: honest(s, c, **exchanged))
        with pytest.raises(AuditError, match=r"given_equals_reference: FAILED \(\d+ of 100 given"):
            input_pipeline.corrupt(source)


# Through real runs


def by_another_seed_for_the_test_set(body, images, index, corruption, **more):
    seed = corruption.seed + (more["split"] == TEST)
    return body(images, index, replace(corruption, seed=seed), **more)


def clipped_on_the_device(body, images, index, corruption, **more):
    import tensorflow as tf

    return tf.clip_by_value(body(images, index, corruption, **more), 0, 255)


def one_permutation_for_all(body, images, index, corruption, **more):
    return body(images, index, replace(corruption, pixels="shuffled"), **more)


def scaled(images):
    import tensorflow as tf

    return tf.cast(images, tf.float32) / 255


def with_a_rest_of_the_image(body, images, index, corruption, **more):
    return body(images, index, replace(corruption, pixel_mix=0.9), **more)


def darker(body, images, index, corruption, **more):
    return images // 2


def redrawn(body, images, index, corruption, **more):
    redrawn.passes += 1  # first and second pass over the training set, then the test set
    seed = 1 if redrawn.passes == 2 else corruption.seed
    return body(images, index, replace(corruption, seed=seed), **more)


AGAIN = r"same_images_over_two_passes: FAILED \(200 of 200 images differ, first at 0\)"
LEFT = r"images_untouched_train: FAILED \(200 of 200 images differ, first at 0\)"
ALIKE = (
    r"same_permutation_for_test: FAILED \(\d+ of 256 positions moved as in the training images\)"
)
APART = r"differs_from_image_to_image_train: FAILED \(one permutation explains several images\)"
FREE = r"gaussian_noise_free_of_image_train: FAILED \(correlation 0\.\d+, chance below 0\.0\d+\)"


@pytest.mark.parametrize(
    "kind, defect, said",
    [
        (SHUFFLED, by_another_seed_for_the_test_set, ALIKE),
        (RANDOM, one_permutation_for_all, APART),
        (RANDOM, redrawn, AGAIN),
        (GAUSSIAN, redrawn, AGAIN),
        (
            GAUSSIAN,
            clipped_on_the_device,
            r"gaussian_variance_train: FAILED \(at most \d+\.\d sigma\)",
        ),
        (GAUSSIAN, with_a_rest_of_the_image, FREE),
        (ORIGINAL, darker, LEFT),
        (ORIGINAL, None, r"standardised: FAILED \(off by at most \d\.\de[+-]\d\d on 200 images\)"),
    ],
)
def test_a_run_with_a_defect_is_refused(kind, defect, said, tensorflow, tmp_path, monkeypatch):
    redrawn.passes = 0
    if defect is None:
        monkeypatch.setattr(pipeline, "standardise", scaled)
    else:
        body = pixels.corrupt_pixels_tf
        patched = lambda *args, **more: defect(body, *args, **more)  # noqa: E731
        monkeypatch.setattr(pixels, "corrupt_pixels_tf", patched)
    wanted = resolved(examples=200, epochs=1, **kind)
    with pytest.raises(AuditError) as refused:
        train.run(wanted, tmp_path / "run", say=lambda _: None)
    assert refused.value.exit_code == ExitCode.INVALID == 3
    message = str(refused.value)
    assert "audit: the pipeline does not yield what was asked for: " in message
    assert re.search(said, message), message
    assert "\n" not in message
    assert not (tmp_path / "run").exists(), "nothing was trained, nothing is left"


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_honest_data_pass_every_check(kind, tensorflow):
    *_, checks = input_pipeline.corrupt(load(examples=200, **kind))
    # Digits are doubled 2x2: every position equals another, and how many moved cannot be told.
    untold = ["moved_positions"] if kind.get("pixels") == "shuffled" else []
    assert [check.name for check in checks if check.passed is not True] == untold
    assert not [str(check) for check in checks if check.passed is False]
    names = [check.name for check in checks]
    assert names[-2:] == ["same_images_over_two_passes", "standardised"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS[1:], ids=NAMES[1:])
def test_the_test_images_may_stay_as_they_are(kind, tensorflow):
    source = load(examples=200, test_pixels="original", **kind)
    found = input_pipeline.audited(source)
    plain = input_pipeline.audited(load(examples=200, **kind))
    np.testing.assert_array_equal(found.test.images, source.test.images)
    np.testing.assert_array_equal(found.train.images, plain.train.images)
    assert not np.array_equal(plain.test.images, source.test.images)
    checks = {check.name: check.passed for check in found.checks}
    assert checks["images_untouched_test"] is True and False not in checks.values()
    assert "same_permutation_for_test" not in checks, "nothing that was not looked at is said"
    np.testing.assert_array_equal(found.train_seal.words, plain.train_seal.words)
    assert not np.array_equal(found.test_seal.words, plain.test_seal.words)


def test_corrupted_test_images_are_refused_where_they_should_stay(tensorflow, monkeypatch):
    monkeypatch.setattr(Corruption, "of_split", lambda self, name: self)
    tables = [input_pipeline.table(s, s.test) for s in [load(**RANDOM)]]
    monkeypatch.undo()
    source, honest = load(test_pixels="original", **RANDOM), input_pipeline.table
    monkeypatch.setattr(
        input_pipeline,
        "table",
        lambda s, split: tables[0] if split.name == "test" else honest(s, split),
    )
    with pytest.raises(AuditError, match="images_untouched_test: FAILED"):
        input_pipeline.audited(source)


def test_a_run_says_that_it_was_tested_on_held_out_examples(tmp_path, tensorflow):
    printed = []
    wanted = resolved(examples=50, held_out=40, epochs=1)
    train.run(wanted, tmp_path / "run", say=printed.append)
    assert any("of 40 held-out training examples" in line for line in printed)
    assert results.read_summary(tmp_path / "run")["test_examples"] == 40


@pytest.mark.parametrize("kind", [GAUSSIAN, SHUFFLED])
def test_a_run_is_tested_on_images_as_they_are(kind, tmp_path, tensorflow):
    wanted = resolved(examples=50, epochs=1, test_pixels="original", **kind)
    train.run(wanted, tmp_path / "run", say=lambda _: None)
    found = {check["name"] for check in results.read_summary(tmp_path / "run")["audit"]}
    assert "images_untouched_test" in found and "images_untouched_train" not in found


def test_the_checks_of_a_run_are_recorded(tmp_path, tensorflow):
    train.run(resolved(examples=50, epochs=1, **GAUSSIAN), tmp_path, say=lambda _: None)
    found = {check["name"]: check for check in results.read_summary(tmp_path)["audit"]}
    assert len(found) == 21 and "test_at_chance" in found
    assert {name for name, check in found.items() if check["passed"] is not True} == set()
    assert found["gaussian_mean_train"]["detail"].endswith(" sigma off")


def test_channel_norm_uses_the_whole_training_set(tensorflow):
    source = load(examples=200, preprocess="channel_norm")
    whole = datasets.load("digits")[0].images.astype(np.float64)
    images = source.train.images[:7]
    expected = (images - whole.mean()) / whole.std()
    np.testing.assert_allclose(source.preprocess(images), expected, atol=1e-5)
    *_, checks = input_pipeline.corrupt(source)
    assert (checks[-1].name, checks[-1].passed) == ("channel_normed", True)


def test_a_wrong_channel_norm_is_refused(tensorflow, monkeypatch):
    honest = pipeline.channel_norm
    wrong = lambda images, mean, std: honest(images, mean, 1.01 * std)  # noqa: E731
    monkeypatch.setattr(pipeline, "channel_norm", wrong)
    with pytest.raises(AuditError, match="channel_normed: FAILED"):
        input_pipeline.corrupt(load(examples=200, preprocess="channel_norm"))
