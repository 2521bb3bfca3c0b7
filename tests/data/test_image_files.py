"""Image files of other kinds than 8 opaque bits and one frame: converted rightly or refused."""

import io
import re
import shutil

import class_folders
import numpy as np
import pytest
from PIL import Image

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import image_files
from rethink_tf.errors import RequestError

RAMP = np.array([[0, 255], [256, 65_535]])
UPPER = [[0, 0], [1, 255]]


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_of_16_bits_the_upper_8_are_taken(ending, tmp_path):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(RAMP.astype(np.uint16)).save(path)
    assert image_files.head(path) == ((2, 2), False, 16, 1)
    pixels = image_files.decode(path, 2, colour=False).pixels
    assert pixels.dtype == np.uint8 and pixels[..., 0].tolist() == UPPER


def test_a_pgm_of_12_bits_is_scaled(tmp_path):
    path = tmp_path / "image.pgm"
    path.write_bytes(b"P5 1 2 4095\n" + b"\x0f\xff" * 2)
    assert image_files.head(path).bits == 16
    assert image_files.decode(path, 1, colour=False).pixels.tolist() == [[[255]]]


@pytest.mark.parametrize("dtype, bits", [(np.uint8, 8), (np.int32, 32), (np.float32, 32)])
def test_the_depth_of_a_tiff(dtype, bits, tmp_path):
    Image.fromarray((RAMP // 257).astype(dtype)).save(tmp_path / "image.tif")
    assert image_files.head(tmp_path / "image.tif").bits == bits


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
    said = "1 images with 16 bits per channel: the upper 8 bits are used"
    assert said in datasets.info(f"folder:{root}").notes
    train, test = datasets.load(f"folder:{root}")
    images = np.concatenate([train.images, test.images])
    assert sum((image == 0x12).all() for image in images) == 1


# What is transparent


def _glyph(ink, mode="RGBA"):
    """A square in an ink whose colour below the transparent part is the same ink: 8x8."""
    image = Image.new("RGBA", (8, 8), (*ink, 0))
    image.paste((*ink, 255), (2, 2, 6, 6))
    return image.convert(mode)


SQUARE = np.full((8, 8), 255)
SQUARE[2:6, 2:6] = 0


@pytest.mark.parametrize("mode, ending", [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp")])
def test_what_is_transparent_is_put_on_white(mode, ending, tmp_path):
    path = tmp_path / f"image.{ending}"
    _glyph((0, 0, 0), mode).save(path, lossless=True)
    found = image_files.decode(path, 8, colour=True)
    assert np.array_equal(found.pixels, SQUARE[..., None].repeat(3, axis=2))
    assert (found.transparent, found.blank) == (True, False)


def test_half_of_it_is_seen_through_half(tmp_path):
    Image.new("RGBA", (1, 1), (200, 0, 100, 51)).save(tmp_path / "image.png")
    found = image_files.decode(tmp_path / "image.png", 1, colour=True)
    assert found.pixels.tolist() == [[[244, 204, 224]]]  # a fifth of it, and four of white


def test_one_transparent_value_of_a_palette_or_of_grey(tmp_path):
    palette = Image.fromarray((SQUARE // 255).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 7, 7, 7])
    for name, image, value in (
        ("palette.png", palette, 1),
        ("palette.gif", palette, 1),
        ("grey.png", Image.fromarray((SQUARE // 255 * 9).astype(np.uint8)), 9),
        ("deep.png", Image.fromarray((SQUARE // 255 * 9).astype(np.uint16)), 9),
    ):
        image.save(tmp_path / name, transparency=value)
        found = image_files.decode(tmp_path / name, 8, colour=False)
        assert np.array_equal(found.pixels[..., 0], SQUARE), name
        assert found.transparent and not found.blank, name


def test_alpha_that_hides_nothing_changes_nothing(tmp_path):
    opaque = class_folders.picture(1, 2)
    opaque.convert("RGBA").save(tmp_path / "image.png")
    found = image_files.decode(tmp_path / "image.png", 12, colour=True)
    assert np.array_equal(found.pixels, np.asarray(opaque))
    assert (found.transparent, found.blank) == (False, False)


def test_transparent_images_are_counted(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    _glyph((0, 0, 0)).resize((12, 12)).save(root / "class_0" / "black.png")
    _glyph((0, 90, 0)).resize((12, 12)).save(root / "class_1" / "green.png")
    assert re.search(
        "2 transparent images: .*white background", str(datasets.info(f"folder:{root}").notes)
    )
    _glyph((255, 255, 255)).resize((12, 12)).save(root / "class_1" / "white.png")
    said = (
        "3 transparent images: drawn on a white background; 1 of them are blank there: "
        "class_1/white.png"
    )
    assert said in datasets.info(f"folder:{root}").notes


def test_images_that_show_nothing_on_white_are_refused(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    _glyph((255, 255, 255)).save(root / "class_1" / "white.png")
    hidden = class_folders.picture(1, 1).convert("RGBA")
    hidden.putalpha(0)  # a picture in full, below full transparency
    hidden.save(root / "class_1" / "hidden.png")
    with pytest.raises(RequestError) as caught:
        datasets.info(f"folder:{root}")
    assert re.search(
        rf"--dataset: 2 images of {re.escape(str(root))} are transparent, and 2 .*blank .*"
        r"class_1/hidden\.png, class_1/white\.png; save them without transparency",
        str(caught.value),
    )


# Several frames


@pytest.mark.parametrize("ending", ["gif", "webp", "tif", "png"])
def test_of_several_frames_the_first_is_taken_and_named(ending, offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    frames = [Image.new("L", (12, 12), level) for level in (200, 0, 90)]
    path = root / "class_0" / f"moving.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert image_files.head(path).frames == 3
    assert abs(int(image_files.decode(path, 12, colour=False).pixels.mean()) - 200) < 3
    said = f"1 images with several frames: the first is used: class_0/moving.{ending}"
    assert said in datasets.info(f"folder:{root}").notes


def test_folders_beside_train_and_test_are_said(offline):
    for name in ("train", "test"):
        class_folders.draw(offline / "set" / name, classes=2, each=2)
    spec = f"folder:{offline}/set"
    assert datasets.info(spec).notes == ()
    for name in ("val", "spare", ".hidden"):
        class_folders.draw(offline / "set" / name, classes=2, each=2)
    expected = "folders used for neither training nor testing: spare, val"
    assert datasets.info(spec).notes == (expected,)
    shutil.rmtree(offline / "set" / "test")
    assert datasets.info(spec).notes == (
        "training images from train, test images from val, a folder for validation",
        "folders used for neither training nor testing: spare",
    )
