"""One image file, read with Pillow into a square uint8 array. Imports no TensorFlow."""

import hashlib
import io
from pathlib import Path

import numpy as np


def head(path: Path) -> tuple[tuple[int, int], bool, int] | None:
    """((width, height), whether in colour, bits) of an image, or None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
            return (image.size[::-1] if turned else image.size), not grey, bits(image)
    except Exception:  # each of Pillow's formats has its own kinds of failure
        return None


def bits(image) -> int:
    """How the numbers of an opened image are to be read: 8, 16, or 32 for those of no scale."""
    if image.mode.startswith("I;16"):
        # Pillow puts the 12 bits of a TIFF there unscaled.
        return 32 if getattr(image, "tag_v2", {}).get(258) == (12,) else 16
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # scaled to 16 bits by Pillow
        return 16
    return 32 if image.mode in ("I", "F") else 8


def decode(path: Path, side: int, colour: bool) -> tuple[np.ndarray, bytes] | None:
    """(uint8 [side, side, 3 or 1], hash of the file), or None where it cannot be read."""
    from PIL import Image, ImageOps

    try:
        content = path.read_bytes()
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        return square(image, side, colour), hashlib.sha256(content).digest()
    except Exception:  # as above; truncated files show here
        return None


def square(image, side: int, colour: bool) -> np.ndarray:
    """A Pillow image as uint8 [side, side, 3 or 1]: shorter side to `side`, then the centre."""
    from PIL import Image

    if image.mode.startswith("I"):  # of 16 bits: others are refused before
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
