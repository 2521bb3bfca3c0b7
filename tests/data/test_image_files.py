"""Image files of other depths than 8 bits: converted rightly or refused, never clipped."""

import io

import class_folders
import numpy as np
import pytest
from PIL import Image

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import image_files

RAMP = np.array([[0, 255], [256, 65_535]])
UPPER = [[0, 0], [1, 255]]


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_of_16_bits_the_upper_8_are_taken(ending, tmp_path):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(RAMP.astype(np.uint16)).save(path)
    assert image_files.head(path) == ((2, 2), False, 16)
    pixels, _ = image_files.decode(path, 2, colour=False)
    assert pixels.dtype == np.uint8 and pixels[..., 0].tolist() == UPPER


def test_a_pgm_of_12_bits_is_scaled(tmp_path):
    path = tmp_path / "image.pgm"
    path.write_bytes(b"P5 1 2 4095\n" + b"\x0f\xff" * 2)
    assert image_files.head(path)[2] == 16
    assert image_files.decode(path, 1, colour=False)[0].tolist() == [[[255]]]


@pytest.mark.parametrize("dtype, bits", [(np.uint8, 8), (np.int32, 32), (np.float32, 32)])
def test_the_depth_of_a_tiff(dtype, bits, tmp_path):
    Image.fromarray((RAMP // 257).astype(dtype)).save(tmp_path / "image.tif")
    assert image_files.head(tmp_path / "image.tif")[2] == bits


def test_a_tiff_of_12_bits_has_no_known_scale():
    image = Image.open(io.BytesIO(_tiff_of_12_bits()))
    assert image.mode == "I;16" and image_files.bits(image) == 32


def _tiff_of_12_bits() -> bytes:
    """A little-endian TIFF of 2x1 pixels: its directory alone, which is all that is read."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    entries = [np.array([tag, 3, 1, 0, value, 0], "<u2").tobytes() for tag, value in tags.items()]
    return b"II*\0\x08\0\0\0" + np.uint16(len(tags)).tobytes() + b"".join(entries) + b"\0" * 4


def test_images_of_16_bits_are_said(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    deep = Image.fromarray(np.full((12, 12), 0x1234, np.uint16))
    deep.save(root / "class_0" / "deep.png")
    said = "images of 16 bits a pixel: 1; their upper 8 bits are taken"
    assert said in datasets.info(f"folder:{root}").notes
    train, test = datasets.load(f"folder:{root}")
    images = np.concatenate([train.images, test.images])
    assert sum((image == 0x12).all() for image in images) == 1


def test_folders_beside_train_and_test_are_said(offline):
    for name in ("train", "test"):
        class_folders.draw(offline / "set" / name, classes=2, each=2)
    spec = f"folder:{offline}/set"
    assert datasets.info(spec).notes == ()
    for name in ("val", "spare", ".hidden"):
        class_folders.draw(offline / "set" / name, classes=2, each=2)
    expected = "folders used for neither training nor testing: spare, val"
    assert datasets.info(spec).notes == (expected,)
    (offline / "set" / "test").rename(offline / "set" / "validation")
    expected = "folders used for neither training nor testing: spare, validation"
    assert datasets.info(spec).notes == (expected,)
