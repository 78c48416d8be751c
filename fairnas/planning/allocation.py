"""How much of everything fits into a time: pure arithmetic over what a run is foreseen to take.

The supernet gets half of the time, because everything later stands on it. What is left goes to the trainings from
scratch, of which those for use come first, and to the search. Where one of them can use no more, the others get it.
Of what can be chosen, `ranges.py` says from where to where.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairnas.config import AugmentationPreset, RunConfig
from fairnas.planning.setting_ranges import ALL, ImagesPerClass, SettingRanges

TRAIN_SHARE = 0.5
"""Of the time, for the supernet."""
SEARCH_SHARE = 0.2
"""Of the time that the supernet leaves, for the search; trainings from scratch have the rest."""
LEAST_STEPS = 300
"""Supernet steps below which smaller images or a narrower space serve better: every block is trained once a step."""


@dataclass(frozen=True)
class OperatingPoint:
    """Images and network at which a run can be done; choosing one comes before choosing how long."""

    image_size: int
    width: float
    space: str
    augmentation: AugmentationPreset
    least_steps: int
    """Supernet steps from which this point serves better than the smaller ones."""

    @property
    def scale(self) -> float:
        """Grows with what a supernet step does."""
        return (self.image_size * self.width) ** 2

    def at(self, config: RunConfig) -> RunConfig:
        """The configuration there."""
        data = dataclasses.replace(config.data, image_size=self.image_size, augmentation=self.augmentation)
        return dataclasses.replace(config, space=self.space, width=self.width, data=data)


@dataclass(frozen=True)
class CostEstimate:
    """What a configuration will take."""

    steps: int
    """Supernet steps."""
    seconds: Mapping[str, float]
    """By stage."""

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def of(self, *stages: str) -> float:
        """Seconds of some."""
        return sum(self.seconds[stage] for stage in stages)


Forecast = Callable[[RunConfig, OperatingPoint], CostEstimate]
"""What a configuration will take at a point, as far as is known. Costs no time worth a word."""


@dataclass(frozen=True)
class Allocation:
    """A configuration that ends in time."""

    config: RunConfig
    point: OperatingPoint
    estimate: CostEstimate
    eligible: bool
    """Whether the supernet gets as many steps as the point asks for."""

    @property
    def work(self) -> float:
        """Supernet steps, each counted by its size: what more time never makes less."""
        return self.estimate.steps * self.point.scale


def choose(
    base: RunConfig,
    given: frozenset[str],
    points: Sequence[OperatingPoint],
    forecast: Forecast,
    seconds: float,
    images: Sequence[ImagesPerClass] = ALL,
) -> Allocation | None:
    """The best configuration that is foreseen to end in time, or None if there is none.

    Of the points at which the supernet gets enough steps, the one with most work; else the smallest, which has most
    steps. What fits into a time fits into a longer one, so more time never brings less work.

    Args:
        base: the recipe's, with what the user gave.
        given: names of the settings that the user gave, which stay.
        points: to choose from.
        forecast: what a configuration takes.
        seconds: that it may take.
        images: how many may be used, fewest first.
    """
    choices = [
        allocation for point in points if (allocation := fit(base, given, point, forecast, seconds, images)) is not None
    ]
    enough = [allocation for allocation in choices if allocation.eligible]
    if enough:
        return max(enough, key=lambda allocation: (allocation.work, allocation.point.scale))
    return min(choices, key=lambda allocation: allocation.point.scale, default=None)


def least(
    base: RunConfig,
    given: frozenset[str],
    points: Sequence[OperatingPoint],
    forecast: Forecast,
    images: Sequence[ImagesPerClass] = ALL,
) -> float:
    """Seconds of the least run."""
    ranges = [SettingRanges(point.at(base), given, images) for point in points]
    return min(forecast(each.least(), point).total for each, point in zip(ranges, points, strict=True))


def fit(
    base: RunConfig,
    given: frozenset[str],
    point: OperatingPoint,
    forecast: Forecast,
    seconds: float,
    images: Sequence[ImagesPerClass] = ALL,
) -> Allocation | None:
    """The most that fits into a time at one point."""
    ranges = SettingRanges(point.at(base), given, images)

    def fits(number: int) -> bool:
        length = ranges.lengths[number]
        little = forecast(ranges.least(length), point)
        if little.total > seconds or len(ranges.lengths) == 1:
            return little.total <= seconds
        others = forecast(ranges.most(length), point)
        train = little.seconds["train"]
        share = train / TRAIN_SHARE - train
        wanted = min(max(share, little.total - train), others.total - others.seconds["train"])
        return train + wanted <= seconds

    place = last(len(ranges.lengths), fits)
    if place < 0:
        return None
    config = _filled(ranges, place, lambda config: forecast(config, point), seconds)
    estimate = forecast(config, point)
    eligible = estimate.steps >= point.least_steps or place == len(ranges.lengths) - 1
    return Allocation(config, point, estimate, eligible)


def _filled(
    ranges: SettingRanges, place: int, forecast: Callable[[RunConfig], CostEstimate], seconds: float
) -> RunConfig:
    """With images and the supernet's epochs settled: the search and the trainings from scratch that fill the time."""
    length = ranges.lengths[place]
    searches, trainings = ranges.searches, ranges.trainings(length.epochs)

    def estimate(search: int, training: int) -> CostEstimate:
        return forecast(ranges.settled(length, searches[search], trainings[training]))

    little = estimate(0, 0)
    left = seconds - little.total + little.of("search", "retrain", "rank")
    search = max(0, last(len(searches), lambda s: estimate(s, 0).of("search") <= SEARCH_SHARE * left))
    if estimate(search, 0).total > seconds:  # its share is less than the least trainings leave
        search = max(0, last(len(searches), lambda s: estimate(s, 0).total <= seconds))
    training = max(0, last(len(trainings), lambda t: estimate(search, t).total <= seconds))
    search = max(0, last(len(searches), lambda s: estimate(s, training).total <= seconds))
    return ranges.settled(length, searches[search], trainings[training])


def last(count: int, holds: Callable[[int], bool]) -> int:
    """The largest number below `count` that something holds for, or -1; where it fails, it fails from there on."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
