"""How much of everything fits into a time: pure arithmetic over what a run is foreseen to take.

The supernet gets half of the time, because everything later stands on it. What is left goes to the trainings from
scratch, of which those for use come first, and to the search. Where one of them can use no more, the others get it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairnas.config import AugmentationPreset, RunConfig

TRAIN_SHARE = 0.5
"""Of the time, for the supernet."""
SEARCH_SHARE = 0.2
"""Of the time that the supernet leaves, for the search; trainings from scratch have the rest."""
LEAST_STEPS = 300
"""Supernet steps below which smaller images or a narrower space serve better: every block is trained once a step."""
MOST_EPOCHS = 150
"""Of a supernet, unless the recipe has more: the paper's (4.1). Beyond it nothing is known to be gained."""
SEARCH_LEAST, SEARCH_MOST = (16, 5), (64, 50)
"""Population and generations, unless the recipe has fewer or more."""
SEARCH_LEVELS = 16
"""Between the least and the recipe's search, and as many between that and the most."""
STUDY_FIRST = 6
"""Networks that the ranking study has before trainings become longer; what goes beyond comes after that."""
STUDY_LEAST = 3

DIALLED = (
    *("space", "width", "data.image_size", "data.augmentation", "train.epochs"),
    *("search.population", "search.generations", "search.latency_minutes"),
    *("stand_alone.epochs", "stand_alone.models", "stand_alone.seeds"),
)
"""Settings that are chosen, unless they are given."""


@dataclass(frozen=True)
class Point:
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
class Foreseen:
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


Study = tuple[int, int | None, int]
"""Networks of the ranking study, epochs of all trainings from scratch, seeds."""
Forecast = Callable[[RunConfig, Point], Foreseen]
"""What a configuration will take at a point, as far as is known. Costs no time worth a word."""


@dataclass(frozen=True)
class Choice:
    """A configuration that ends in time."""

    config: RunConfig
    point: Point
    foreseen: Foreseen
    eligible: bool
    """Whether the supernet gets as many steps as the point asks for."""

    @property
    def work(self) -> float:
        """Supernet steps, each counted by its size: what more time never makes less."""
        return self.foreseen.steps * self.point.scale


def choose(
    base: RunConfig, given: frozenset[str], points: Sequence[Point], forecast: Forecast, seconds: float
) -> Choice | None:
    """The best configuration that is foreseen to end in time, or None if there is none.

    Of the points at which the supernet gets enough steps, the one with most work; else the smallest, which has most
    steps. What fits into a time fits into a longer one, so more time never brings less work.

    Args:
        base: the recipe's, with what the user gave.
        given: names of the settings that the user gave, which stay.
        points: to choose from.
        forecast: what a configuration takes.
        seconds: that it may take.
    """
    choices = [choice for point in points if (choice := fit(base, given, point, forecast, seconds)) is not None]
    enough = [choice for choice in choices if choice.eligible]
    if enough:
        return max(enough, key=lambda choice: (choice.work, choice.point.scale))
    return min(choices, key=lambda choice: choice.point.scale, default=None)


def least(base: RunConfig, given: frozenset[str], points: Sequence[Point], forecast: Forecast) -> float:
    """Seconds of the least run."""
    knobs = [Knobs(point.at(base), given) for point in points]
    return min(forecast(each.least(), point).total for each, point in zip(knobs, points, strict=True))


def fit(base: RunConfig, given: frozenset[str], point: Point, forecast: Forecast, seconds: float) -> Choice | None:
    """The most that fits into a time at one point."""
    knobs = Knobs(point.at(base), given)

    def fits(epochs: int) -> bool:
        little = forecast(knobs.least(epochs), point)
        if little.total > seconds or len(knobs.epochs) == 1:
            return little.total <= seconds
        others = forecast(knobs.most(epochs), point)
        train = little.seconds["train"]
        share = train / TRAIN_SHARE - train
        wanted = min(max(share, little.total - train), others.total - others.seconds["train"])
        return train + wanted <= seconds

    place = last(len(knobs.epochs), lambda number: fits(knobs.epochs[number]))
    if place < 0:
        return None
    epochs = knobs.epochs[place]
    config = _filled(knobs, epochs, lambda config: forecast(config, point), seconds)
    foreseen = forecast(config, point)
    eligible = foreseen.steps >= point.least_steps or epochs == knobs.epochs[-1]
    return Choice(config, point, foreseen, eligible)


def _filled(knobs: "Knobs", epochs: int, forecast: Callable[[RunConfig], Foreseen], seconds: float) -> RunConfig:
    """With the supernet's epochs settled: the search and the trainings from scratch that fill the time."""
    searches, studies = knobs.searches, knobs.studies(epochs)

    def foreseen(search: int, study: int) -> Foreseen:
        return forecast(knobs.settled(epochs, searches[search], studies[study]))

    little = foreseen(0, 0)
    left = seconds - little.total + little.of("search", "retrain", "rank")
    search = max(0, last(len(searches), lambda s: foreseen(s, 0).of("search") <= SEARCH_SHARE * left))
    if foreseen(search, 0).total > seconds:  # its share is less than the least trainings leave
        search = max(0, last(len(searches), lambda s: foreseen(s, 0).total <= seconds))
    study = max(0, last(len(studies), lambda s: foreseen(search, s).total <= seconds))
    search = max(0, last(len(searches), lambda s: foreseen(s, study).total <= seconds))
    return knobs.settled(epochs, searches[search], studies[study])


def last(count: int, holds: Callable[[int], bool]) -> int:
    """The largest number below `count` that something holds for, or -1; where it fails, it fails from there on."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


class Knobs:
    """What can be chosen at a point, each from least to most; a setting that was given has one value."""

    def __init__(self, config: RunConfig, given: frozenset[str]) -> None:
        self._config, self._given = config, given
        epochs = config.train.epochs
        self.epochs = (epochs,) if "train.epochs" in given else tuple(range(1, max(MOST_EPOCHS, epochs) + 1))
        self.searches = self._searches()

    def settled(self, epochs: int, search: tuple[int, int], study: Study) -> RunConfig:
        """The configuration with these settings."""
        models, longest, seeds = study
        return dataclasses.replace(
            self._config,
            train=dataclasses.replace(self._config.train, epochs=epochs),
            search=dataclasses.replace(self._config.search, population=search[0], generations=search[1]),
            stand_alone=dataclasses.replace(self._config.stand_alone, models=models, epochs=longest, seeds=seeds),
        )

    def least(self, epochs: int | None = None) -> RunConfig:
        """With the least of everything else."""
        epochs = epochs or self.epochs[0]
        return self.settled(epochs, self.searches[0], self.studies(epochs)[0])

    def most(self, epochs: int) -> RunConfig:
        """With the most of everything else."""
        return self.settled(epochs, self.searches[-1], self.studies(epochs)[-1])

    def _searches(self) -> tuple[tuple[int, int], ...]:
        """Population and generations grow together, in equal ratios, through the recipe's."""
        recipe = (self._config.search.population, self._config.search.generations)
        names = ("search.population", "search.generations")
        low = tuple(map(min, recipe, SEARCH_LEAST))
        high = tuple(map(max, recipe, SEARCH_MOST))
        levels = []
        for a, b in ((low, recipe), (recipe, high)):
            for number in range(SEARCH_LEVELS + 1):
                each = [round(x * (y / x) ** (number / SEARCH_LEVELS)) for x, y in zip(a, b, strict=True)]
                kept = [own if name in self._given else new for name, own, new in zip(names, recipe, each, strict=True)]
                levels.append((kept[0], kept[1]))
        return tuple(dict.fromkeys(levels))

    def studies(self, epochs: int) -> tuple[Study, ...]:
        """Some networks, then longer trainings, then more networks, then more seeds; never beyond the recipe's study.

        A recipe that says nothing trains alone as long as the supernet; one that says how long knows why (a study of
        networks that are all trained to the end finds no differences).
        """
        alone = self._config.stand_alone
        longest = epochs
        if alone.epochs is not None:
            longest = min(alone.epochs, math.ceil(alone.epochs * epochs / self._config.train.epochs))
        epoch_range = [alone.epochs] if "stand_alone.epochs" in self._given else [*range(1, longest + 1)]
        fixed = "stand_alone.models" in self._given or alone.study
        models = [alone.models] if fixed else [*range(min(STUDY_LEAST, alone.models), alone.models + 1)]
        seeds = [alone.seeds] if "stand_alone.seeds" in self._given else [*range(1, alone.seeds + 1)]
        first = [count for count in models if count <= STUDY_FIRST] or models[:1]
        path = [(count, epoch_range[0], seeds[0]) for count in first]
        path += [(first[-1], each, seeds[0]) for each in epoch_range]
        path += [(count, epoch_range[-1], seeds[0]) for count in models if count > first[-1]]
        path += [(models[-1], epoch_range[-1], each) for each in seeds]
        return tuple(dict.fromkeys(path))


def value_of(config: object, name: str) -> Any:
    """The value of a setting by its dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config
