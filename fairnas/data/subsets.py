"""Training images in two parts: one for the weights, one for an architecture that is learned beside them."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairnas.data.augment import Views
from fairnas.data.dataset import Dataset
from fairnas.data.images import Images, Task
from fairnas.errors import ConfigError


@dataclass(frozen=True, eq=False)
class PartOfImages:
    """Subset of the images of a split, without copying."""

    whole: Images
    places: np.ndarray
    """Positions of the images, in order."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, on the CPU."""
        return self.whole.labels[torch.from_numpy(self.places)]

    def __len__(self) -> int:
        return len(self.places)

    def batches(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        return self.whole.batches([(number, self.places[own]) for number, own in tasks], views, device)


def split_for_architecture(dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Two data sets with disjoint training images: the larger rest, and `share` of every class.

    The assignment depends only on the data set. Raises `ConfigError` if either part would be empty.
    """
    labels = dataset.train.labels.numpy()
    order = np.argsort(labels, kind="stable")
    grouped = labels[order]
    place = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    # positions within a class that cross a multiple of 1/share: an even spread, whatever the order of the files
    taken = np.zeros(len(labels), dtype=bool)
    taken[order] = np.floor((place + 1) * share) > np.floor(place * share)
    if taken.all() or not taken.any():
        raise ConfigError(
            f"{share:g} of {len(labels)} training images, class by class, leaves {int((~taken).sum())} for the weights "
            f"and {int(taken.sum())} for the architecture; give more images, or another train.architecture.share"
        )
    weights, other = (
        dataclasses.replace(dataset, train=PartOfImages(dataset.train, np.flatnonzero(chosen)))
        for chosen in (~taken, taken)
    )
    return weights, other
