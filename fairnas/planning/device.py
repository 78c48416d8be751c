"""Measurements of this device with these images, and forecasts of configurations from them.

First images are counted, and decoding and supernet steps are timed, which takes seconds and allows rough forecasts.
After a rehearsal at one point, forecasts are arithmetic over its measurements.
"""

import dataclasses
import math
import time

from fairnas.config import RunConfig
from fairnas.data import Dataset, Survey
from fairnas.errors import FairnasError
from fairnas.pipeline.prepare import Prepared, prepare
from fairnas.pipeline.train_stage import CURVE_GENOMES
from fairnas.planning.allocation import CostEstimate, OperatingPoint
from fairnas.planning.dry_run import DryRunTimes, rehearse
from fairnas.planning.forecast import estimate_of, plan_of
from fairnas.planning.operating_points import StepTimes, points_of
from fairnas.planning.plan import Plan, StagePlan
from fairnas.planning.setting_ranges import ALL, ImagesPerClass
from fairnas.progress import Narrator
from fairnas.train import strategy_facts, training_steps
from fairnas.train.supernet import parts_of

FEWER = 1.5
"""Factor between possible numbers of images: all of them, that many times fewer, and so on."""
HELD_OUT_LEAST = 100
"""Smallest number of validation images, and of test images, in total over all classes."""
HELD_OUT_SHARE = 0.25
"""Largest number of validation or test images of a class beyond that, as a share of its training images."""
DECODING_SECONDS = 1.5
"""Duration of timing the decoding of images."""
FORWARD = 1 / 3
"""Time for scoring an image, as a share of the time for training on it."""
ALONE = 1.5
"""Time of a stand-alone network relative to a path of the supernet of equal size."""
START, EXPORT, REPORT = 1.0, 1.5, 0.1
"""Times relative to measuring the first supernet step, which builds, loads and warms up about as much: to start
training processes, to export a network, to write the report.
"""
REHEARSAL = 5.0
"""Times as long as that, which a rehearsal takes at the least."""


def images_of(dataset: Dataset, config: RunConfig, given: frozenset[str]) -> tuple[ImagesPerClass, ...]:
    """Possible numbers of images per class, from about one mini-batch in total to all images.

    Args:
        dataset: data set with all usable images.
        config: configuration, with the size of a mini-batch.
        given: names of the settings that the user gave, which are not changed.
    """
    counts, *others = (
        [int(count) for count in images.labels.bincount()]
        for images in (dataset.train, dataset.validation, dataset.test)
    )
    most, held_out = max(counts), max(map(max, others))
    fixed_train = "data.train_per_class" in given
    fixed = {f"data.{part}_per_class" for part in ("validation", "test", "held_out")} & given
    found, count = list(ALL), most
    while True:
        kept = max(math.ceil(HELD_OUT_LEAST / len(counts)), int(HELD_OUT_SHARE * count))
        train = None if fixed_train or count == most else count
        found.append(ImagesPerClass(train, None if fixed or kept >= held_out else kept))
        if count == 1 or sum(min(count, each) for each in counts) <= config.train.batch_size:
            return tuple(reversed(dict.fromkeys(found)))
        count = max(1, int(count / FEWER))


class Device:
    """Measurements so far."""

    def __init__(self, config: RunConfig, given: frozenset[str], patience: float) -> None:
        """Count the images and find the possible operating points. Raises `FairnasError` as `prepare` does.

        Args:
            config: the recipe's configuration with the user's settings.
            given: names of the settings that the user gave, which are not changed.
            patience: share of the usual time to spend on measurements.
        """
        self.config, self._patience = config, patience
        self.survey = Survey(config.data, config.seed)
        self.base = prepare(config, survey=self.survey)
        self.points = points_of(self.base, given)
        self.steps = StepTimes(self.base)
        self.decoding = 0.0
        """Seconds for decoding an image."""
        self.probing = 0.0
        """Seconds for measuring the first supernet step, in total."""
        self.rehearsals: dict[OperatingPoint, tuple[Prepared, DryRunTimes]] = {}
        self._loaded: dict[tuple[OperatingPoint, ImagesPerClass], Prepared] = {}
        self._counted: dict[ImagesPerClass, Dataset] = {}
        self._datasets = [each for each in images_of(self.base.dataset, config, given) if self._suffice(each)]

    @property
    def images(self) -> tuple[ImagesPerClass, ...]:
        """Possible numbers of images, smallest first."""
        return tuple(self._datasets)

    def images_within(self, seconds: float) -> tuple[ImagesPerClass, ...]:
        """Numbers of images that can be decoded in time; the smallest in any case."""
        size = self.base.dataset.image_size
        return tuple(
            each
            for place, each in enumerate(self._datasets)
            if place == 0 or self.decoding * _count(self.counted(size, each)) <= seconds
        )

    def time_decoding(self) -> None:
        """Time the decoding of some images."""
        self.decoding = self.survey.time_decoding(self.base.dataset.image_size, DECODING_SECONDS * self._patience)

    def time_step(self, point: OperatingPoint) -> None:
        """Time some supernet steps at a point."""
        begin = time.monotonic()
        self.steps.measure(point, self._patience)
        self.probing = self.probing or time.monotonic() - begin

    def load(self, config: RunConfig, point: OperatingPoint) -> Prepared:
        """Configuration ready to run, with decoded images. Images that are already decoded are reused."""
        key = (point, images_in(config))
        if key not in self._loaded:
            self._loaded = {key: prepare(config)}  # only the rehearsals of other configurations are kept
        return dataclasses.replace(self._loaded[key], config=config)

    @property
    def loaded(self) -> tuple[OperatingPoint, ImagesPerClass] | None:
        """Point and number of the images that are decoded."""
        return next(iter(self._loaded), None)

    def is_loaded(self, config: RunConfig, point: OperatingPoint) -> bool:
        """True if the images of a configuration are decoded."""
        return (point, images_in(config)) in self._loaded

    def rehearse(self, config: RunConfig, point: OperatingPoint, narrator: Narrator) -> None:
        """Rehearse at a point, with the configuration's images and the recipe's full search and study."""
        ready = self.load(config, point)
        prepared = dataclasses.replace(ready, config=dataclasses.replace(point.at(self.config), data=config.data))
        self.rehearsals[point] = (prepared, rehearse(prepared, narrator, self._patience))

    def counted(self, size: int, images: ImagesPerClass) -> Dataset:
        """Data set with a given number of images per class, not decoded."""
        if images not in self._counted:
            config = self.config.data
            data = dataclasses.replace(
                config,
                train_per_class=config.train_per_class if images.train is None else images.train,
                held_out_per_class=config.held_out_per_class if images.held_out is None else images.held_out,
            )
            self._counted[images] = self.survey.dataset(data, size)
        return dataclasses.replace(self._counted[images], image_size=size)

    def forecast(self, config: RunConfig, point: OperatingPoint) -> CostEstimate:
        """Forecast of a configuration from now on."""
        dataset = self.counted(point.image_size, self._images_in(config))
        decoding = 0.0 if self.is_loaded(config, point) else self.decoding * _count(dataset)
        found = estimate_of(self.plan(config, point)) if self.rehearsals else self._rough(config, point, dataset)
        return CostEstimate(found.steps, {**found.seconds, "data": decoding})

    def only_training(self, config: RunConfig, point: OperatingPoint) -> CostEstimate:
        """Forecast of the supernet's training alone."""
        found = self._rough(config, point, self.counted(point.image_size, self._images_in(config)))
        none = dict.fromkeys(("search", "retrain", "rank", "export", "report"), 0.0)
        return CostEstimate(found.steps, {"train": found.seconds["train"], **none})

    def plan(self, config: RunConfig, point: OperatingPoint) -> Plan:
        """Plan of a configuration, from the rehearsal of its point, or of the nearest one and the times of steps."""
        dataset = self.counted(point.image_size, self._images_in(config))
        if not self.rehearsals:
            return self._rough_plan(config, point, dataset)
        known = self.rehearsals
        near = point if point in known else min(known, key=lambda other: abs(other.scale - point.scale))
        ratio = 1.0 if near == point else self.steps(point) / self.steps(near)
        return plan_of(*known[near], config, ratio, dataset)

    def _images_in(self, config: RunConfig) -> ImagesPerClass:
        """Key of the counted images: settings equal to the recipe's count as all images."""
        data, ours = config.data, self.config.data
        train = None if data.train_per_class == ours.train_per_class else data.train_per_class
        return ImagesPerClass(
            train, None if data.held_out_per_class == ours.held_out_per_class else data.held_out_per_class
        )

    def _suffice(self, images: ImagesPerClass) -> bool:
        """True if these images are enough for a step."""
        train = self.config.train
        try:
            dataset = self.counted(self.base.dataset.image_size, images)
            strategy = strategy_facts(train, self.base.space.choices)
            training_steps(parts_of(dataset, strategy)[0], train, strategy.batches_per_step)
        except FairnasError:
            return False
        return True

    def _rough(self, config: RunConfig, point: OperatingPoint, dataset: Dataset) -> CostEstimate:
        """Forecast without a rehearsal: from the time of a supernet step, and of measuring the first."""
        strategy = strategy_facts(config.train, self.base.space.choices)
        batches, passes = strategy.batches_per_step, strategy.passes_per_step
        batch, search, alone = config.train.batch_size, config.search, config.stand_alone
        per_epoch = training_steps(parts_of(dataset, strategy)[0], config.train, batches)
        step = self.steps(point)
        path_image = step / (passes * batch)
        if not self.survey.is_resident(dataset):
            step += batches * batch * self.decoding
        epochs, validation = config.train.epochs, len(dataset.validation)
        score = validation * path_image * FORWARD
        length = alone.epochs or epochs
        training = length * max(1, len(dataset.train) // batch) * batch * path_image * ALONE
        training += (validation + len(dataset.test)) * path_image * FORWARD
        named = len(alone.genomes)
        further = max(0, (len(alone.study) or alone.models) * alone.seeds - search.select)
        seconds = {
            "train": epochs * (per_epoch * step + CURVE_GENOMES * score),
            "search": search.population * search.generations * score,
            "retrain": START * self.probing + (search.select + named) * training,
            "rank": START * self.probing + further * training if further else 0.0,
            "export": (search.select + named) * EXPORT * self.probing,
            "report": REPORT * self.probing,
        }
        return CostEstimate(epochs * per_epoch, seconds)

    def _rough_plan(self, config: RunConfig, point: OperatingPoint, dataset: Dataset) -> Plan:
        found = self._rough(config, point, dataset)
        search, strategy = config.search, strategy_facts(config.train, self.base.space.choices)
        works = {
            "train": f"{config.train.epochs} epochs, {found.steps:,} steps",
            "search": f"{search.generations} generations of {search.population}",
            "retrain": f"{search.select} trainings",
            "rank": f"{config.stand_alone.models} networks" if config.stand_alone.models else "no study",
            "export": f"{search.select} networks",
            "report": "one page",
        }
        return Plan(
            steps=found.steps,
            path_images_per_s=strategy.passes_per_step * config.train.batch_size / self.steps(point),
            stages=tuple(StagePlan(name, work, found.seconds[name]) for name, work in works.items()),
            memory=0,
            memory_of="not measured",
            disk=0,
            execution=self.base.execution.reason,
        )


def images_in(config: RunConfig) -> ImagesPerClass:
    """Number of images that a configuration uses."""
    return ImagesPerClass(config.data.train_per_class, config.data.held_out_per_class)


def _count(dataset: Dataset) -> int:
    return len(dataset.train) + len(dataset.validation) + len(dataset.test)
