"""Audit of corrupted pixels: compares the model's images with the configured corruption.

The first check compares a sample with the NumPy reference; the others need no reference. Imports no
TensorFlow.
"""

import io
from typing import Any

import numpy as np

from rethink_tf.audit.label_checks import Check, equal
from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.narrowing import present

SAMPLE = 500
BLOCK = 5000
SIGMAS = 6.0
DECODED_APART = 0.1  # largest share of an image's entries that may differ


def split_id(split: Any) -> SplitId:
    """The random streams' name for a Split."""
    return SplitId.TRAIN if split.name == "train" else SplitId.TEST


def _colours(images: np.ndarray) -> np.ndarray:
    """Each position's channels as one number: int64 [N, positions] from uint8 [N, H, W, C]."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    colours = flat[..., 0].astype(np.int64)
    for channel in range(1, flat.shape[-1]):
        colours += flat[..., channel].astype(np.int64) << 8 * channel
    return colours


def _blocks(count: int) -> list[slice]:
    """Slices of a range, small enough that 64-bit copies of their images are no burden."""
    return [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]


def _mixed(values: np.ndarray) -> np.ndarray:
    """Scatters int64 values over 64 bits, so that equal sums mean equal multisets."""
    with np.errstate(over="ignore"):
        values = (values + 0x1234567) * 0x9E3779B97F4A7C1
        values = (values ^ (values >> 29)) * 0x3F58476D1CE4E5B9
        return values ^ (values >> 32)


def multiset_kept(original: np.ndarray, got: np.ndarray, name: str) -> Check:
    """Every image has the same pixel values as its original, in any order."""
    name = f"pixel_multiset_kept_{name}"
    if got.dtype != original.dtype or got.shape != original.shape:
        return Check(
            name, False, f"expected {original.dtype} {original.shape}, received {got.dtype}"
        )
    with np.errstate(over="ignore"):
        before, after = (
            np.concatenate([_mixed(_colours(x[b])).sum(axis=1) for b in _blocks(len(x))])
            for x in (original, got)
        )
    return equal(name, before, after, "images' pixel multisets")


def some_changed(original: np.ndarray, got: np.ndarray, moved: int, name: str) -> Check:
    """Not every image is unchanged; `moved` positions of each should be permuted."""
    changed = sum(int((original[b] != got[b]).any(axis=(1, 2, 3)).sum()) for b in _blocks(len(got)))
    detail = f"{changed} of {len(got)} images differ from their originals"
    # A few positions may all receive pixels equal to the old ones.
    passed = changed > 0 or (None if moved < 16 else False)
    return Check(f"images_changed_{name}", passed, detail)


def _signatures(images: np.ndarray) -> np.ndarray:
    """A number for each position, over all images: positions that move together keep it."""
    weights = _mixed(np.arange(len(images), dtype=np.int64))
    with np.errstate(over="ignore"):
        parts = [weights[b] @ _colours(images[b]) for b in _blocks(len(images))]
        return np.sum(parts, axis=0)


def recovered_permutation(original: np.ndarray, got: np.ndarray) -> np.ndarray | None:
    """The one permutation of positions that made `got` of `original`, or None if there is none.

    Positions that are equal in all images (the rim of MNIST) are matched in any order.
    """
    before, after = _signatures(original), _signatures(got)
    order_before, order_after = (np.argsort(x, kind="stable") for x in (before, after))
    if not np.array_equal(before[order_before], after[order_after]):
        return None
    permutation = np.empty(len(before), np.int64)
    permutation[order_after] = order_before
    return permutation


def shuffled_alike(
    train: Any,
    train_got: np.ndarray,
    test: Any,
    test_got: np.ndarray | None,
    shuffle_fraction: float,
) -> list[Check]:
    """One permutation for all images, training and test; it moves the configured share.

    `test_got` is None if the test images are not permuted; then they are not checked.
    """
    permutation = recovered_permutation(train.images, train_got)
    name = "one_permutation_for_training"
    if permutation is None:
        return [Check(name, False, "no single permutation of positions explains the images")]
    positions = len(permutation)
    moved = int((permutation != np.arange(positions)).sum())
    expected = round(shuffle_fraction * positions)
    # A random permutation leaves one position in place on average, and 16 with chance below 1e-13.
    # Positions that are equal in all images can hide that many moves, or look like that many.
    ties = len(_tied_positions(_signatures(train.images)))
    good = expected - 16 - ties <= moved <= expected + ties
    checks = [
        Check(name, True, f"{len(train_got)} images"),
        Check(
            "moved_positions",
            # Undecided if every position equals another in all images.
            None if expected - 16 - ties <= 0 and good else good,
            f"{moved} of {positions}, expected about {expected}",
        ),
    ]
    if test_got is None:
        return checks
    # Both splits together, since positions that are equal in all training images (MNIST's rim)
    # differ in test images.
    before, after = (
        _mixed(_signatures(a)) + _signatures(b)
        for a, b in ((train.images, test.images), (train_got, test_got))
    )
    alike = int(np.isin(after, before).sum())
    same = np.array_equal(np.sort(before), np.sort(after))
    detail = f"{alike} of {positions} positions moved as in the training images"
    checks.append(Check("same_permutation_for_test", same, detail))
    return checks


def _tied_positions(signatures: np.ndarray) -> np.ndarray:
    values, counts = np.unique(signatures, return_counts=True)
    return np.flatnonzero(np.isin(signatures, values[counts > 1]))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of entries, each image and channel about its own mean."""
    a = a - a.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    b = b - b.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    scale = np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64))
    return float((a * b).sum(dtype=np.float64) / max(scale, 1e-12))


def shuffled_apart(
    original: np.ndarray, got: np.ndarray, shuffle_fraction: float, name: str
) -> list[Check]:
    """A different permutation for each image; the remaining correlation is that of the share."""
    moved = round(shuffle_fraction * _positions(got))
    single = len(original) > 1 and recovered_permutation(original, got) is not None
    single = single or _one_for_some(original, got, moved)
    detail = f"{len(original)} images, {moved} positions permuted"
    checks = [
        Check(
            f"differs_from_image_to_image_{name}",
            None if len(original) < 2 or moved < 2 else not single,
            "one permutation explains several images" if single and moved > 1 else detail,
        )
    ]
    sample = slice(0, 5000)
    correlation = _correlation(original[sample].astype(np.float32), got[sample])
    expected = 1 - moved / _positions(got)
    # Each image has its own permutation. Neighbouring pixels are similar, so a moved pixel
    # sometimes lands on a similar one.
    tolerance = 0.02 + SIGMAS / np.sqrt(min(len(got), 5000) * _positions(got) / 20)
    good = abs(correlation - expected) < tolerance
    detail = f"{correlation:.4f} with the originals, expected {expected:.4f} +- {tolerance:.4f}"
    checks.append(Check(f"correlation_{name}", bool(good), detail))
    return checks


def _one_for_some(original: np.ndarray, got: np.ndarray, moved: int) -> bool:
    """Whether some eight neighbours were permuted alike, as where one is drawn per batch."""
    if moved < _positions(got) / 2:  # a few moves may all hit equal pixels
        return False
    for start in np.linspace(0, len(got) - 8, min(100, len(got) // 8)).astype(int):
        some = slice(start, start + 8)
        telling = len(np.unique(_signatures(original[some]))) > _positions(got) / 8
        if telling and recovered_permutation(original[some], got[some]) is not None:
            return True
    return False


def _positions(images: np.ndarray) -> int:
    return images.shape[1] * images.shape[2]


def gaussian_moments(
    original: np.ndarray, got: np.ndarray, pixel_mix: float, moments: Moments, name: str
) -> list[Check]:
    """The noise part has the training set's mean and variance per channel, and no image in it."""
    if got.dtype != np.float32:
        return [Check(f"gaussian_{name}", False, f"expected float32, received {got.dtype}")]
    mix, (mean, std) = pixel_mix, moments
    sample = slice(0, 5000)
    images = original[sample].astype(np.float32)
    noise = (got[sample] - np.float32(1 - mix) * images) / np.float32(mix)
    draws = noise[..., 0].size
    z_mean = np.abs(noise.mean(axis=(0, 1, 2), dtype=np.float64) - mean)
    z_mean = float((z_mean / (std / np.sqrt(draws))).max())
    ratio = noise.var(axis=(0, 1, 2), dtype=np.float64) / np.square(std)
    z_variance = float((np.abs(ratio - 1) / np.sqrt(2 / draws)).max())
    correlation = _correlation(images, noise)
    # For a mix the prediction needs only the standard deviation of the images, over 5,000 of them.
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    signal = (1 - mix) ** 2 * centred.var(dtype=np.float64)
    predicted = np.sqrt(signal / (signal + mix**2 * np.mean(np.square(std))))
    measured = _correlation(images, got[sample])
    limit = SIGMAS / np.sqrt(images.size)
    return [
        Check(f"gaussian_mean_{name}", z_mean < SIGMAS, f"at most {z_mean:.1f} sigma off"),
        Check(f"gaussian_variance_{name}", z_variance < SIGMAS, f"at most {z_variance:.1f} sigma"),
        Check(
            f"gaussian_noise_free_of_image_{name}",
            abs(correlation) < limit,
            f"correlation {correlation:.5f}, chance below {limit:.5f}",
        ),
        Check(
            f"correlation_{name}",
            abs(measured - predicted) < 0.02 + limit,
            f"{measured:.4f} with the originals, expected {predicted:.4f}",
        ),
    ]


def equals_reference(
    split: Any, got: np.ndarray, corruption: Corruption, moments: Moments | None
) -> Check:
    """A sample, spread over the split, against the NumPy reference; Gaussian to 1e-4 std."""
    chosen = np.unique(np.linspace(0, len(got) - 1, min(SAMPLE, len(got))).astype(int))
    reference = pixel_corruptions.corrupt_pixels(
        split.images[chosen],
        split.index[chosen],
        corruption,
        split=split_id(split),
        moments=moments,
    )
    name = f"pixels_equal_reference_{split.name}"
    if corruption.pixels != "gaussian":
        return equal(name, got[chosen], reference, "sampled images")
    std = present(moments, "the moments of Gaussian pixels").std
    worst = float(np.abs((got[chosen] - reference) / np.float32(std)).max())
    return Check(
        name, worst < 1e-4, f"at most {worst:.1e} deviations apart on {len(chosen)} images"
    )


def decoded_alike(split: Any, files: list[bytes], got: np.ndarray) -> Check:
    """JPEG images as they were decoded, against Pillow's decoder and NumPy's resizing.

    They differ in rounding and in the interpolation of colours at the edge of a part, so a few
    entries may differ by more than one grey level.

    Args:
        split: the streamed Split.
        files: JPEG bytes.
        got: uint8 [n, size, size, 3], the same as the pipeline decoded them.
    """
    from PIL import Image

    name, worst, compared = f"decoded_as_by_another_{split.name}", 0.0, 0
    for data, image in zip(files, got, strict=True):
        with Image.open(io.BytesIO(data)) as file:
            if file.format != "JPEG" or file.mode not in ("RGB", "L"):
                continue  # decoders convert other colour spaces differently
            pixels = np.asarray(file.convert("RGB"), np.float64)
        compared += 1
        far = np.abs(central_part(pixels, len(image)) - image) > 1.5
        worst = max(worst, float(far.mean()))
    detail = f"at most {100 * worst:.1f}% of an image's entries differ, of {compared} images"
    return Check(name, (worst < DECODED_APART) if compared else None, detail)


def central_part(image: np.ndarray, size: int) -> np.ndarray:
    """The middle 87.5% of height and width of [H, W, C], bilinear at another size: float64."""
    top, left = (int((side - side * 0.875) / 2) for side in image.shape[:2])
    part = image[top : image.shape[0] - top, left : image.shape[1] - left]
    for axis in (0, 1):  # half-pixel centres, without a low-pass filter
        length = part.shape[axis]
        where = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(where).astype(int)
        share = (where - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        high = np.minimum(low + 1, length - 1)
        part = part.take(low, axis) * (1 - share) + part.take(high, axis) * share
    return part


def standardised(seen: np.ndarray) -> Check:
    """Each image as the model sees it has mean 0 and std 1 (constant ones: std 0)."""
    means = np.abs(seen.mean(axis=(1, 2, 3)))
    stds = seen.std(axis=(1, 2, 3))
    flat = stds < 1e-3
    worst = float(max(means.max(), np.abs(stds[~flat] - 1).max(initial=0)))
    return Check("standardised", worst < 1e-3, f"off by at most {worst:.1e} on {len(seen)} images")


def channel_normed(seen: np.ndarray, images: np.ndarray, norm: Moments) -> Check:
    """Each channel as the model sees it is (image - mean) / std, to 1e-4."""
    reference = (images.astype(np.float64) - norm.mean) / norm.std
    worst = float(np.abs(seen - reference).max())
    return Check("channel_normed", worst < 1e-4, f"off by at most {worst:.1e}")


def before_training(
    train: Any,
    train_got: np.ndarray,
    test: Any,
    test_got: np.ndarray,
    corruption: Corruption,
    moments: Moments | None = None,
) -> list[Check]:
    """All checks of the images that the pipeline yields.

    Args:
        train, test: the Splits that the pipeline read, cropped.
        train_got, test_got: images of the Tables that it yielded.
        corruption: as configured.
        moments: of Gaussian pixels.
    """
    pixels, share = corruption.pixels, corruption.shuffle_fraction
    both = [(train, train_got), (test, test_got)]
    untouched = [pair for pair in both if corruption.of_split(pair[0].name).pixels == "original"]
    both = [pair for pair in both if pair not in untouched]
    plain = [equal(f"images_untouched_{s.name}", got, s.images, "images") for s, got in untouched]
    if pixels == "original":
        return plain
    checks = plain + [equals_reference(split, got, corruption, moments) for split, got in both]
    if pixels in ("shuffled", "random"):
        checks += [multiset_kept(split.images, got, split.name) for split, got in both]
        moved = round(share * _positions(train_got))
        checks += [some_changed(split.images, got, moved, split.name) for split, got in both]
    if pixels == "shuffled":
        permuted = None if untouched else test_got
        checks += shuffled_alike(train, train_got, test, permuted, share)
    for split, got in both:
        if pixels == "random":
            checks += shuffled_apart(split.images, got, share, split.name)
        if pixels == "gaussian":
            noise = present(moments, "the moments of Gaussian pixels")
            mix = corruption.pixel_mix
            checks += gaussian_moments(split.images, got, mix, noise, split.name)
    return checks
