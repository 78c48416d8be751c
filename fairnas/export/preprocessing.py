"""Preprocessing from an image file to a network's input, equal to that of evaluation. No torch."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from fairnas.config import Fit
from fairnas.data.decode import Header, read_image
from fairnas.data.decoding import Decoding
from fairnas.errors import ExportError
from fairnas.untrusted import parse_json

MAX_SIDE = 4096
"""Limit for the image size: a model's file is foreign data, and must not be able to fill the memory."""
_CHANNELS = (1, 3)
_FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing: resize, scale pixels to 0..1, subtract `mean`, divide by `std`."""

    image_size: int
    """Side of the square image in pixels."""
    image_channels: int
    """3 for colour, 1 for grey."""
    mean: tuple[float, ...]
    """Mean per channel, of pixels scaled to 0..1."""
    std: tuple[float, ...]
    """Deviation per channel, of pixels scaled to 0..1."""
    fit: Fit = "crop"
    """Method that makes an image square: cut out the middle, or pad or squash the whole image."""
    value_range: tuple[float, float] | None = None
    """Values that become black and white, for images of more than 8 bits; None: 0 and 65,535, and only those."""

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.image_channels:
                raise ExportError(
                    f"preprocessing.{name} has {len(values)} numbers for {self.image_channels} channels; "
                    "give one per channel"
                )
            for value in values:
                if not math.isfinite(value):
                    raise ExportError(f"preprocessing.{name} holds {value}; give finite numbers")
        if min(self.std) <= 0:
            raise ExportError(f"preprocessing.std holds {min(self.std)}; give numbers above 0")
        if self.fit not in _FITS:
            raise ExportError(f"preprocessing.fit is {str(self.fit)[:20]!r}; give {', '.join(_FITS)}")
        if self.value_range is not None and not 0 < self.value_range[1] - self.value_range[0] < math.inf:
            raise ExportError(
                f"preprocessing.value_range is {list(self.value_range)}; give two finite numbers, the smaller first"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        ends = list(self.value_range) if self.value_range else None
        return {**dataclasses.asdict(self), "mean": list(self.mean), "std": list(self.std), "value_range": ends}

    @property
    def decoding(self) -> Decoding:
        """Settings from the file to a square of 8-bit pixels."""
        return Decoding(self.image_size, self.image_channels, self.fit, self.value_range)

    def read(self, path: str) -> np.ndarray:
        """Read an image file as a network's input: (C, S, S), float32. Raises as `read_with_header` does."""
        return self.read_with_header(path)[0]

    def read_with_header(self, path: str) -> tuple[np.ndarray, Header]:
        """Read an image file as by `read`, and also return its header.

        Raises:
            CorruptImageError: if the file cannot be decoded.
            DataError: if the file cannot be read at all.
        """
        pixels, header = read_image(path, self.decoding)
        # same order and precision as the evaluation batches (`data.batches`), so that the bits are equal
        mean, std = (np.array(values, np.float32) * np.float32(255) for values in (self.mean, self.std))
        return np.ascontiguousarray(((pixels.astype(np.float32) - mean) / std).transpose(2, 0, 1)), header


def parse_preprocessing(text: str) -> Preprocessing:
    """Parse the result of `to_dict` from a file that may come from anywhere.

    Raises:
        ValueError: one line about what is wrong with it.
    """
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError("it is no table")
    size, channels = (content.get(key) for key in ("image_size", "image_channels"))
    if type(size) is not int or not 1 <= size <= MAX_SIDE:
        raise ValueError(f"image_size is {str(size)[:20]}, and may be from 1 to {MAX_SIDE}")
    if type(channels) is not int or channels not in _CHANNELS:
        raise ValueError(f"image_channels is {str(channels)[:20]}, and may be 1 or 3")
    fit = content.get("fit", "crop")
    if fit not in _FITS:
        raise ValueError(f"fit is {str(fit)[:20]}, and may be {', '.join(_FITS)}")
    ends = None if content.get("value_range") is None else _numbers(content, "value_range")
    if ends is not None and len(ends) != 2:
        raise ValueError(f"value_range has {len(ends)} numbers, and may have 2")
    value_range = None if ends is None else (ends[0], ends[1])
    return Preprocessing(size, channels, _numbers(content, "mean"), _numbers(content, "std"), fit, value_range)


def _numbers(content: dict[str, Any], key: str) -> tuple[float, ...]:
    values = content.get(key)
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"{key} is not a list of numbers")
    try:
        return tuple(float(value) for value in values[:9])
    except OverflowError:
        raise ValueError(f"{key} is not a list of numbers of a reasonable size") from None
