"""One image file: its header, a check for damage, and decoding to a square of 8-bit pixels. No torch.

EXIF orientation is applied. Palettes, CMYK, deep and transparent images become grey or RGB; transparent parts become
white. Of an animation only the first frame is used.
"""

import contextlib
import dataclasses
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
from PIL import Image, ImageFile

from fairnas.data.decoding import Decoding
from fairnas.data.deep import Storage, read_deep, storage
from fairnas.data.fitting import Box, Placed, evaluation_box, placed
from fairnas.data.formats import CorruptImageError, readable_formats, reason_unknown
from fairnas.data.values import to_levels
from fairnas.errors import DataError

MAX_PIXELS = 89_478_485
"""Limit above which images count as corrupt: Pillow's own limit against decompression bombs."""

_LARGE = 8_000_000  # pixels
_one_large = threading.Lock()
"""Lock for decoding large images one at a time: each takes up to 16 bytes per pixel, and several threads would need
gigabytes.
"""

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
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))  # width and height are exchanged
_END_MARKS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1024  # bytes at the end of a file in which its end mark is searched

# Exceptions that Pillow's decoders raise for damaged content.
_DAMAGE = (
    ArithmeticError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Header:
    """Facts from the header of an image file: sides in pixels, and the storage of its pixels."""

    width: int
    height: int
    grey: bool
    form: str
    """Format by Pillow's name, such as `JPEG`."""
    deep: bool
    """True if there are more than 8 bits per channel."""


def look(path: str) -> Header:
    """Read only the header. Raises `CorruptImageError`."""
    with _opened(path) as (image, _):
        return _header(image, storage(image))


def check(path: str) -> Header:
    """Check the header and the end of a file, which finds most damaged ones without decoding.

    A file without its format's end mark is decoded to be certain. Damage in the middle is not noticed until the image
    is used. Raises `CorruptImageError`.
    """
    with _opened(path) as (image, file):
        header = _header(image, storage(image))
        if not _has_end(image, file):
            with _in_turn(image):
                image.load()
        return header


def deep_values(path: str) -> np.ndarray | None:
    """Values (H, W) or (H, W, 3) of an image of more than 8 bits; None for others. Raises `CorruptImageError`."""
    with _opened(path) as (image, _), _in_turn(image):
        how = storage(image)
        return None if how is None else read_deep(image, how, lambda: _again(path)).values


def read_square(path: str, decoding: Decoding) -> tuple[np.ndarray, bool]:
    """Read an image as evaluation sees it, resized (bilinear, antialiased) as `decoding.fit` says.

    Returns:
        Pixels (S, S, C), uint8; and True if the file has colours.

    Raises:
        CorruptImageError: if the file cannot be decoded, or exceeds `MAX_PIXELS`.
        DataError: if the file cannot be read at all.
    """
    pixels, header = read_image(path, decoding)
    return pixels, not header.grey


def read_image(path: str, decoding: Decoding) -> tuple[np.ndarray, Header]:
    """Pixels as from `read_square`, and the header; width and height are those of the upright image."""
    return _read(path, decoding, lambda width, height: evaluation_box(decoding.fit, width, height))


def read_part(path: str, decoding: Decoding, part: Callable[[int, int], Box]) -> tuple[np.ndarray, bool]:
    """Rectangle of the image, resized to a square (bilinear, antialiased); otherwise as `read_square`.

    Args:
        path: the file.
        decoding: side and channels of the result, and range of the values; its `fit` is not used.
        part: called with width and height of the upright image, returns the rectangle.
    """
    pixels, header = _read(path, decoding, part)
    return pixels, not header.grey


def _read(path: str, decoding: Decoding, part: Callable[[int, int], Box]) -> tuple[np.ndarray, Header]:
    with _opened(path) as (image, _), _in_turn(image):
        how = storage(image)
        header = _header(image, how)
        deep = read_deep(image, how, lambda: _again(path)) if how else None
        if image.format not in ("JPEG", "MPO"):
            image.load()  # some formats know, or apply, their orientation only now
        turn = _turn(image)
        width, height = reversed(image.size) if turn in _SIDEWAYS else image.size
        box = part(width, height)
        excess = min(box[2] - box[0], box[3] - box[1]) / decoding.size
        if excess >= 4:  # the JPEG decoder halves cheaply; twice the needed pixels are left for the resize
            image.draft(None, (math.ceil(image.width * 2 / excess), math.ceil(image.height * 2 / excess)))
        if deep:
            levels = to_levels(deep.values, decoding.value_range)
            converted = _on_white(levels, deep.alpha).convert("L" if decoding.channels == 1 else "RGB")
        else:
            converted = _converted(image, decoding.channels)
        if turn is not None:
            converted = converted.transpose(turn)
        upright = dataclasses.replace(header, width=width, height=height)
        return _square(converted, placed(box, width, height, decoding.size), (width, height), decoding), upright


def _square(image: Image.Image, where: Placed | None, size: tuple[int, int], decoding: Decoding) -> np.ndarray:
    """Pixels (S, S, C) of an image that may already have been reduced from `size` (width, height)."""
    square = np.zeros(decoding.shape, np.uint8)
    if where is not None:
        across, down = image.width / size[0], image.height / size[1]
        left, top, right, bottom = where.source
        box = (left * across, top * down, right * across, bottom * down)
        seen = image.resize((where.width, where.height), Image.Resampling.BILINEAR, box=box)
        rows, columns = slice(where.top, where.top + where.height), slice(where.left, where.left + where.width)
        square[rows, columns] = np.asarray(seen).reshape(where.height, where.width, decoding.channels)
    return square


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppress Pillow's warnings about unusual files: a file is either used, or left out with a note.

    Warning filters belong to the whole process, so use this around a pool of threads, not inside them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[ImageFile.ImageFile, BinaryIO]]:
    """Open an image, read its header, and yield it with its file; damage inside becomes `CorruptImageError`."""
    try:
        if _never_ends(os.stat(path).st_mode):
            raise CorruptImageError("it is a pipe or a device, not a file")
        with open(path, "rb") as file, _identified(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise CorruptImageError(f"{image.width} x {image.height} pixels are too many")
            yield image, file
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ELOOP):
            raise CorruptImageError("it is a link to nothing, or has vanished") from None
        if isinstance(error, OSError) and error.errno is not None:  # an error of the system, not of a decoder
            raise DataError(f"cannot read {path}: {error.strerror}; make it readable or remove it") from None
        raise CorruptImageError(str(error) or type(error).__name__) from error


def _identified(file: BinaryIO) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=readable_formats())
    except Image.UnidentifiedImageError:
        raise CorruptImageError(reason_unknown(file)) from None


@contextlib.contextmanager
def _again(path: str) -> Iterator[ImageFile.ImageFile]:
    with _opened(path) as (image, _):
        yield image


def _header(image: Image.Image, how: Storage | None) -> Header:
    grey = how.is_grey if how else image.mode in _GREY
    return Header(*image.size, grey, image.format or "", how is not None)


def _in_turn(image: Image.Image) -> contextlib.AbstractContextManager[object]:
    """Lock for decoding an image: large images are decoded one at a time."""
    return _one_large if image.width * image.height > _LARGE else contextlib.nullcontext()


def _never_ends(mode: int) -> bool:
    """True if reading may block for ever or never end."""
    return any(kind(mode) for kind in (stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK, stat.S_ISSOCK))


def _has_end(image: Image.Image, file: BinaryIO) -> bool:
    """True if the format's end mark is near the end of the file; False if the format has none."""
    mark = _END_MARKS.get(image.format or "")
    position = file.tell()
    file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
    tail = file.read()
    file.seek(position)
    return mark is not None and mark in tail


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Transposition that turns the image upright, None if it is. Unreadable EXIF data are not damage."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return None


def _converted(image: Image.Image, channels: int) -> Image.Image:
    """Image of 8 bits in mode L (1 channel) or RGB (3 channels)."""
    if image.has_transparency_data:
        image = _flattened(image.convert("RGBA"))
    return image.convert("L" if channels == 1 else "RGB")


def _on_white(levels: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    """Image of (H, W) or (H, W, 3) uint8 with transparent parts made white."""
    image = Image.fromarray(levels)
    if alpha is None:
        return image
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return _flattened(image)


def _flattened(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
