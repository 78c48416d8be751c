"""What is known of this device and these images so far, and what a configuration will take by it.

First images are counted, decoding is timed and supernet steps are, which takes seconds. From this alone a run can be
foreseen roughly. After a rehearsal at one point it is arithmetic over what was measured there.
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
"""Images are as many as there are, or that many times fewer, again and again."""
HELD_OUT_LEAST = 100
"""Images for validation, and for the test, that are kept in any case, all classes together."""
HELD_OUT_SHARE = 0.25
"""Of the training images of a class, beyond that."""
DECODING_SECONDS = 1.5
"""How long decoding is timed."""
FORWARD = 1 / 3
"""Of the time of a training step, what scoring as many images takes."""
ALONE = 1.5
"""A network alone takes so many times as long as a path of a supernet that has its size."""
START, EXPORT, REPORT = 1.0, 1.5, 0.1
"""Times as long as it took to measure the first supernet step, which builds, loads and warms up as much as: to start
processes that train networks; to export one; to write the report."""
REHEARSAL = 5.0
"""Times as long as that, which a rehearsal takes at the least."""


def images_of(dataset: Dataset, config: RunConfig, given: frozenset[str]) -> tuple[ImagesPerClass, ...]:
    """How many images of each class could be used, from about one mini-batch in all to all there are.

    Args:
        dataset: with all that may be used.
        config: says how large a mini-batch is.
        given: names of the settings that the user gave, which stay.
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
    """What has been measured so far."""

    def __init__(self, config: RunConfig, given: frozenset[str], patience: float) -> None:
        """Count the images and find out where the run could be done. Raises `FairnasError` as `prepare` does.

        Args:
            config: the recipe's, with what the user gave.
            given: names of the settings that the user gave, which stay.
            patience: share of the usual time to take for measurements.
        """
        self.config, self._patience = config, patience
        self.survey = Survey(config.data, config.seed)
        self.base = prepare(config, survey=self.survey)
        self.points = points_of(self.base, given)
        self.steps = StepTimes(self.base)
        self.decoding = 0.0
        """Seconds for an image."""
        self.probing = 0.0
        """Seconds that measuring the first supernet step took, all in all."""
        self.rehearsals: dict[OperatingPoint, tuple[Prepared, DryRunTimes]] = {}
        self._loaded: dict[tuple[OperatingPoint, ImagesPerClass], Prepared] = {}
        self._counted: dict[ImagesPerClass, Dataset] = {}
        self._datasets = [each for each in images_of(self.base.dataset, config, given) if self._suffice(each)]

    @property
    def images(self) -> tuple[ImagesPerClass, ...]:
        """How many could be used, fewest first."""
        return tuple(self._datasets)

    def images_within(self, seconds: float) -> tuple[ImagesPerClass, ...]:
        """Those that are decoded in time; the fewest in any case."""
        size = self.base.dataset.image_size
        return tuple(
            each
            for place, each in enumerate(self._datasets)
            if place == 0 or self.decoding * _count(self.counted(size, each)) <= seconds
        )

    def time_decoding(self) -> None:
        """Decode some images."""
        self.decoding = self.survey.time_decoding(self.base.dataset.image_size, DECODING_SECONDS * self._patience)

    def time_step(self, point: OperatingPoint) -> None:
        """Take some supernet steps at a point."""
        begin = time.monotonic()
        self.steps.measure(point, self._patience)
        self.probing = self.probing or time.monotonic() - begin

    def load(self, config: RunConfig, point: OperatingPoint) -> Prepared:
        """A configuration ready to run, its images decoded. Those at hand are not decoded again."""
        key = (point, images_in(config))
        if key not in self._loaded:
            self._loaded = {key: prepare(config)}  # of others only the rehearsals are kept
        return dataclasses.replace(self._loaded[key], config=config)

    @property
    def loaded(self) -> tuple[OperatingPoint, ImagesPerClass] | None:
        """Where images are decoded, and how many."""
        return next(iter(self._loaded), None)

    def is_loaded(self, config: RunConfig, point: OperatingPoint) -> bool:
        """Whether the images of a configuration are decoded."""
        return (point, images_in(config)) in self._loaded

    def rehearse(self, config: RunConfig, point: OperatingPoint, narrator: Narrator) -> None:
        """Rehearse at a point, with the images of the configuration, but all the search and study of the recipe."""
        ready = self.load(config, point)
        prepared = dataclasses.replace(ready, config=dataclasses.replace(point.at(self.config), data=config.data))
        self.rehearsals[point] = (prepared, rehearse(prepared, narrator, self._patience))

    def counted(self, size: int, images: ImagesPerClass) -> Dataset:
        """The data set with so many images of each class, not decoded."""
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
        """What a configuration will take from now on."""
        dataset = self.counted(point.image_size, self._images_in(config))
        decoding = 0.0 if self.is_loaded(config, point) else self.decoding * _count(dataset)
        found = estimate_of(self.plan(config, point)) if self.rehearsals else self._rough(config, point, dataset)
        return CostEstimate(found.steps, {**found.seconds, "data": decoding})

    def only_training(self, config: RunConfig, point: OperatingPoint) -> CostEstimate:
        """The part of it that the supernet has, without the rest."""
        found = self._rough(config, point, self.counted(point.image_size, self._images_in(config)))
        none = dict.fromkeys(("search", "retrain", "rank", "export", "report"), 0.0)
        return CostEstimate(found.steps, {"train": found.seconds["train"], **none})

    def plan(self, config: RunConfig, point: OperatingPoint) -> Plan:
        """The same in words: from the rehearsal of a point, or else from the nearest and the times of steps."""
        dataset = self.counted(point.image_size, self._images_in(config))
        if not self.rehearsals:
            return self._rough_plan(config, point, dataset)
        known = self.rehearsals
        near = point if point in known else min(known, key=lambda other: abs(other.scale - point.scale))
        ratio = 1.0 if near == point else self.steps(point) / self.steps(near)
        return plan_of(*known[near], config, ratio, dataset)

    def _images_in(self, config: RunConfig) -> ImagesPerClass:
        """As a key of what is counted: settings as the recipe has them count as all."""
        data, ours = config.data, self.config.data
        train = None if data.train_per_class == ours.train_per_class else data.train_per_class
        return ImagesPerClass(
            train, None if data.held_out_per_class == ours.held_out_per_class else data.held_out_per_class
        )

    def _suffice(self, images: ImagesPerClass) -> bool:
        """Whether there is a step to be taken with them."""
        train = self.config.train
        try:
            dataset = self.counted(self.base.dataset.image_size, images)
            strategy = strategy_facts(train, self.base.space.choices)
            training_steps(parts_of(dataset, strategy)[0], train, strategy.batches_per_step)
        except FairnasError:
            return False
        return True

    def _rough(self, config: RunConfig, point: OperatingPoint, dataset: Dataset) -> CostEstimate:
        """Without a rehearsal: from the time of a supernet step, and of measuring the first."""
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
    """How many images a configuration uses."""
    return ImagesPerClass(config.data.train_per_class, config.data.held_out_per_class)


def _count(dataset: Dataset) -> int:
    return len(dataset.train) + len(dataset.validation) + len(dataset.test)
