"""Operating points of a run: image sizes and widths, and the time of a supernet step at each."""

import dataclasses
import math
from pathlib import Path

import torch

from fairnas.config import RunConfig
from fairnas.data import Dataset, scan_folder
from fairnas.data.images import ResidentImages
from fairnas.errors import ConfigError, SpaceError
from fairnas.nets import cost_table
from fairnas.pipeline.costs import costs_before_run
from fairnas.pipeline.experiment import is_small_work, pick_device
from fairnas.pipeline.prepare import Prepared
from fairnas.planning.allocation import LEAST_STEPS, OperatingPoint
from fairnas.planning.dry_run import threads_put_back
from fairnas.planning.timing import Limits, time_training
from fairnas.randomness import generator
from fairnas.recipes import IMAGE_SIZES, folder_augmentation, folder_space
from fairnas.search import check_bounds, cost_ranges, objectives_from
from fairnas.space import SearchSpace, get_space, scaled
from fairnas.train import strategy_facts, supernet_training

LEAST_SIDE = 32
"""Smallest image size for photographs, which would lose their content below; sets of smaller images keep their size."""
LEAST_FEATURES = 2
"""Smallest side of the last layer's features in pixels; depthwise kernels need more than one."""
WIDTHS = (0.75, 0.5, 0.25)
"""Factors on the channels, tried at the smallest image size."""
PROBE = Limits(least=1.0, most=2.0)
"""Duration of measuring a supernet step at one point."""
PROBE_BATCHES = 4  # mini-batches of noise for every mini-batch of a step


def points_of(prepared: Prepared, given: frozenset[str]) -> tuple[OperatingPoint, ...]:
    """Points at which a run can be done, smallest first: the recipe's, larger images, smaller ones, fewer channels.

    Images are never enlarged. Given settings are not changed.
    """
    config = prepared.config
    here = prepared.dataset.image_size
    sizes = [here]
    if "data.image_size" not in given:
        sizes += [size for size in IMAGE_SIZES if here < size <= _largest(config, here)]
        sizes += [size for size in IMAGE_SIZES if LEAST_SIDE <= size < here]
    points = {size: _point(prepared, given, size) for size in sorted(sizes)}
    usable = [point for size, point in points.items() if size == here or size >= LEAST_FEATURES * _reduction(point)]
    widths = () if "width" in given else sorted(config.width * width for width in WIDTHS)
    narrow = [dataclasses.replace(usable[0], width=width) for width in widths if width >= min(WIDTHS)]
    return tuple(each for each in (*narrow, *usable) if is_at(prepared, each) or _meets_bounds(prepared, each))


def is_at(prepared: Prepared, point: OperatingPoint) -> bool:
    """True if a point is the prepared one."""
    return prepared.dataset.image_size == point.image_size and prepared.config.width == point.width


def _meets_bounds(prepared: Prepared, point: OperatingPoint) -> bool:
    """True if networks at a point can meet the bounds, and a given latency table is valid there."""
    search, space = prepared.config.search, _space_at(prepared, point)
    try:
        check_bounds(space, objectives_from(search), cost_ranges(space, costs_before_run(space, search)))
    except (ConfigError, SpaceError):
        return False
    return True


def _space_at(prepared: Prepared, point: OperatingPoint) -> SearchSpace:
    dataset = prepared.dataset
    return scaled(get_space(point.space), point.width).for_data(
        image_size=point.image_size, image_channels=dataset.image_channels, num_classes=len(dataset.classes)
    )


def _point(prepared: Prepared, given: frozenset[str], size: int) -> OperatingPoint:
    config, here = prepared.config, prepared.dataset.image_size
    follows = config.recipe == "folder" and size != here
    return OperatingPoint(
        size,
        config.width,
        folder_space(size) if follows and "space" not in given else config.space,
        folder_augmentation(size) if follows and "data.augmentation" not in given else config.data.augmentation,
        prepared.steps if size > here else LEAST_STEPS,
    )


def _largest(config: RunConfig, here: int) -> int:
    """Side in pixels that the median image fills."""
    data = config.data
    kind, _, path = data.name.partition(":")
    return scan_folder(Path(path), data.layout, data.labels).median_side if kind == "folder" else here


def _reduction(point: OperatingPoint) -> int:
    return get_space(point.space).reduction


class StepTimes:
    """Seconds of a supernet step at each point: measured, or estimated in proportion to multiply-adds."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._measured: dict[OperatingPoint, float] = {}
        self._sizes: dict[OperatingPoint, float] = {}

    def __call__(self, point: OperatingPoint) -> float:
        """Seconds at a point, from the nearest measured one."""
        if point in self._measured:
            return self._measured[point]
        size = self._madds(point)
        near = min(self._measured, key=lambda other: abs(math.log(self._madds(other) / size)))
        return self._measured[near] * size / self._madds(near)

    def knows(self, point: OperatingPoint) -> bool:
        """True if the point was measured."""
        return point in self._measured

    def measure(self, point: OperatingPoint, patience: float = 1.0) -> None:
        """Time a few steps on noise, which costs the same as images and need not be decoded."""
        prepared, config = self._prepared, point.at(self._prepared.config)
        space, device = self._space(point), pick_device(config.resources.device)
        batches = PROBE_BATCHES * strategy_facts(config.train, space.choices).batches_per_step
        dataset = _noise(prepared.dataset, space, batches * config.train.batch_size, config)
        with threads_put_back():
            if device.type == "cpu" and is_small_work(space, config.train.batch_size):
                torch.set_num_threads(1)
            times, _ = time_training(
                lambda changed: supernet_training(space, changed, config.seed, device, config.resources),
                *(dataset, config.train, device, PROBE.times(patience)),
            )
        self._measured[point] = times.step

    def _madds(self, point: OperatingPoint) -> float:
        if point not in self._sizes:
            table = cost_table(self._space(point))
            self._sizes[point] = table.lightest["madds"] + table.heaviest["madds"]
        return self._sizes[point]

    def _space(self, point: OperatingPoint) -> SearchSpace:
        return _space_at(self._prepared, point)


_PER_CLASS = 32  # more than the reciprocal of the smallest share of the images that a strategy reserves


def _noise(dataset: Dataset, space: SearchSpace, most: int, config: RunConfig) -> Dataset:
    """Data set with its training images replaced by noise of another size.

    It has so few classes that each has enough images for a strategy that reserves some of each for the architecture.
    """
    rng = generator(config.seed, "noise")
    count = min(most, len(dataset.train))
    classes = min(len(dataset.classes), max(1, count // _PER_CLASS))
    labels = torch.arange(count, dtype=dataset.train.labels.dtype) % classes
    shape = (len(labels), space.image_size, space.image_size, space.image_channels)
    pixels = torch.from_numpy(rng.integers(0, 256, shape, dtype="uint8"))
    return dataclasses.replace(
        dataset,
        image_size=space.image_size,
        train=ResidentImages(pixels, labels, space.image_size),
        augmentation=config.data.applied,
    )
