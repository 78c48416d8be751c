"""Augmentation of a whole mini-batch of normalised images: cutout and mixup, functions of seed and step alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairnas.randomness import generator


@dataclass(frozen=True)
class Mixture:
    """Mini-batch of images, each mixed with at most one other."""

    images: Tensor
    """(B, C, S, S), normalised, channels_last."""
    labels: Tensor
    """(B,), class of the image that contributes `share`."""
    others: Tensor
    """(B,), class of the other image."""
    share: float
    """Share of the first image, from 0 to 1; 1 if nothing was mixed."""


def mixture(images: Tensor, labels: Tensor, *, mixup: float, cutout: int, seed: int, step: int) -> Mixture:
    """Blank a square of every image, then mix the images in pairs.

    Args:
        images: (B, C, S, S), normalised.
        labels: (B,), class indices.
        mixup: alpha of the Beta distribution of the share; 0 disables mixing.
        cutout: side of the square in pixels; 0 disables cutout.
        seed: of the training.
        step: number of the step.
    """
    if cutout:
        images = blanked(images, cutout, generator(seed, "cutout", step))
    if not mixup:
        return Mixture(images, labels, labels, 1.0)
    rng = generator(seed, "mixup", step)
    share, order = float(rng.beta(mixup, mixup)), torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
    mixed = torch.lerp(images[order], images, share).contiguous(memory_format=torch.channels_last)
    return Mixture(mixed, labels, labels[order], share)


def blanked(images: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """Set a square of every image to zero, the mean of all images.

    Its centre is anywhere in the image, so at the border less than a square is blanked (DeVries and Taylor).
    """
    size = images.shape[-1]
    line = np.arange(size)
    corners = rng.integers(0, size, (len(images), 2, 1)) - side // 2
    inside = (line >= corners) & (line < corners + side)  # (B, 2, S): rows, columns
    square = torch.from_numpy(inside[:, 0, :, None] & inside[:, 1, None, :]).to(images.device)
    return images.masked_fill(square[:, None], 0.0)
