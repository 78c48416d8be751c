"""Images that are sent to workers on other machines together with the work, if they are few enough."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fairnas.data.dataset import Dataset
from fairnas.data.images import Images, ResidentImages

SENT_BYTES = 256_000_000
"""Limit of all splits together in bytes; images that take more are not sent, but read from files on the other machine.
"""


@dataclass(frozen=True, eq=False)
class _SentImages(ResidentImages):
    """Images that are pickled as arrays: tensors would need torch's shared memory, which other machines do not have."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.pixels.numpy(), self.labels.numpy(), self.size)


def _received(pixels: np.ndarray, labels: np.ndarray, size: int) -> ResidentImages:
    # copied, because received arrays may lie in read-only memory, about which torch warns
    return ResidentImages(torch.from_numpy(pixels.copy()), torch.from_numpy(labels.copy()), size)


def sendable(dataset: Dataset) -> Dataset | None:
    """Return the data set in a form that can be pickled; None if its images are streamed or too many to send."""
    splits: dict[str, Images] = {}
    size = 0
    for split in ("train", "validation", "test"):
        images = getattr(dataset, split)
        if not isinstance(images, ResidentImages):
            return None
        size += images.pixels.nbytes
        splits[split] = _SentImages(images.pixels, images.labels, images.size)
    return dataclasses.replace(dataset, **splits) if size <= SENT_BYTES else None
