"""Allocation of a given time to the stages: arithmetic over forecasts.

The supernet gets half of the time, because everything later depends on it. The rest goes to the trainings from scratch,
first those for use, and to the search. Time that one of them cannot use goes to the others. `setting_ranges.py` has the
ranges of the settings.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairnas.config import AugmentationPreset, RunConfig
from fairnas.planning.setting_ranges import ALL, ImagesPerClass, SettingRanges

TRAIN_SHARE = 0.5
"""Share of the time for the supernet."""
SEARCH_SHARE = 0.2
"""Share of the time left by the supernet for the search; trainings from scratch get the rest."""
LEAST_STEPS = 300
"""Number of supernet steps below which smaller images or a narrower space are better; a step trains every block once.
"""


@dataclass(frozen=True)
class OperatingPoint:
    """Image size and width at which a run can be done; chosen before its length."""

    image_size: int
    width: float
    space: str
    augmentation: AugmentationPreset
    least_steps: int
    """Number of supernet steps from which this point is better than smaller ones."""

    @property
    def scale(self) -> float:
        """Relative amount of work of a supernet step."""
        return (self.image_size * self.width) ** 2

    def at(self, config: RunConfig) -> RunConfig:
        """Configuration at this point."""
        data = dataclasses.replace(config.data, image_size=self.image_size, augmentation=self.augmentation)
        return dataclasses.replace(config, space=self.space, width=self.width, data=data)


@dataclass(frozen=True)
class CostEstimate:
    """Forecast of a configuration."""

    steps: int
    """Number of supernet steps."""
    seconds: Mapping[str, float]
    """Seconds by stage."""

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def of(self, *stages: str) -> float:
        """Seconds of some stages."""
        return sum(self.seconds[stage] for stage in stages)


Forecast = Callable[[RunConfig, OperatingPoint], CostEstimate]
"""Function that predicts steps and seconds of a configuration at an operating point. Cheap to call."""


@dataclass(frozen=True)
class Allocation:
    """Configuration that ends in time."""

    config: RunConfig
    point: OperatingPoint
    estimate: CostEstimate
    eligible: bool
    """True if the supernet gets as many steps as the point requires."""

    @property
    def work(self) -> float:
        """Number of supernet steps weighted by their size; it never decreases with more time."""
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

    Among the points at which the supernet gets enough steps, the one with the most work; else the smallest, which has
    the most steps. A configuration that fits into a time fits into a longer one, so more time never gives less work.

    Args:
        base: the recipe's configuration with the user's settings.
        given: names of the settings that the user gave, which are not changed.
        points: points to choose from.
        forecast: predicts the time of a configuration.
        seconds: available time.
        images: possible numbers of images, smallest first.
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
    """Seconds of the smallest possible run."""
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
    """Largest run that fits into a time at one point."""
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
    """Choose search and trainings that fill the time, given the images and the supernet's epochs."""
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
    """Largest number below `count` for which `holds` is true, or -1; `holds` must be monotone."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
