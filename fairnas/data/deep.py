"""Images of more than 8 bits per channel: the exact values in their files, beyond what Pillow gives. No torch.

Pillow keeps one channel of 16 or 32 bits, but not always correctly: it reads unsigned 32 bits as signed, signed 8 bits
as unsigned, and swaps the bytes of compressed big-endian files. Of several channels it keeps only the upper byte.
`Image.tile` says how a file will be decoded, and its byte order can be changed there; so the lower bytes are read by
decoding the file once more with the bytes swapped.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from fairnas.data.formats import CorruptImageError

Reopen = Callable[[], AbstractContextManager[ImageFile.ImageFile]]
"""Function that opens the same file once more, not decoded yet."""

_SWAPPED = {"B": "L", "L": "B", "N": "B"}  # N, the machine's own order, is L wherever torch runs
_COLOURS = ("RGB;16", "RGBX;16", "RGBA;16")
_SIGNED, _WHITE_IS_ZERO, _SEPARATE_PLANES = 2, 0, 2  # values of TIFF tags
_SIZE_MARKER = b"\xff\x4f\xff\x51"  # JPEG 2000: start of the codestream, image and tile size
_JPEG2000_HEAD = 65_536  # bytes in which it is found


@dataclass(frozen=True, eq=False)
class DeepPixels:
    """Values of an image of more than 8 bits per channel."""

    values: np.ndarray
    """(H, W) grey or (H, W, 3) colour; integers or floating point numbers."""
    alpha: np.ndarray | None
    """(H, W) uint8: 0 is transparent; None where all is opaque."""


@dataclass(frozen=True)
class Storage:
    """Storage of an image that has more than 8 bits per channel, or signed ones."""

    channels: str
    """`grey`: one channel, which Pillow keeps; `grey-alpha` and `colour`: of 16 bits, which it reduces."""
    unsigned: bool = False
    """True if Pillow reads unsigned 32 bits as signed."""
    signed: bool = False
    """True if Pillow reads signed 8 bits as unsigned."""
    white_is_zero: bool = False
    largest: int = 65535
    """Largest value of a colour."""

    @property
    def is_grey(self) -> bool:
        """True if there is one channel, apart from transparency."""
        return self.channels != "colour"


def storage(image: ImageFile.ImageFile) -> Storage | None:
    """Storage of an opened image that is not decoded yet; None for up to 8 unsigned bits per channel.

    Corrects the decoding settings of Pillow if it would read the file wrongly.

    Raises:
        CorruptImageError: if Pillow cannot give all bits of the image.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _tiff_storage(image)
    if image.format == "PPM" and image.mode == "RGB":
        return _ppm_storage(image)
    if image.format == "JPEG2000" and image.mode != "I;16" and _jpeg2000_bits(image) > 8:
        raise CorruptImageError("it is a JPEG 2000 image of more than 8 bits per colour; save it as PNG or TIFF")
    return _storage(image)


def read_deep(image: ImageFile.ImageFile, how: Storage, reopen: Reopen) -> DeepPixels:
    """Values of an image that `storage` has seen. Decodes it, and colour images twice."""
    if how.channels == "grey":
        return _read_grey(image, how)
    if how.channels == "grey-alpha":
        # two pixels of four bytes: upper and lower byte of each channel
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image.load()
        octets = np.asarray(image).astype(np.uint16)
        return DeepPixels(octets[..., 0] << 8 | octets[..., 1], _to_bytes(octets[..., 2] << 8 | octets[..., 3]))
    image.load()
    with reopen() as second:
        storage(second)
        second.tile = [_with_rawmode(tile, _rawmode(tile)[:-1] + _SWAPPED[_rawmode(tile)[-1]]) for tile in second.tile]
        second.load()
        values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(second)
    if how.largest != 65535:  # PPM files name their white; Pillow has not scaled these
        values = np.rint(values / (how.largest / 65535)).clip(0, 65535).astype(np.uint16)
    if values.shape[2] == 4:
        return DeepPixels(values[..., :3], _to_bytes(values[..., 3]))
    return DeepPixels(values, _keyed(image, values))


def _read_grey(image: ImageFile.ImageFile, how: Storage) -> DeepPixels:
    image.load()
    values = np.asarray(image)
    if how.unsigned:
        values = values.view(np.uint32)
    if how.signed:
        values = values.view(np.int8)
    alpha = _keyed(image, values[..., None])
    if how.white_is_zero:
        values = 65535 - values
    return DeepPixels(values, alpha)


def _storage(image: ImageFile.ImageFile) -> Storage | None:
    """Storage according to Pillow, for files that it reads correctly."""
    rawmode = _rawmode(image.tile[0]) if image.tile else ""
    if rawmode == "LA;16B":
        return Storage("grey-alpha")
    if rawmode[:-1] in _COLOURS:
        return Storage("colour")
    return Storage("grey") if image.mode == "F" or image.mode.startswith("I") else None


def _tiff_storage(image: TiffImagePlugin.TiffImageFile) -> Storage | None:
    tags = image.tag_v2
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0]
    is_signed = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == _SIGNED
    compressed = bool(image.tile) and image.tile[0].codec_name == "libtiff"
    if bits == 16 and len(image.getbands()) > 1 and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _SEPARATE_PLANES:
        if compressed:
            raise CorruptImageError("its 16-bit colours lie in compressed planes, each by itself; save it as PNG")
        order = ";16B" if tags.prefix == b"MM" else ";16L"  # Pillow forgets that planes have 16 bits
        image.tile = [_with_rawmode(tile, _rawmode(tile)[:1] + order) for tile in image.tile]
        return Storage("colour")
    if compressed and bits > 8:  # bytes are in the machine's own order, which Pillow ignores
        image.tile = [_with_rawmode(tile, re.sub(r"B([SF])$", r"\1", _rawmode(tile))) for tile in image.tile]
    if image.tile and _rawmode(image.tile[0]).startswith("RGBa;16"):
        raise CorruptImageError("its 16-bit colours are multiplied by their transparency; save it as PNG")
    how = Storage("grey") if is_signed and image.mode == "L" else _storage(image)
    if how is None or how.channels != "grey":
        return how
    return Storage(
        "grey",
        unsigned=bits == 32 and image.mode == "I" and not is_signed,
        signed=bits == 8,
        white_is_zero=bits == 16 and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO,
    )


def _ppm_storage(image: ImageFile.ImageFile) -> Storage | None:
    tile = image.tile[0]
    largest = tile.args[1] if isinstance(tile.args, tuple) and tile.codec_name in ("ppm", "ppm_plain") else 255
    if largest <= 255:
        return None
    if tile.codec_name == "ppm_plain":
        raise CorruptImageError("it is a PPM text file of more than 8 bits per colour; save it as PNG")
    image.tile = [tile._replace(codec_name="raw", args=("RGB;16B", 0, 1))]
    return Storage("colour", largest=largest)


def _jpeg2000_bits(image: ImageFile.ImageFile) -> int:
    """Number of bits of the deepest channel."""
    assert image.fp is not None
    position = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(_JPEG2000_HEAD)
    image.fp.seek(position)
    start = head.find(_SIZE_MARKER) + len(_SIZE_MARKER) + 36  # the number of channels, in the SIZ segment
    count = int.from_bytes(head[start : start + 2], "big")
    depths = head[start + 2 : start + 2 + 3 * count : 3]  # depth - 1, its top bit the sign; then two steps of the grid
    return max(((depth & 0x7F) + 1 for depth in depths), default=16)


def _rawmode(tile: Any) -> str:
    first = tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args
    return first if isinstance(first, str) else ""


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    args = (rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode
    return tile._replace(args=args)


def _to_bytes(alpha: np.ndarray) -> np.ndarray:
    return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257, rounded


def _keyed(image: Image.Image, values: np.ndarray) -> np.ndarray | None:
    """Transparency of values (H, W, C), from the one value or colour that a PNG file declares transparent."""
    key = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(key, (int, tuple)):
        return None
    return np.where((values == np.array(key)).all(2), 0, 255).astype(np.uint8)
