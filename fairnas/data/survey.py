"""Survey of a data set before its images are decoded: numbers of images per class, and the time of decoding."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairnas.config import DataConfig
from fairnas.data.augment import Views
from fairnas.data.dataset import Dataset
from fairnas.data.decode import quiet_pillow, read_square
from fairnas.data.decoding import Decoding
from fairnas.data.duplicates import require_classes_apart
from fairnas.data.folder_scan import found_channels, sample_headers
from fairnas.data.formats import CorruptImageError
from fairnas.data.from_files import shares_of
from fairnas.data.groups import read_groups
from fairnas.data.image_files import CORES, Files
from fairnas.data.images import Task, fit_in_memory
from fairnas.data.load import find_layout, load_dataset
from fairnas.data.splits import first_of_each, ranks
from fairnas.data.units import Units, carve_together

SAMPLE = 256
"""Number of files, evenly spaced over the training images, with which decoding is timed."""


@dataclass(frozen=True, eq=False)
class CountedImages:
    """Images of a split of which only the labels are known; see `Images`."""

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Not available: raises an error."""
        raise AssertionError("these images are only counted")


class Survey:
    """Data set known from the list of its files."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        """List the files, and compare classes that may be copies. Raises `DataError` as `load_dataset` does.

        Args:
            config: names the data set.
            seed: the run's seed, which determines the images held out.
        """
        self._config, self._seed, self._layout = config, seed, find_layout(config)
        self._whole: Dataset | None = None
        if self._layout is not None and config.copies != "none":
            for split in self._layout.splits:
                require_classes_apart(split)

    @property
    def is_of_files(self) -> bool:
        """True if there is anything to decode."""
        return self._layout is not None

    def dataset(self, config: DataConfig, image_size: int) -> Dataset:
        """Data set as `load_dataset` would give it, with labels instead of images.

        Unlike there, it includes corrupt files and does not keep copies together.

        A data set in arrays is loaded, which is fast; with fewer images per class, the loaded one is reused.

        Args:
            config: shares per class and augmentation.
            image_size: side of the images in pixels.
        """
        layout = self._layout
        if layout is None:
            return self._of_arrays(config, image_size)
        classes, (pool, rank) = layout.train.names, self._pool
        carved = carve_together(rank, pool.labels, classes, shares_of(config, layout), self._units)
        splits = {"train": pool.labels[carved.train]}
        for split, places in (("validation", carved.validation), ("test", carved.test)):
            brought = self._brought(split)
            if brought is None:
                splits[split] = pool.labels[places]
            else:
                files, order = brought
                splits[split] = files.labels[first_of_each(order, files.labels, config.held_out_per_class)]
        channels = self._channels
        return Dataset(
            name=config.name,
            classes=classes,
            image_size=image_size,
            image_channels=channels,
            mean=(0.5,) * channels,  # any values will do: there are no pixels
            std=(0.25,) * channels,
            augmentation=config.applied,
            findings=(),
            fingerprint="",
            fit=config.fit,
            value_range=config.value_range,
            **{split: CountedImages(torch.from_numpy(labels)) for split, labels in splits.items()},
        )

    def time_decoding(self, image_size: int, seconds: float) -> float:
        """Seconds per image for decoding, with as many threads as loading uses; 0 if nothing is decoded.

        Args:
            image_size: side of the squares in pixels.
            seconds: time after which no further image is started.
        """
        if self._layout is None:
            return 0.0
        files = self._pool[0]
        some = files.take(np.unique(np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)))
        places, done = iter(np.random.default_rng(self._seed).permutation(len(some)).tolist()), []
        decoding = Decoding(image_size, self._channels, self._config.fit, self._config.value_range)
        begin = time.monotonic()

        def decode(_: int) -> None:
            while (place := next(places, None)) is not None:
                with contextlib.suppress(CorruptImageError):
                    read_square(some.path(place), decoding)
                done.append(place)
                if time.monotonic() - begin > seconds:
                    return

        threads = min(8, CORES)
        with quiet_pillow(), ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, range(threads)))
        return (time.monotonic() - begin) / len(done)

    def is_resident(self, dataset: Dataset) -> bool:
        """True if a data set will be decoded once and kept, rather than at every use."""
        count = len(dataset.train) + len(dataset.validation) + len(dataset.test)
        return self._layout is None or fit_in_memory(count, dataset.decoding)

    def _of_arrays(self, config: DataConfig, image_size: int) -> Dataset:
        if self._whole is None:
            self._whole = load_dataset(config, image_size=image_size, image_channels=None, seed=self._seed)
        limits = {"train": config.train_per_class, "validation": config.held_out_per_class}
        labels = {split: getattr(self._whole, split).labels for split in ("train", "validation", "test")}
        kept = {
            split: CountedImages(each[_first(each, limits.get(split, config.held_out_per_class))])
            for split, each in labels.items()
        }
        return dataclasses.replace(self._whole, image_size=image_size, **kept)

    @functools.cached_property
    def _pool(self) -> tuple[Files, np.ndarray]:
        assert self._layout is not None
        return self._ranked(Files.of(self._layout.train))

    @functools.cached_property
    def _units(self) -> Units:
        """Units by groups only; copies are not known before images are read."""
        assert self._layout is not None
        pool, rank = self._pool
        brought = {split: found[0] for split in ("validation", "test") if (found := self._brought(split))}
        groups = read_groups(self._config, {"train": pool, **brought})["train"]
        return Units.of(groups.ranks(rank, self._seed), [groups.ids])

    def _brought(self, split: str) -> tuple[Files, np.ndarray] | None:
        assert self._layout is not None
        folder = self._layout.validation if split == "validation" else self._layout.test
        if folder is None:
            return None
        if split not in self._ranked_splits:
            self._ranked_splits[split] = self._ranked(Files.of(folder))
        return self._ranked_splits[split]

    @functools.cached_property
    def _ranked_splits(self) -> dict[str, tuple[Files, np.ndarray]]:
        return {}

    def _ranked(self, files: Files) -> tuple[Files, np.ndarray]:
        return files, ranks(self._seed, files.members())

    @functools.cached_property
    def _channels(self) -> int:
        assert self._layout is not None
        return found_channels(sample_headers(self._layout.train))


def _first(labels: Tensor, most: int | None) -> Tensor:
    """Positions of the first `most` images of each class."""
    return torch.from_numpy(first_of_each(np.arange(len(labels)), labels.numpy(), most))
