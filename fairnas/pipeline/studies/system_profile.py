"""What a supernet step of a weight-sharing system costs: memory, time and compute, from a few real steps.

Compute is counted in path-images: images times the passes of one path; a pass through all m blocks of every layer
counts as m of them, whoever it teaches.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from fairnas.config import TrainConfig
from fairnas.data import Dataset, training_batches
from fairnas.nets.memory import measured_peak
from fairnas.space import SearchSpace
from fairnas.train import make_strategy, supernet_training
from fairnas.train.step import Batch
from fairnas.train.supernet import SupernetTraining

WINDOWS = (0.0, 0.3, 0.6, 0.9)
"""Where in a training steps are tried: some systems begin with weights alone."""
WINDOW = 10
"""Steps of each; a multiple of how often any system teaches its architecture, so that none is missed."""
NOMINAL_STEPS = 1000
TRACED = ((0.0, 2), (0.9, 5))
"""Whose memory is traced: places in a training, and steps there. Path dropout holds most at the beginning."""


@dataclass(frozen=True)
class SystemProfile:
    """Of one system, on one space."""

    paths_per_step: float
    """Passes of one path that a step amounts to."""
    seconds_per_image: float
    """Wall-clock time of training per image that the weights see, the fastest window."""
    peak: int
    """Most bytes at once in a step, beyond weights, their gradients and what the optimiser keeps."""
    peak_of_two: int | None
    """The same where every layer offers its first two choices only; None if the system cannot train that."""


def with_first_choices(space: SearchSpace, count: int) -> SearchSpace:
    """The space with at most so many choices per layer."""
    layers = tuple(dataclasses.replace(layer, choices=layer.choices[:count]) for layer in space.layers)
    return dataclasses.replace(space, layers=layers)


def profile(
    space: SearchSpace, dataset: Dataset, config: TrainConfig, seed: int, device: torch.device
) -> SystemProfile:
    """Take a few steps of a training that is thrown away."""
    training = supernet_training(space, config, seed, device)
    training.network.train()
    batches = _endless(training, dataset, config, seed, device)
    seconds, runs, steps = [], 0, 0
    for share in WINDOWS:
        begun, before = time.perf_counter(), training.ledger.block_runs
        for step in range(int(share * NOMINAL_STEPS), int(share * NOMINAL_STEPS) + WINDOW):
            training.step(next(batches), step, NOMINAL_STEPS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append((time.perf_counter() - begun) / WINDOW)
        runs, steps = runs + training.ledger.block_runs - before, steps + WINDOW
    images = config.batch_size * training.batches_per_step
    peak = _peak(training, batches, device)
    fewer = with_first_choices(space, 2)
    peak_of_two = None
    if make_strategy(config, fewer.choices, seed).misfit(fewer) is None:
        small = supernet_training(fewer, config, seed, device)
        small.network.train()
        again = _endless(small, dataset, config, seed, device)
        small.step(next(again), 0, NOMINAL_STEPS)
        peak_of_two = _peak(small, again, device)
    return SystemProfile(runs / steps / space.depth, min(seconds) / images, peak, peak_of_two)


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
    for step in (int(share * NOMINAL_STEPS) + number for share, count in TRACED for number in range(count)):
        taken = next(batches)

        def work(step: int = step, taken: Sequence[Batch] = taken) -> None:
            training.step(taken, step, NOMINAL_STEPS)

        training.optimizer.zero_grad(set_to_none=True)
        peak = measured_peak(work, device)
        gradients = sum(p.grad.nbytes for p in training.network.parameters() if p.grad is not None)
        peaks.append(peak - gradients)
    return max(peaks)
