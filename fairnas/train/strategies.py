"""Strategies: who is trained at a supernet step, and how. One list; the command line shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fairnas.config import TrainConfig, WantedStatistics
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.fairness.samplers import PathDropout, PathSampler, Promise, StrictSampler, UniformSampler
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.message import Share
from fairnas.train.step import Batch, Bench, StepResult, finish_step, several, supernet_step


class Strategy(Protocol):
    """Trains a supernet, one step at a time. A function of the step: it keeps no state between steps."""

    @property
    def promise(self) -> Promise:
        """Which fairness it keeps; a strict one is checked against the ledger while it trains."""
        ...

    @property
    def cycle(self) -> int:
        """Steps after which a strict strategy is level."""
        ...

    @property
    def passes_per_step(self) -> int:
        """Backward passes of one supernet step."""
        ...

    @property
    def passes_per_update(self) -> int:
        """Backward passes that one parameter update sums up: what several processes can share out."""
        ...

    @property
    def passes_together(self) -> int:
        """Those of them on one mini-batch: what the lockstep executor runs side by side."""
        ...

    @property
    def batches_per_step(self) -> int:
        """Mini-batches that one step takes from the training images."""
        ...

    @property
    def statistics(self) -> Literal["running", "batch"]:
        """The BN statistics that genomes are scored with unless the configuration says otherwise."""
        ...

    def step(self, bench: Bench, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Do supernet step `step` of `total` on `batches_per_step` mini-batches."""
        ...


@dataclass(frozen=True)
class PathStrategy:
    """Trains the paths that a sampler draws: by default all on one mini-batch, with one update at the end."""

    sampler: PathSampler
    repeats: int = 1
    """Passes over each path."""
    separate: bool = False
    """An update after every pass, instead of one after all."""
    fresh: bool = False
    """A mini-batch of its own for every pass, instead of one for all."""
    statistics: Literal["running", "batch"] = "running"

    @property
    def promise(self) -> Promise:
        """The sampler's."""
        return self.sampler.promise

    @property
    def cycle(self) -> int:
        """The sampler's."""
        return self.sampler.cycle

    @property
    def passes_per_step(self) -> int:
        """Paths times repeats."""
        return self.sampler.paths_per_step * self.repeats

    @property
    def passes_per_update(self) -> int:
        """All or one."""
        return 1 if self.separate else self.passes_per_step

    @property
    def passes_together(self) -> int:
        """All or one."""
        return 1 if self.separate or self.fresh else self.passes_per_step

    @property
    def batches_per_step(self) -> int:
        """One or as many as passes."""
        return self.passes_per_step if self.fresh else 1

    def step(self, bench: Bench, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """See `supernet_step`."""
        paths = [path for path in self.sampler.paths(step) for _ in range(self.repeats)]
        if self.separate:
            return several([supernet_step(bench, [(batches[0], [path])]) for path in paths])
        if self.fresh:
            return supernet_step(bench, [(batch, [path]) for batch, path in zip(batches, paths, strict=True)])
        return supernet_step(bench, [(batches[0], paths)])


@dataclass(frozen=True)
class OneShot:
    """All blocks of a layer in the graph, their outputs added up, some dropped (Bender et al., 2018).

    The chance that a layer would lose all its blocks grows linearly from 0 to `chance` over the training. On a chain
    of layers with shortcuts, the shortcut is taken once (see `Supernet.mixture`). Sums of several blocks have other
    statistics than the one block of a genome, so genomes are scored with the statistics of each batch. The original
    also cuts the mini-batch into ghost batches that drop different blocks; here a mini-batch drops the same ones.
    """

    dropout: PathDropout
    chance: float
    promise: Promise = "expectation"
    cycle: int = 1
    passes_per_step: int = 1
    passes_per_update: int = 1
    passes_together: int = 1
    batches_per_step: int = 1
    statistics: Literal["running", "batch"] = "batch"

    def step(self, bench: Bench, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """One forward pass through all blocks that stay, one backward pass, one update."""
        (images, labels), supernet = batches[0], bench.supernet
        active = self.dropout.active(step, self.chance * step / total)
        bench.optimizer.zero_grad(set_to_none=True)
        before = bench.group.statistics(supernet)
        with arithmetic(bench.config.precision, images.device):
            loss = loss_of(supernet.mixture(images, active), labels)
        loss.backward()
        passes = np.concatenate(
            [np.isin(np.arange(m), kept) for m, kept in zip(supernet.space.choices, active, strict=True)]
        )
        return finish_step(bench, loss.detach().double(), before, [Share(passes.astype(np.int64), 1)])


@dataclass(frozen=True)
class StrategyEntry:
    """One line of `fairnas strategies`."""

    summary: str
    source: str
    make: Callable[[tuple[int, ...], TrainConfig, int], Strategy]
    """From choices per layer, configuration and seed."""
    options: tuple[str, ...] = ()
    """Settings of `train` that mean something to this strategy only."""


def _uniform_k(choices: tuple[int, ...], config: TrainConfig, seed: int) -> PathStrategy:
    repeats = config.k or max(choices)
    return PathStrategy(UniformSampler(choices, seed), repeats, separate=not config.accumulate)


def _one_shot(choices: tuple[int, ...], config: TrainConfig, seed: int) -> OneShot:
    return OneShot(PathDropout(choices, seed), 0.05 if config.path_dropout is None else config.path_dropout)


STRATEGIES: dict[str, StrategyEntry] = {
    "strict": StrategyEntry(
        "every choice block exactly once per step: m paths from one permutation per layer, one update",
        "FairNAS, Algorithm 1 (strict fairness)",
        lambda choices, config, seed: PathStrategy(StrictSampler(choices, seed)),
    ),
    "uniform": StrategyEntry(
        "one uniformly drawn path per step",
        "Single Path One-Shot; FairNAS 4.3.1 c, EF k=1 (expectation fairness)",
        lambda choices, config, seed: PathStrategy(UniformSampler(choices, seed)),
    ),
    "uniform_k": StrategyEntry(
        "one uniformly drawn path per step, k updates on the same mini-batch",
        "FairNAS 4.3.1 a, EF k=6, and b with train.lr_scale = 1/6 (expectation fairness)",
        _uniform_k,
        ("k", "accumulate"),
    ),
    "one_shot": StrategyEntry(
        "all blocks of a layer at once, added up, some dropped; scored with the BN statistics of each batch",
        "One-Shot, Bender et al. 2018 (path dropout)",
        _one_shot,
        ("path_dropout",),
    ),
    "strict_fresh_batches": StrategyEntry(
        "as strict, but every path has a mini-batch of its own: an epoch has m times fewer updates",
        "a variant found in other implementations; not Algorithm 1",
        lambda choices, config, seed: PathStrategy(StrictSampler(choices, seed), fresh=True),
    ),
    "strict_separate_updates": StrategyEntry(
        "as strict, but with an update after every path, so that the order of the paths matters",
        "what FairNAS 3.1 avoids by updating once; to be compared with",
        lambda choices, config, seed: PathStrategy(StrictSampler(choices, seed), separate=True),
    ),
}


def make_strategy(config: TrainConfig, choices: tuple[int, ...], seed: int) -> Strategy:
    """The strategy that a configuration names.

    Raises:
        UnknownNameError: if there is none.
        ConfigError: if a setting is given that means nothing to it.
    """
    if config.strategy not in STRATEGIES:
        raise UnknownNameError("strategy", config.strategy, STRATEGIES, plural="strategies")
    plain = TrainConfig()
    for name, entry in STRATEGIES.items():
        for option in entry.options:
            given = getattr(config, option)
            if given != getattr(plain, option) and option not in STRATEGIES[config.strategy].options:
                raise ConfigError(
                    f"train.{option} is {given}, which means nothing to strategy '{config.strategy}'; "
                    f"leave it out, or use '{name}'"
                )
    return STRATEGIES[config.strategy].make(choices, config, seed)


def scoring_statistics(config: TrainConfig, wanted: WantedStatistics) -> Literal["running", "batch", "recalibrated"]:
    """The BN statistics to score genomes with: as wanted, or what the strategy was made for."""
    return make_strategy(config, (2,), 0).statistics if wanted == "auto" else wanted
