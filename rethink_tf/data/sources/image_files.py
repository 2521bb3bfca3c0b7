"""One image file, read with Pillow into a square uint8 array. Imports no TensorFlow."""

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WHITE = 255  # background of transparent images, as in most viewers


class Head(NamedTuple):
    """The header of an image: its `size` (width, height) as it is shown, whether it is in
    `colour`, the `bits` of its numbers (see `bits`), and how many `frames` it has."""

    size: tuple[int, int]
    colour: bool
    bits: int
    frames: int


class Decoded(NamedTuple):
    """An image as uint8 [side, side, 3 or 1], and the hash of its file.

    `transparent`: whether anything behind it is seen. `blank`: whether it holds something, by its
    transparency, of which on white nothing is seen.
    """

    pixels: np.ndarray
    digest: bytes
    transparent: bool
    blank: bool


def head(path: Path) -> Head | None:
    """The header of an image, or None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
            size = image.size[::-1] if turned else image.size
            return Head(size, not grey, bits(image), getattr(image, "n_frames", 1))
    except Exception:  # each of Pillow's formats raises its own exceptions
        return None


def bits(image) -> int:
    """How the numbers of an opened image are to be read: 8, 16, or 32 for those of no scale."""
    if image.mode.startswith("I;16"):
        # Pillow does not scale the 12 bits of such a TIFF to 16.
        return 32 if getattr(image, "tag_v2", {}).get(258) == (12,) else 16
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # scaled to 16 bits by Pillow
        return 16
    return 32 if image.mode in ("I", "F") else 8


def decode(path: Path, side: int, colour: bool) -> Decoded | None:
    """The first frame of an image, on white where it is transparent; None: it cannot be read."""
    from PIL import Image, ImageOps

    try:
        content = path.read_bytes()
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        image, transparent, blank = opaque(image)
        pixels = square(image, side, colour)
        return Decoded(pixels, hashlib.sha256(content).digest(), transparent, blank)
    except Exception:  # as above; here truncated files fail
        return None


def opaque(image) -> tuple[Any, bool, bool]:
    """A Pillow image on white, and `transparent` and `blank` of `Decoded`."""
    from PIL import Image

    if not image.has_transparency_data:
        return image, False, False
    if image.mode.startswith("I"):  # 16 bits, with one transparent value
        held = np.asarray(image)
        seen = held != image.info["transparency"]
        shown = Image.fromarray(np.where(seen, held, 65_535).astype(np.uint16))
    else:
        grey = image.mode in ("1", "L", "LA", "La")
        if image.mode == "La":  # Pillow can convert this mode only to LA
            image = image.convert("LA")
        image = image.convert("RGBA")
        held = np.asarray(image)
        seen = held[..., 3] == 255
        behind = Image.new("RGBA", image.size, (WHITE,) * 4)
        shown = Image.alpha_composite(behind, image).convert("L" if grey else "RGB")
    if seen.all():
        return shown, False, False
    return shown, True, _is_flat(np.asarray(shown)) and not _is_flat(held)


def _is_flat(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[:1, :1]).all())


def square(image, side: int, colour: bool) -> np.ndarray:
    """A Pillow image, opaque, as uint8 [side, side, 3 or 1]: shorter side to `side`, then the
    centre."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; others are refused before
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("RGB" if colour else "L")
    width, height = image.size
    if min(width, height) != side:
        scale = side / min(width, height)
        size = max(side, round(width * scale)), max(side, round(height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(image.size[1], image.size[0], -1)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def as_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] as [side, side, same]: `square` for an array."""
    from PIL import Image

    colour = pixels.shape[-1] == 3
    return square(Image.fromarray(pixels if colour else pixels[..., 0]), side, colour)
