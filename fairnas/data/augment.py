"""Augmentation per sample, drawn and applied for a whole batch at once.

Every image of a batch has its own random draws (a torchvision v2 transform of a batch draws once for all of it),
but no Python code runs per image. `fairnas.config.Augmentation` has the settings: a crop, flips, quarter turns and
changes of colour, in this order.

Draws depend only on the seed, the epoch and the batch's number. Each part has the same draws whether other parts are on
or off, with one exception: horizontal flips are drawn after a shift and before a rectangle.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairnas.config import Augmentation, Fit
from fairnas.randomness import generator

_SIDES = (3 / 4, 4 / 3)  # width over height of a rectangle
_TRIES = 10  # rectangles drawn per image before a central one is taken


@dataclass(frozen=True, eq=False)
class Rectangles:
    """Draws for random rectangles of images whose aspect ratios are not known yet.

    The distribution is that of torchvision's RandomResizedCrop: ten tries, the first that fits is used.
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
        """Draws of one image."""
        return self.some(slice(place, place + 1))

    def some(self, part: slice) -> "Rectangles":
        """Draws of some images."""
        return Rectangles(self.areas[part], self.sides[part], self.places[part])


@dataclass(frozen=True, eq=False)
class Draws:
    """All random draws for the images of one batch."""

    offsets: np.ndarray  # (n, 2) int64, pixels down and across
    flips: np.ndarray  # (n,) bool, left to right
    rectangles: Rectangles | None = None
    upturns: np.ndarray | None = None  # (n,) bool, flips top to bottom
    turns: np.ndarray | None = None  # (n,) int64, quarter turns counterclockwise, 0 to 3
    factors: np.ndarray | None = None  # (n, 3) float32, of brightness, contrast and saturation

    def some(self, part: slice) -> "Draws":
        """Draws of some images."""
        return Draws(
            self.offsets[part],
            self.flips[part],
            self.rectangles and self.rectangles.some(part),
            *(None if each is None else each[part] for each in (self.upturns, self.turns, self.factors)),
        )

    def after_crop(self) -> "Draws":
        """Draws that remain to be applied once the rectangles have been cut out."""
        return dataclasses.replace(self, rectangles=None)


@dataclass(frozen=True)
class Views:
    """Augmentation of the training images in one epoch. `size` is the side of the images in pixels."""

    augmentation: Augmentation
    size: int
    seed: int
    epoch: int
    part: tuple[int, int] = (0, 1)
    """Share of every batch to make, such as (0, 2) for the first half; its draws are those of the whole batch."""
    fit: Fit = "crop"
    """Method that makes images square."""

    def draw(self, batch: int, count: int) -> Draws:
        """Draws for `count` images of one batch, which may be a share of it."""
        own, parts = self.part
        return self._draw_whole(batch, count * parts).some(slice(own * count, (own + 1) * count))

    def _draw_whole(self, batch: int, count: int) -> Draws:
        wanted = self.augmentation
        rng = self._generator("augmentation", batch)
        offsets, rectangles = np.zeros((count, 2), np.int64), None
        if wanted.crop in ("shift", "padded"):
            reach = wanted.reach(self.size)
            offsets = rng.integers(-reach, reach + 1, (count, 2))
        flips = rng.random(count) < 0.5  # drawn even if not wanted, so that the rectangles that follow stay the same
        if wanted.crop == "resized":
            areas = rng.uniform(wanted.least_area(self.size, self.fit == "pad"), 1, (count, _TRIES))
            low, high = (math.log(side) for side in _SIDES)
            sides = np.exp(rng.uniform(low, high, (count, _TRIES)))
            rectangles = Rectangles(areas, sides, rng.random((count, 2)))
        return Draws(
            offsets,
            flips if wanted.horizontal else np.zeros(count, bool),
            rectangles,
            self._generator("upturns", batch).random(count) < 0.5 if wanted.vertical else None,
            self._generator("turns", batch).integers(0, 4, count) if wanted.rotate == "quarter" else None,
            self._factors(batch, count) if wanted.colour else None,
        )

    def _factors(self, batch: int, count: int) -> np.ndarray:
        changes = self._generator("colour", batch).uniform(-1, 1, (count, 3)) * self.augmentation.colour
        return (1 + changes).astype(np.float32)

    def _generator(self, purpose: str, batch: int) -> np.random.Generator:
        return generator(self.seed, purpose, self.epoch, batch)


def augmented(pixels: Tensor, draws: Draws) -> Tensor:
    """Apply the draws to a batch of square images.

    Args:
        pixels: (B, S, S, C) uint8, on any device.
        draws: for B images.

    Returns:
        (B, S, S, C): uint8, or float32 in 0 to 255 where images were resized.
    """
    upturns = np.zeros(len(pixels), bool) if draws.upturns is None else draws.upturns
    if draws.rectangles is not None:
        pixels = _cut(pixels, draws.rectangles.fitted(np.ones(len(pixels))), draws.flips, upturns)
    elif draws.offsets.any() or draws.flips.any() or upturns.any():
        pixels = _moved(pixels, draws.offsets, draws.flips, upturns)
    if draws.turns is not None:
        pixels = _turned(pixels, draws.turns)
    if draws.factors is not None:
        pixels = _coloured(pixels, torch.from_numpy(draws.factors).to(pixels.device, non_blocking=True))
    return pixels


def _moved(pixels: Tensor, offsets: np.ndarray, flips: np.ndarray, upturns: np.ndarray) -> Tensor:
    """Shift (the border becomes black), then flip."""
    side, margin = pixels.shape[1], int(np.abs(offsets).max())
    padded = F.pad(pixels, (0, 0, margin, margin, margin, margin))
    line = np.arange(side)
    rows = np.where(upturns[:, None], line[::-1], line) + margin - offsets[:, :1]
    columns = np.where(flips[:, None], line[::-1], line) + margin - offsets[:, 1:]
    image = torch.arange(len(pixels), device=pixels.device)
    down, across = (torch.from_numpy(index).to(pixels.device, non_blocking=True) for index in (rows, columns))
    return padded[image[:, None, None], down[:, :, None], across[:, None, :]]


def _cut(pixels: Tensor, rectangles: np.ndarray, flips: np.ndarray, upturns: np.ndarray) -> Tensor:
    """Resize one rectangle (left, top, width, height as shares) of every image to full size, then flip.

    The result never has fewer pixels than the rectangle, so bilinear sampling needs no antialiasing.
    """
    left, top, width, height = rectangles.T
    # maps places in the result to places in the image, both in -1 to 1
    theta = np.zeros((len(pixels), 2, 3), np.float32)
    theta[:, 0, 0] = np.where(flips, -width, width)
    theta[:, 0, 2] = 2 * left + width - 1
    theta[:, 1, 1] = np.where(upturns, -height, height)
    theta[:, 1, 2] = 2 * top + height - 1
    images = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(
        torch.from_numpy(theta).to(pixels.device, non_blocking=True), list(images.shape), align_corners=False
    )
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def _turned(pixels: Tensor, turns: np.ndarray) -> Tensor:
    """Rotate every image by its number of quarter turns, counterclockwise."""
    result = pixels.clone()
    for count in (1, 2, 3):
        places = torch.from_numpy(np.flatnonzero(turns == count)).to(pixels.device, non_blocking=True)
        result[places] = pixels[places].rot90(count, (1, 2))
    return result


_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as in torchvision's and Pillow's grey


def _coloured(pixels: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, then contrast, then saturation, each as torchvision's ColorJitter does; keeps the dtype.

    Args:
        pixels: (B, S, S, C), uint8, or float in 0 to 255.
        factors: (B, 3), of brightness, contrast and saturation; 1 changes nothing.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    images = (pixels.float() * brightness).clamp(0, 255)
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 255)
    grey = _grey(images)
    images = (grey + (images - grey) * saturation).clamp(0, 255)
    return images.round().to(pixels.dtype) if pixels.dtype == torch.uint8 else images


def _grey(images: Tensor) -> Tensor:
    """(B, S, S, C) to (B, S, S, 1)."""
    return images if images.shape[3] == 1 else (images * images.new_tensor(_LUMA)).sum(3, keepdim=True)
