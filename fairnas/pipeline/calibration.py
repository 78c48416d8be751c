"""Training images for BN statistics before genomes are scored. They are not augmented."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairnas.data import Dataset, Images, ordered_batches
from fairnas.data.augment import Views
from fairnas.randomness import generator
from fairnas.space import Genome


@dataclass(frozen=True)
class CalibrationImages:
    """Training images, the same for all genomes or drawn for each; all of them if there are fewer than wanted."""

    dataset: Dataset
    wanted: int
    seed: int
    device: torch.device

    def shared(self) -> Tensor:
        """(n, C, S, S), the first images in an order that mixes the classes."""
        return self._normalised(np.arange(self._count))

    def of(self, genome: Genome) -> Tensor:
        """(n, C, S, S), drawn without replacement, as a function of the seed and the genome."""
        rng = generator(self.seed, "calibration", *genome)
        return self._normalised(np.sort(rng.choice(len(self.dataset.train), self._count, replace=False)))

    @property
    def _count(self) -> int:
        return min(self.wanted, len(self.dataset.train))

    def _normalised(self, places: np.ndarray) -> Tensor:
        some = _Some(self.dataset.train, places)
        batches = ordered_batches(some, self.dataset, batch_size=len(places), device=self.device)
        return next(batches)[0]


@dataclass(frozen=True)
class _Some:
    """Subset of the images of a split."""

    whole: Images
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @property
    def labels(self) -> Tensor:
        return self.whole.labels[torch.from_numpy(self.places)]

    def batches(
        self, tasks: Sequence[tuple[int, np.ndarray]], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        chosen = [(number, self.places[places]) for number, places in tasks]
        yield from self.whole.batches(chosen, views, device)
