"""Timers inside real work: a few steps of a training, some batches of scoring, and the times of the whole."""

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fairnas.config import TrainConfig
from fairnas.data import Dataset
from fairnas.train import LoopOptions, Training, train
from fairnas.train.cuda_graph import GraphedCallable
from fairnas.train.step import Batch

WINDOW_SECONDS = 0.25
"""Length of a timing window in seconds. Each window ends with a GPU synchronisation."""
FEWEST_WINDOWS = 6  # from fewer, their standard error would be too uncertain
STEADY = 0.02
"""Relative standard error of the step time at which measuring may end."""
WARM_UP_STEPS = GraphedCallable.WARM_UP + 1
"""Number of steps before timing: they load kernels and choose algorithms, and on a GPU the next one is recorded."""
GENTLE_RATE = 1e-9
"""Learning rate during timing: it does not affect the time, and losses stay finite with any configuration."""


@dataclass(frozen=True)
class TrainingTimes:
    """Times of a training, in seconds."""

    start: float
    """Time before the first step, and extra time of the first steps."""
    step: float
    """Time of one step, including loading its images."""
    epoch: float
    """Time of an epoch beyond its steps."""

    def seconds(self, epochs: int, steps: int) -> float:
        """Seconds of a training of `epochs` epochs with `steps` steps each."""
        return self.start + epochs * (self.epoch + steps * self.step)


@dataclass(frozen=True)
class Limits:
    """Limits of the duration of a measurement."""

    least: float
    """Smallest duration in seconds."""
    most: float
    """Largest duration in seconds, unless a single step is longer."""

    def times(self, patience: float) -> "Limits":
        """Limits multiplied by `patience`."""
        return Limits(self.least * patience, self.most * patience)


class SpreadSteps:
    """Training whose timed steps are spread over its whole length, because some strategies do less at the end.

    Whole cycles of steps stay together, because counts of a strict strategy are equal after each cycle.
    """

    def __init__(self, training: Training, total: int, cycle: int = 1) -> None:
        self._training, self._total, self._cycle, self._taken = training, total, cycle, 0
        self.kind, self.batches_per_step = training.kind, training.batches_per_step
        self.network: nn.Module = training.network
        self.optimizer: torch.optim.Optimizer = training.optimizer

    def images(self, dataset: Dataset) -> Dataset:
        """Images of the training."""
        return self._training.images(dataset)

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Do the next of the timed steps."""
        number, within = divmod(self._taken, self._cycle)
        self._taken += 1
        cycles = max(1, self._total // self._cycle)
        golden = (math.sqrt(5) - 1) / 2  # its multiples fill the interval evenly, for any number of them
        return self._training.step(batches, int(number * golden % 1 * cycles) * self._cycle + within, self._total)

    def extra_state(self) -> dict[str, Any]:
        """State of the training."""
        return self._training.extra_state()

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Do nothing: nothing is restored."""


def gentle(config: TrainConfig) -> TrainConfig:
    """Same training without learning, and without an end.

    BN uses the statistics of the last mini-batch: with those of a new network activations would vanish, and processors
    are slow with denormal numbers.
    """
    return dataclasses.replace(config, lr=GENTLE_RATE, epochs=1_000_000, bn_momentum=1.0)


def time_training(
    start_training: Callable[[TrainConfig], Training],
    dataset: Dataset,
    config: TrainConfig,
    device: torch.device,
    limits: Limits,
) -> tuple[TrainingTimes, Training]:
    """Time a training from inside its loop, and return it.

    Args:
        start_training: makes the training, for a configuration whose losses stay finite.
        dataset: its images.
        config: its settings.
        device: where it trains.
        limits: limits of the duration.
    """
    changed = gentle(config)
    begin = time.perf_counter()
    training = start_training(changed)
    watch = _Watch(device, limits)
    watch.warm_up.append(time.perf_counter() - begin)
    while not watch.firsts:  # in the second round, if no epoch ended: measure the first step
        watch.begin()
        with contextlib.suppress(_Enough):
            options = LoopOptions(stop=watch.stepped, on_epoch=watch.epoch_ended)
            train(training, dataset, changed, 0, options)
    step = watch.step
    start = sum(watch.warm_up) - WARM_UP_STEPS * step
    return TrainingTimes(max(0.0, start), step, max(0.0, statistics.median(watch.firsts) - step)), training


class _Enough(Exception):
    """Raised when the time of a step is known."""


class _Watch:
    """Timer called after every step by the loop."""

    def __init__(self, device: torch.device, limits: Limits) -> None:
        self._device, self._limits = device, limits
        self.warm_up: list[float] = []
        self.firsts: list[float] = []
        """Seconds of the first steps of epochs, with everything that happens before them."""
        self._windows: list[tuple[int, float]] = []
        self._steps, self._mark, self._fresh, self._done = 0, 0.0, False, False

    def begin(self) -> None:
        """Start the timer when the loop starts."""
        self._fresh = True
        self._restart()

    @property
    def step(self) -> float:
        """Seconds of a step: the mean without the slowest and the fastest quarter, which other work disturbs."""
        each = sorted(seconds / steps for steps, seconds in self._windows) or sorted(self.firsts)
        cut = len(each) // 4
        return statistics.fmean(each[cut : len(each) - cut])

    def stepped(self) -> bool:
        """Record a step."""
        self._steps += 1
        if len(self.warm_up) <= WARM_UP_STEPS:
            self.warm_up.append(self._elapsed())
            self._fresh = False
            self._restart()
        elif self._fresh:
            self.firsts.append(self._elapsed())
            self._fresh = False
            self._end_if_known()
            self._restart()
        elif time.perf_counter() - self._mark >= WINDOW_SECONDS:
            self._close()
            self._end_if_known()
        return False

    def epoch_ended(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Record the end of an epoch."""
        if len(self.warm_up) > WARM_UP_STEPS:
            if self._steps:
                self._close()
            self._fresh = True
        self._restart()

    def _close(self) -> None:
        self._windows.append((self._steps, self._elapsed()))
        self._restart()

    def _restart(self) -> None:
        self._steps, self._mark = 0, time.perf_counter()

    def _elapsed(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - self._mark

    def _end_if_known(self) -> None:
        # an epoch of a single step has only its first step
        each = [seconds / steps for steps, seconds in self._windows] or self.firsts
        measured = sum(seconds for _, seconds in self._windows) or sum(self.firsts)
        steady = len(each) >= FEWEST_WINDOWS and measured >= self._limits.least and _error(each) < STEADY
        if self._done or steady or measured >= self._limits.most:
            self._done = True
            raise _Enough


def _error(values: Sequence[float]) -> float:
    """Relative standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values)) / statistics.fmean(values)


def time_scoring(
    score: Callable[[Iterable[Batch], Callable[[int], None]], object],
    batches: Iterable[Batch],
    images: int,
    device: torch.device,
    most: float,
) -> float:
    """Seconds of scoring all images, estimated from some batches if all would take too long.

    Args:
        score: scores batches, and calls back after each with the number of images so far.
        batches: all batches.
        images: number of images in all batches.
        device: device of the scoring.
        most: seconds after which no further batch is started.
    """
    marks: list[tuple[int, float]] = []

    def seen(count: int) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        marks.append((count, time.perf_counter()))
        if marks[-1][1] - begin > most and count < images:
            raise _Enough

    begin = time.perf_counter()
    try:
        score(batches, seen)
    except _Enough:
        (first, at_first), (last, at_last) = marks[0], marks[-1]
        if last == first:
            return (at_first - begin) * images / first
        return at_first - begin + (images - first) * (at_last - at_first) / (last - first)
    return time.perf_counter() - begin


def with_image_counts(batches: Iterable[Batch], seen: Callable[[int], None]) -> Iterator[Batch]:
    """Iterate over batches; after each was used, call `seen` with the number of images so far."""
    count = 0
    for images, labels in batches:
        yield images, labels
        count += len(labels)
        seen(count)


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
