"""One image file: looking at its header, checking it, decoding it to a square of 8-bit pixels. No torch.

Orientation notes of cameras (EXIF) are obeyed. Palettes, CMYK, 16-bit and transparent images become grey or
RGB; what is transparent becomes white. Of an animation the first frame counts.
"""

import contextlib
import errno
import math
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from fairnas.data.decoding import Decoding
from fairnas.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})

MAX_PIXELS = 89_478_485
"""Larger images count as corrupt: Pillow's own limit against files that explode when decoded."""

_LARGE = 8_000_000  # pixels
_one_large = threading.Lock()
"""Several threads with a large image each would need gigabytes, as it takes up to 16 bytes a pixel."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of an upright image."""

# Only these: Pillow would hand a disguised PostScript file to an interpreter.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))  # width and height change places
_END_MARKS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1024  # bytes at the end of a file in which its end mark is expected

# What Pillow's decoders raise over damaged content.
_DAMAGE = (
    ArithmeticError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    NotImplementedError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class CorruptImageError(Exception):
    """A file that cannot be decoded, with the reason. Callers leave it out or name it in a `DataError`."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image file tell: sides in pixels, and whether it holds grey only."""

    width: int
    height: int
    grey: bool


def look(path: str) -> Header:
    """Read the header only. Raises `CorruptImageError`."""
    with _opened(path) as (image, _):
        return Header(*image.size, image.mode in _GREY)


def check(path: str) -> Header:
    """Look at the header and the end of a file, to find most damaged ones without decoding them.

    A file without its format's end mark is decoded, which settles it. What slips through (damage in the
    middle) is found when the image is used. Raises `CorruptImageError`.
    """
    with _opened(path) as (image, file):
        if not _has_end(image, file):
            with _in_turn(image):
                image.load()
        return Header(*image.size, image.mode in _GREY)


def largest_value(path: str) -> int | None:
    """The brightest pixel of an image of 16 bits, 0 to 65,535; None for other images. Raises `CorruptImageError`."""
    with _opened(path) as (image, _), _in_turn(image):
        return int(_wide(image).max()) if image.mode.startswith("I") else None


def read_square(path: str, decoding: Decoding) -> tuple[np.ndarray, bool]:
    """The image as evaluation sees it: shorter side resized (bilinear, antialiased), then centre cropped.

    Returns:
        Pixels (S, S, C), uint8; and whether the file holds colours.

    Raises:
        CorruptImageError: if the file cannot be decoded, or exceeds `MAX_PIXELS`.
        DataError: if the file cannot be read at all.
    """

    def centre(width: int, height: int) -> Box:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2  # whole pixels: half ones would blur
        return left, top, left + side, top + side

    return read_part(path, decoding, centre)


def read_part(path: str, decoding: Decoding, part: Callable[[int, int], Box]) -> tuple[np.ndarray, bool]:
    """A rectangle of the image, resized to a square (bilinear, antialiased); otherwise as `read_square`.

    Args:
        path: the file.
        decoding: side and channels of the result.
        part: called with width and height of the upright image, returns the rectangle.
    """
    with _opened(path) as (image, _), _in_turn(image):
        if image.format not in ("JPEG", "MPO"):
            image.load()  # some formats know their orientation, or obey it, only then
        turn = _turn(image)
        width, height = reversed(image.size) if turn in _SIDEWAYS else image.size
        box = part(width, height)
        excess = min(box[2] - box[0], box[3] - box[1]) / decoding.size
        if excess >= 4:  # a JPEG decoder can halve cheaply; twice the pixels needed are left for the resize
            image.draft(None, (math.ceil(image.width * 2 / excess), math.ceil(image.height * 2 / excess)))
        coloured = image.mode not in _GREY
        converted = _converted(image, decoding.channels)
        if turn is not None:
            converted = converted.transpose(turn)
        across, down = converted.width / width, converted.height / height
        box = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
        square = converted.resize((decoding.size, decoding.size), Image.Resampling.BILINEAR, box=box)
        return np.asarray(square).reshape(decoding.shape), coloured


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about odd files to itself: a file is either used, or left out with a note.

    Filters belong to the whole process, so this goes around a pool of threads, not into them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """An image whose header has been read, and its file; damage found inside becomes `CorruptImageError`."""
    try:
        if _never_ends(os.stat(path).st_mode):
            raise CorruptImageError("it is a pipe or a device, not a file")
        with open(path, "rb") as file, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise CorruptImageError(f"{image.width} x {image.height} pixels are too many")
            yield image, file
    except Image.UnidentifiedImageError:
        raise CorruptImageError("it is not an image of a known format") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ELOOP):
            raise CorruptImageError("it is a link to nothing, or has vanished") from None
        if isinstance(error, OSError) and error.errno is not None:  # the system's complaint, not a decoder's
            raise DataError(f"cannot read {path}: {error.strerror}; make it readable or remove it") from None
        raise CorruptImageError(str(error) or type(error).__name__) from error


def _in_turn(image: Image.Image) -> contextlib.AbstractContextManager[object]:
    """Held while an image is decoded: alone among the large ones."""
    return _one_large if image.width * image.height > _LARGE else contextlib.nullcontext()


def _never_ends(mode: int) -> bool:
    """Whether reading may wait for ever, or never come to an end."""
    return any(kind(mode) for kind in (stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK, stat.S_ISSOCK))


def _has_end(image: Image.Image, file: BinaryIO) -> bool:
    """Whether the format's end mark stands near the end of the file; False where the format has none."""
    mark = _END_MARKS.get(image.format or "")
    position = file.tell()
    file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
    tail = file.read()
    file.seek(position)
    return mark is not None and mark in tail


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings the image upright, None if it is. A camera note that cannot be read is no damage."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return None


def _wide(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64).clip(0, 65535)


def _converted(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L (1 channel) or RGB (3 channels)."""
    if image.mode == "F":
        raise CorruptImageError("its pixels are floating point numbers of unknown range")
    if image.mode.startswith("I"):  # 16 bits, whatever the container
        image = Image.fromarray(((_wide(image) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")
