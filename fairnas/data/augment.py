"""Augmentation per sample, drawn and applied for a whole batch at once.

Every image of a batch gets draws of its own (a torchvision v2 transform of a batch draws once for all of it),
but no Python code runs per image. Draws come from the seed, the epoch and the batch's number only.

| name | what an image goes through |
|---|---|
| `none` | nothing |
| `shift` | a shift by up to one pixel in eight, rounded up, in any direction; black enters |
| `crop_flip` | a crop after padding with one black pixel in eight on every side; flipped half of the time |
| `inception` | a rectangle of 0.08 to 1 of its area and 3:4 to 4:3 sides, resized; flipped half of the time |

Images smaller than 64 pixels keep at least 0.35 of their area under `inception`: less of them shows nothing. So do
images with black bars (`data.fit = pad`), of which a smaller rectangle might show a bar only.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairnas.config import Augmentation, Fit
from fairnas.randomness import generator

_SIDES = (3 / 4, 4 / 3)  # width over height of a rectangle
_TRIES = 10  # rectangles drawn per image before its middle is taken


@dataclass(frozen=True, eq=False)
class Rectangles:
    """Draws for random rectangles of images whose proportions are not known yet.

    The distribution is that of torchvision's RandomResizedCrop: ten tries, the first that fits counts.
    """

    areas: np.ndarray  # (n, tries), shares of the image's area
    sides: np.ndarray  # (n, tries), width over height
    places: np.ndarray  # (n, 2), across and down: 0 is left or top, 1 is right or bottom

    def fitted(self, proportions: np.ndarray) -> np.ndarray:
        """Rectangles (n, 4) of images with `proportions` (n,), width over height.

        Left, top, width and height are shares of the image's width and height.
        """
        widths = np.sqrt(self.areas * self.sides / proportions[:, None])
        heights = np.sqrt(self.areas / self.sides * proportions[:, None])
        fits = (widths <= 1) & (heights <= 1)
        images = np.arange(len(proportions))
        first = fits.argmax(axis=1)
        extent = np.stack([widths[images, first], heights[images, first]], axis=1)
        some = fits.any(axis=1, keepdims=True)
        low, high = _SIDES
        middle = np.stack([np.minimum(1, high / proportions), np.minimum(1, proportions / low)], axis=1)
        extent = np.where(some, extent, middle)
        return np.concatenate([np.where(some, self.places, 0.5) * (1 - extent), extent], axis=1)

    def one(self, place: int) -> "Rectangles":
        """The draws of one image."""
        return self.some(slice(place, place + 1))

    def some(self, part: slice) -> "Rectangles":
        """The draws of some images."""
        return Rectangles(self.areas[part], self.sides[part], self.places[part])


@dataclass(frozen=True, eq=False)
class Draws:
    """Everything random about the images of one batch."""

    offsets: np.ndarray  # (n, 2) int64, pixels down and across
    flips: np.ndarray  # (n,) bool
    rectangles: Rectangles | None

    def some(self, part: slice) -> "Draws":
        """Those of some images."""
        return Draws(self.offsets[part], self.flips[part], self.rectangles and self.rectangles.some(part))


@dataclass(frozen=True)
class Views:
    """How the training images are seen in one epoch. `size` is the side of the images in pixels."""

    augmentation: Augmentation
    size: int
    seed: int
    epoch: int
    part: tuple[int, int] = (0, 1)
    """Which share of every batch is seen, such as (0, 2) for the first half; its draws are those of the whole."""
    fit: Fit = "crop"
    """How images become squares."""

    def draw(self, batch: int, count: int) -> Draws:
        """The draws for `count` images of one batch, a share of it."""
        own, parts = self.part
        return self._draw_whole(batch, count * parts).some(slice(own * count, (own + 1) * count))

    def _draw_whole(self, batch: int, count: int) -> Draws:
        rng = generator(self.seed, "augmentation", self.epoch, batch)
        offsets, flips, rectangles = np.zeros((count, 2), np.int64), np.zeros(count, bool), None
        if self.augmentation in ("shift", "crop_flip"):
            reach = math.ceil(self.size / 8) if self.augmentation == "shift" else self.size // 8
            offsets = rng.integers(-reach, reach + 1, (count, 2))
        if self.augmentation in ("crop_flip", "inception"):
            flips = rng.random(count) < 0.5
        if self.augmentation == "inception":
            areas = rng.uniform(0.35 if self.size < 64 or self.fit == "pad" else 0.08, 1, (count, _TRIES))
            low, high = (math.log(side) for side in _SIDES)
            sides = np.exp(rng.uniform(low, high, (count, _TRIES)))
            rectangles = Rectangles(areas, sides, rng.random((count, 2)))
        return Draws(offsets, flips, rectangles)


def augmented(pixels: Tensor, draws: Draws) -> Tensor:
    """Apply the draws to a batch of square images.

    Args:
        pixels: (B, S, S, C) uint8, on any device.
        draws: for B images.

    Returns:
        (B, S, S, C): uint8, or float32 in 0 to 255 where images were resized.
    """
    if draws.rectangles is not None:
        return _cut(pixels, draws.rectangles.fitted(np.ones(len(pixels))), draws.flips)
    if draws.offsets.any() or draws.flips.any():
        return _moved(pixels, draws.offsets, draws.flips)
    return pixels


def _moved(pixels: Tensor, offsets: np.ndarray, flips: np.ndarray) -> Tensor:
    """Shift (black enters), then flip."""
    side, margin = pixels.shape[1], int(np.abs(offsets).max())
    padded = F.pad(pixels, (0, 0, margin, margin, margin, margin))
    line = np.arange(side)
    rows = line + margin - offsets[:, :1]
    columns = np.where(flips[:, None], line[::-1], line) + margin - offsets[:, 1:]
    image = torch.arange(len(pixels), device=pixels.device)
    down, across = (torch.from_numpy(index).to(pixels.device, non_blocking=True) for index in (rows, columns))
    return padded[image[:, None, None], down[:, :, None], across[:, None, :]]


def _cut(pixels: Tensor, rectangles: np.ndarray, flips: np.ndarray) -> Tensor:
    """Resize one rectangle (left, top, width, height as shares) of every image to the whole, then flip.

    The result never has fewer pixels than the rectangle, so bilinear sampling needs no antialiasing.
    """
    left, top, width, height = rectangles.T
    theta = np.zeros((len(pixels), 2, 3), np.float32)  # from places in the result to places in the image, -1 to 1
    theta[:, 0, 0] = np.where(flips, -width, width)
    theta[:, 0, 2] = 2 * left + width - 1
    theta[:, 1, 1] = height
    theta[:, 1, 2] = 2 * top + height - 1
    images = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(
        torch.from_numpy(theta).to(pixels.device, non_blocking=True), list(images.shape), align_corners=False
    )
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)
