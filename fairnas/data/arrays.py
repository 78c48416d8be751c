"""Labelled images that come as one array, such as `digits` and the binary CIFAR-10."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images (N, s, s, C) uint8 with labels (N,) int64.

    `numbers` (N,) int64 are the images' positions in the data set's own order, which identify them.
    """

    pixels: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def members(self) -> Iterator[bytes]:
        """Name of each image, for `splits.ranks`."""
        return (f"{label}/{number}".encode() for label, number in zip(self.labels, self.numbers, strict=True))

    def take(self, places: np.ndarray) -> "Arrays":
        """Some of the images, in the given order."""
        return Arrays(self.pixels[places], self.labels[places], self.numbers[places])

    def content(self) -> Iterator[bytes]:
        """Content of the fingerprint: the images' numbers and pixels."""
        yield self.numbers.tobytes()
        yield hashlib.sha256(np.ascontiguousarray(self.pixels).data).digest()

    def with_channels(self, channels: int) -> "Arrays":
        """Same images in grey (1 channel) or colour (3 channels)."""
        if self.pixels.shape[3] == channels:
            return self
        if channels == 3:
            return Arrays(np.repeat(self.pixels, 3, axis=3), self.labels, self.numbers)
        red, green, blue = np.moveaxis(self.pixels.astype(np.uint32), 3, 0)
        luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # ITU-R 601 in integers, as Pillow does
        return Arrays(luma.astype(np.uint8)[..., None], self.labels, self.numbers)
