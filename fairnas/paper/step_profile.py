"""Profile of a supernet step of a weight-sharing system: memory, time and compute, from a few real steps.

Compute is counted in path-images: images times the passes of one path; a pass through all m blocks of every layer
counts as m passes, whether it trains weights or an architecture.
"""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from fairnas.config import Resources, TrainConfig
from fairnas.data import Dataset, training_batches
from fairnas.nets.memory import measured_peak
from fairnas.space import SearchSpace
from fairnas.train import supernet_training, unsupported_reason
from fairnas.train.executors import Sequential
from fairnas.train.step import Batch
from fairnas.train.strategies import Strategy
from fairnas.train.supernet import SupernetTraining

WINDOWS = 4
"""Number of windows in which steps are timed, centred in equal parts of a training, so that quantities that grow evenly
are averaged correctly.
"""
LEAST_STEPS = 10
"""Smallest number of steps per window; windows contain whole periods of architecture updates."""
NOMINAL_STEPS = 1000  # steps in the schedules of the strategies; only a few of them are made
TRACED = ((0.0, 2), (0.9, 5))
"""Places where memory is traced: position in a training, and number of steps. Path dropout keeps most at the beginning.
"""


@dataclass(frozen=True)
class SystemProfile:
    """Profile of one system on one space."""

    paths_per_step: float
    """Passes of one path that a step is equivalent to."""
    seconds_per_image: float
    """Wall-clock seconds of training per image for the weights, in the fastest window."""
    peak: int
    """Peak of bytes in a step, beyond weights, gradients and optimiser state."""
    peak_of_two: int | None
    """Peak if every layer offers only its first two choices; None if the system cannot train that."""


def with_first_choices(space: SearchSpace, count: int) -> SearchSpace:
    """Space with at most `count` choices per layer."""
    layers = tuple(dataclasses.replace(layer, choices=layer.choices[:count]) for layer in space.layers)
    return dataclasses.replace(space, layers=layers)


def profile(
    space: SearchSpace,
    dataset: Dataset,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    resources: Resources | None = None,
) -> SystemProfile:
    """Take a few steps of trainings that are discarded.

    Args:
        space: resolved for the data.
        dataset: training images.
        config: settings of the system.
        seed: of its weights.
        device: device of the training.
        resources: choice of the executor for timing. Memory is always measured with one path after another, because the
            memory of lockstep is a property of the executor, not of the system.
    """
    resources = resources or Resources()
    one_by_one = dataclasses.replace(resources, executor="sequential", compile="auto", save_memory=False)
    training = supernet_training(space, config, seed, device, resources)
    training.network.train()
    batches = _endless(training, dataset, config, seed, device)
    seconds_per_run, runs_per_step = [], 0.0
    for steps, weight in windows(training.strategy):
        begun, before = time.perf_counter(), training.ledger.block_runs
        for step in steps:
            training.step(next(batches), step, NOMINAL_STEPS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        runs = training.ledger.block_runs - before
        seconds_per_run.append((time.perf_counter() - begun) / runs)
        runs_per_step += weight * runs / len(steps)
    images = config.batch_size * training.batches_per_step
    if not isinstance(training.context.executor, Sequential):
        training = supernet_training(space, config, seed, device, one_by_one)
        training.network.train()
        batches = _endless(training, dataset, config, seed, device)
        training.step(next(batches), 0, NOMINAL_STEPS)
    peak = _peak(training, batches, device)
    fewer = with_first_choices(space, 2)
    peak_of_two = None
    if unsupported_reason(config, fewer) is None:
        small = supernet_training(fewer, config, seed, device, one_by_one)
        small.network.train()
        again = _endless(small, dataset, config, seed, device)
        small.step(next(again), 0, NOMINAL_STEPS)
        peak_of_two = _peak(small, again, device)
    return SystemProfile(runs_per_step / space.depth, min(seconds_per_run) * runs_per_step / images, peak, peak_of_two)


def windows(strategy: Strategy) -> list[tuple[range, float]]:
    """Steps to time of a training of `NOMINAL_STEPS`, with the share of the training that they represent.

    Steps cost less before the architecture learns, so the warm-up has its own window.
    """
    length = strategy.architecture_period * math.ceil(LEAST_STEPS / strategy.architecture_period)
    rest = strategy.warm_up
    parts = [(0.0, rest)] if rest else []
    share = (1 - rest) / (WINDOWS - len(parts))
    parts += [(rest + share * number, share) for number in range(WINDOWS - len(parts) if share else 0)]
    found = []
    for begin, share in parts:
        first = round((begin + share / 2) * NOMINAL_STEPS - length / 2)
        first = max(first, math.ceil(begin * NOMINAL_STEPS))  # within a short part, do not use steps before it
        found.append((range(first, first + length), share))
    return found


def _endless(
    training: SupernetTraining, dataset: Dataset, config: TrainConfig, seed: int, device: torch.device
) -> Iterator[Sequence[Batch]]:
    """Iterate for ever over the mini-batches of one step."""
    own = training.images(dataset)
    epoch = 0
    while True:
        batches = training_batches(own, batch_size=config.batch_size, seed=seed, epoch=epoch, device=device)
        yield from zip(*[batches] * training.batches_per_step, strict=False)
        epoch += 1


def _peak(training: SupernetTraining, batches: Iterator[Sequence[Batch]], device: torch.device) -> int:
    peaks = []
    traced = [
        (int(share * NOMINAL_STEPS), max(count, training.strategy.architecture_period)) for share, count in TRACED
    ]
    for step in (first + number for first, count in traced for number in range(count)):
        taken = next(batches)

        def work(step: int = step, taken: Sequence[Batch] = taken) -> None:
            training.step(taken, step, NOMINAL_STEPS)

        training.optimizer.zero_grad(set_to_none=True)
        peak = measured_peak(work, device)
        gradients = sum(p.grad.nbytes for p in training.network.parameters() if p.grad is not None)
        peaks.append(peak - gradients)
    return max(peaks)
