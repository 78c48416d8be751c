"""Strategies: who is trained at a supernet step, and how. One list; the command line shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.errors import UnknownNameError
from fairnas.fairness.samplers import PathSampler, Promise, StrictSampler, UniformSampler
from fairnas.nets import Supernet
from fairnas.train.step import StepResult, supernet_step


class Strategy(Protocol):
    """Trains a supernet, one step at a time. A function of the step: it keeps no state between steps."""

    name: str
    promise: Promise
    """Which fairness it keeps; a strict one is checked against the ledger while it trains."""
    cycle: int
    """Steps after which a strict strategy is level."""
    passes_per_step: int
    """Backward passes of one supernet step."""

    def step(
        self, supernet: Supernet, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, step: int
    ) -> StepResult:
        """Do one supernet step on one mini-batch."""
        ...


class SinglePath:
    """Trains the paths that a sampler draws, one after another, with one update at the end."""

    def __init__(self, name: str, sampler: PathSampler, config: TrainConfig) -> None:
        self.name, self.sampler, self.config = name, sampler, config
        self.promise: Promise = sampler.promise
        self.cycle = sampler.cycle
        self.passes_per_step = sampler.paths_per_step

    def step(
        self, supernet: Supernet, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, step: int
    ) -> StepResult:
        """See `supernet_step`."""
        paths = self.sampler.paths(step)
        return supernet_step(supernet, images, labels, paths, optimizer, self.config.shared_gradient)


@dataclass(frozen=True)
class StrategyEntry:
    """One line of `fairnas strategies`."""

    summary: str
    source: str
    make: Callable[[tuple[int, ...], TrainConfig, int], Strategy]
    """From choices per layer, configuration and seed."""


STRATEGIES: dict[str, StrategyEntry] = {
    "strict": StrategyEntry(
        "every choice block exactly once per step: m paths from one permutation per layer, one update",
        "FairNAS, Algorithm 1 (strict fairness)",
        lambda choices, config, seed: SinglePath("strict", StrictSampler(choices, seed), config),
    ),
    "uniform": StrategyEntry(
        "one uniformly drawn path per step",
        "Single Path One-Shot; FairNAS 4.3.1 c, EF k=1 (expectation fairness)",
        lambda choices, config, seed: SinglePath("uniform", UniformSampler(choices, seed), config),
    ),
}


def make_strategy(config: TrainConfig, choices: tuple[int, ...], seed: int) -> Strategy:
    """The strategy that a configuration names. Raises `UnknownNameError`."""
    if config.strategy not in STRATEGIES:
        raise UnknownNameError("strategy", config.strategy, STRATEGIES, plural="strategies")
    return STRATEGIES[config.strategy].make(choices, config, seed)
