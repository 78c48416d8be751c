"""Batches: shuffled and augmented for training, in fixed order for evaluation.

A batch is a function of the seed, the epoch and its number, so a run resumed at batch b sees the same batch as an
undisturbed one, for any device and number of workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Balance
from fairnas.data.augment import Views
from fairnas.data.balance import epoch_order
from fairnas.data.dataset import Dataset
from fairnas.data.images import Images


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """Number of training batches in one epoch: full ones only, or a single smaller one if there are fewer images."""
    assert batch_size >= 1
    return max(1, len(dataset.train) // batch_size)


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    first: int = 0,
    balance: Balance = "none",
    part: tuple[int, int] = (0, 1),
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over batches `first`, `first + 1`, ... of one epoch, shuffled, with every image augmented independently.

    Args:
        dataset: source of the training images.
        batch_size: images per batch; the last incomplete one is dropped (see `steps_per_epoch`).
        seed: the run's seed.
        epoch: number of the epoch; order and augmentation differ between epochs.
        first: number of the first batch wanted.
        balance: `sampling` uses every class equally often, see `epoch_order`.
        part: share of every batch to yield, such as (0, 2) for the first half; batches must be divisible.
        device: device of the batches.

    Yields:
        Images (B, C, S, S), float32, normalised, channels_last; labels (B,), int64.

    Raises:
        DataError: if a file of a streamed set can no longer be used.
    """
    order = epoch_order(dataset.train.labels, balance, seed, epoch)
    steps = range(first, steps_per_epoch(dataset, batch_size))
    whole = min(batch_size, len(order))
    own, parts = part
    assert whole % parts == 0, f"{parts} parts of a batch of {whole}"
    size = whole // parts
    tasks = [(step, order[step * batch_size + own * size :][:size]) for step in steps]
    views = Views(dataset.augmentation, dataset.image_size, seed, epoch, part, dataset.fit)
    scale = _Scale.of(dataset, device)
    for pixels, labels in dataset.train.batches(tasks, views, device):
        yield scale.normalised(pixels), labels


def ordered_batches(
    images: Images,
    dataset: Dataset,
    *,
    batch_size: int,
    equal: bool = False,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over all images of a split, not augmented, in a fixed order that mixes the classes.

    Otherwise as `training_batches`; `dataset` provides mean and deviation.

    Args:
        images: the split.
        dataset: the data set that the split belongs to.
        batch_size: images per batch; the last batch may be smaller.
        equal: make as many batches, but as equal as can be: their sizes differ by one at most, the larger ones first.
        device: where the batches are wanted.

    Yields:
        Pairs of images (B, C, H, W), normalised float32, and labels (B,).
    """
    places, starts = np.arange(len(images)), range(0, len(images), batch_size)
    parts = np.array_split(places, len(starts)) if equal else [places[start : start + batch_size] for start in starts]
    scale = _Scale.of(dataset, device)
    for pixels, labels in images.batches(list(enumerate(parts)), None, device):
        yield scale.normalised(pixels), labels


@dataclass(frozen=True)
class _Scale:
    """Standardisation of pixels to mean 0 and deviation 1 per channel."""

    mean: Tensor  # (C,), in 0 to 255, as the deviation
    std: Tensor

    @staticmethod
    def of(dataset: Dataset, device: torch.device) -> "_Scale":
        mean, std = (torch.tensor(values, device=device) * 255 for values in (dataset.mean, dataset.std))
        return _Scale(mean, std)

    def normalised(self, pixels: Tensor) -> Tensor:
        """(B, S, S, C) in 0 to 255 to (B, C, S, S) float32, channels_last."""
        scaled = (pixels.float() - self.mean) / self.std
        return scaled.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
