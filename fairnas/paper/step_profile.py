"""What a supernet step of a weight-sharing system costs: memory, time and compute, from a few real steps.

Compute is counted in path-images: images times the passes of one path; a pass through all m blocks of every layer
counts as m of them, whoever it teaches.
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
"""How many times steps are tried, in the midst of equal parts of a training, so that what grows evenly counts right."""
LEAST_STEPS = 10
"""Of each window; at least, because a window holds whole periods of teaching the architecture."""
NOMINAL_STEPS = 1000
TRACED = ((0.0, 2), (0.9, 5))
"""Whose memory is traced: places in a training, and least steps there. Path dropout holds most at the beginning."""


@dataclass(frozen=True)
class SystemProfile:
    """Of one system, on one space."""

    paths_per_step: float
    """Passes of one path that a step amounts to."""
    seconds_per_image: float
    """Wall-clock time of training per image that the weights see, at the rate of the window that was fastest."""
    peak: int
    """Most bytes at once in a step, beyond weights, their gradients and what the optimiser keeps."""
    peak_of_two: int | None
    """The same where every layer offers its first two choices only; None if the system cannot train that."""


def with_first_choices(space: SearchSpace, count: int) -> SearchSpace:
    """The space with at most so many choices per layer."""
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
    """Take a few steps of trainings that are thrown away.

    Args:
        space: resolved for the data.
        dataset: images to take them on.
        config: of the system.
        seed: of its weights.
        device: where.
        resources: with which executor it is timed. Memory is that of one path after another: what lockstep takes is a
            choice of the executor, and says nothing about the system.
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
    """Steps to try of a training of `NOMINAL_STEPS`, and the share of it that they stand for.

    While the architecture rests a step costs less, so warming up has a window of its own.
    """
    length = strategy.architecture_period * math.ceil(LEAST_STEPS / strategy.architecture_period)
    rest = strategy.warm_up
    parts = [(0.0, rest)] if rest else []
    share = (1 - rest) / (WINDOWS - len(parts))
    parts += [(rest + share * number, share) for number in range(WINDOWS - len(parts) if share else 0)]
    found = []
    for begin, share in parts:
        first = round((begin + share / 2) * NOMINAL_STEPS - length / 2)
        first = max(first, math.ceil(begin * NOMINAL_STEPS))  # of a short part, not what was before it
        found.append((range(first, first + length), share))
    return found


def _endless(
    training: SupernetTraining, dataset: Dataset, config: TrainConfig, seed: int, device: torch.device
) -> Iterator[Sequence[Batch]]:
    """What one step takes, over and over."""
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
