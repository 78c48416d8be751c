"""Images that travel to other machines with the work that needs them, where they are few enough."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fairnas.data.dataset import Dataset
from fairnas.data.images import Images, ResidentImages

SENT_BYTES = 256_000_000
"""Images that take more than this, all splits together, do not travel: who needs them reads their files."""


@dataclass(frozen=True, eq=False)
class _SentImages(ResidentImages):
    """Images that are pickled as arrays: tensors would travel through torch's shared memory, or not at all."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.pixels.numpy(), self.labels.numpy(), self.size)


def _received(pixels: np.ndarray, labels: np.ndarray, size: int) -> ResidentImages:
    # copied, because what arrives over a network may lie in memory that cannot be written to, which torch warns of
    return ResidentImages(torch.from_numpy(pixels.copy()), torch.from_numpy(labels.copy()), size)


def sendable(dataset: Dataset) -> Dataset | None:
    """The data set in a form that can be pickled; None if its images are streamed, or too many to travel."""
    splits: dict[str, Images] = {}
    size = 0
    for split in ("train", "validation", "test"):
        images = getattr(dataset, split)
        if not isinstance(images, ResidentImages):
            return None
        size += images.pixels.nbytes
        splits[split] = _SentImages(images.pixels, images.labels, images.size)
    return dataclasses.replace(dataset, **splits) if size <= SENT_BYTES else None
