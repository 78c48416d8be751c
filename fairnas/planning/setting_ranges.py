"""Ranges of the settings that the dial chooses at given images and width, each from smallest to largest."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fairnas.config import RunConfig

MOST_EPOCHS = 150
"""Largest number of epochs of a supernet, unless the recipe has more: the paper's (4.1). No gain beyond it is known."""
FEW_EPOCHS = 4
"""Number of epochs of a supernet that cannot use all images as often: it uses fewer images, which decode sooner, and a
training of several epochs can be cut short by one.
"""
SEARCH_LEAST, SEARCH_MOST = (8, 2), (64, 50)
"""Smallest and largest population and generations, unless the recipe has fewer or more."""
SEARCH_LEVELS = 16
"""Number of levels between the smallest and the recipe's search, and between that and the largest."""
STUDY_FIRST = 6
"""Number of networks in the ranking study before trainings become longer; more networks come after that."""
STUDY_LEAST = 3  # networks; with fewer there is no ranking
STUDY_AFTER = 0.25
"""Share of the full length of trainings before there is a ranking study at all; or a few epochs."""

BUDGETED_SETTINGS = (
    *("space", "width", "data.image_size", "data.augmentation", "data.train_per_class", "data.held_out_per_class"),
    *("train.epochs", "search.population", "search.generations", "search.latency_minutes", "search.select"),
    *("stand_alone.epochs", "stand_alone.models", "stand_alone.seeds"),
)
"""Settings that are chosen, unless the user gave them."""


class ImagesPerClass(NamedTuple):
    """Largest number of images of each class; None: all."""

    train: int | None
    held_out: int | None
    """Number of validation images, and of test images."""


ALL = (ImagesPerClass(None, None),)


class Length(NamedTuple):
    """Length of a supernet's training."""

    images: ImagesPerClass
    epochs: int


class Trainings(NamedTuple):
    """Trainings from scratch."""

    select: int
    """Number of networks for use."""
    models: int
    """Number of networks in the ranking study."""
    epochs: int | None
    seeds: int


class SettingRanges:
    """Possible settings at a point, each from smallest to largest; a given setting has one value."""

    def __init__(self, config: RunConfig, given: frozenset[str], images: Sequence[ImagesPerClass] = ALL) -> None:
        self._config, self._given = config, given
        self.lengths = self._lengths(images)
        self.searches = self._searches()

    def settled(self, length: Length, search: tuple[int, int], trainings: Trainings) -> RunConfig:
        """Configuration with these settings."""
        config, (population, generations) = self._config, search
        select, models, longest, seeds = trainings
        train, held_out = length.images
        return dataclasses.replace(
            config,
            data=dataclasses.replace(
                config.data,
                train_per_class=config.data.train_per_class if train is None else train,
                held_out_per_class=config.data.held_out_per_class if held_out is None else held_out,
            ),
            train=dataclasses.replace(config.train, epochs=length.epochs),
            search=dataclasses.replace(config.search, population=population, generations=generations, select=select),
            stand_alone=dataclasses.replace(config.stand_alone, models=models, epochs=longest, seeds=seeds),
        )

    def least(self, length: Length | None = None) -> RunConfig:
        """Configuration with the smallest other settings."""
        length = length or self.lengths[0]
        return self.settled(length, self.searches[0], self.trainings(length.epochs)[0])

    def most(self, length: Length) -> RunConfig:
        """Configuration with the largest other settings."""
        return self.settled(length, self.searches[-1], self.trainings(length.epochs)[-1])

    def _lengths(self, images: Sequence[ImagesPerClass]) -> tuple[Length, ...]:
        """Lengths in order: a few images and epochs; then all images; then more epochs."""
        epochs = self._config.train.epochs
        if "train.epochs" in self._given:
            return tuple(Length(each, epochs) for each in images)
        most = max(MOST_EPOCHS, epochs)
        path = [Length(images[0], count) for count in range(1, FEW_EPOCHS + 1)]
        path += [Length(each, FEW_EPOCHS) for each in images]
        path += [Length(images[-1], count) for count in range(FEW_EPOCHS, most + 1)]
        return tuple(dict.fromkeys(path))

    def _searches(self) -> tuple[tuple[int, int], ...]:
        """Populations and generations, which grow together in equal ratios, through the recipe's."""
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
        alone = self._config.stand_alone
        # the study chooses from the networks of the search
        needed = 0 if alone.study or alone.choose == "random" else alone.models
        return tuple(dict.fromkeys(each for each in levels if math.prod(each) >= needed)) or (levels[-1],)

    def trainings(self, epochs: int) -> tuple[Trainings, ...]:
        """Steps of growth up to the recipe: one network, more of them, a study, longer trainings, a larger study.

        If a recipe gives no length, stand-alone trainings are as long as the supernet's. A given length is not
        exceeded: a study of networks that are all fully trained finds no differences.

        Args:
            epochs: epochs of the supernet.
        """
        alone, search = self._config.stand_alone, self._config.search
        longest = epochs
        if alone.epochs is not None:
            longest = min(alone.epochs, math.ceil(alone.epochs * epochs / self._config.train.epochs))
        fixed = alone.epochs is not None and "stand_alone.epochs" in self._given
        epoch_range = [alone.epochs or longest] if fixed else [*range(1, longest + 1)]
        selects = [search.select] if "search.select" in self._given else [*range(1, search.select + 1)]
        seeds = [alone.seeds] if "stand_alone.seeds" in self._given else [*range(1, alone.seeds + 1)]
        models = self._models()
        few = [count for count in models if count <= STUDY_FIRST] or models[:1]
        short = [each for each in epoch_range if each <= max(epoch_range[0], FEW_EPOCHS, STUDY_AFTER * longest)]
        select = selects[-1]
        path = [Trainings(selects[0], few[0], each, seeds[0]) for each in short]
        path += [Trainings(each, few[0], short[-1], seeds[0]) for each in selects]
        path += [Trainings(select, count, short[-1], seeds[0]) for count in few]
        path += [Trainings(select, few[-1], each, seeds[0]) for each in epoch_range if each >= short[-1]]
        path += [Trainings(select, count, epoch_range[-1], seeds[0]) for count in models if count > few[-1]]
        path += [Trainings(select, models[-1], epoch_range[-1], each) for each in seeds]
        return tuple(dict.fromkeys(path))

    def _models(self) -> list[int]:
        """Numbers of networks in the ranking study: none, or enough for a ranking."""
        alone = self._config.stand_alone
        if "stand_alone.models" in self._given or alone.study or not alone.models:
            return [alone.models]
        return [0, *range(min(STUDY_LEAST, alone.models), alone.models + 1)]


def value_of(config: object, name: str) -> Any:
    """Value of a setting by its dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config
