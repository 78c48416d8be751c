"""Strategies that train single paths: strict fairness (Algorithm 1) and the paper's baselines (4.3.1)."""

from collections.abc import Sequence

from fairnas.config import TrainConfig
from fairnas.fairness.samplers import PathSampler, StrictSampler, UniformSampler
from fairnas.train.step import Batch, StepContext, StepResult, several, supernet_step
from fairnas.train.strategies.strategy import Strategy, StrategyEntry


class PathStrategy(Strategy):
    """Strategy that trains the paths of a sampler: by default all on one mini-batch, with one update at the end."""

    many_processes = True

    def __init__(self, sampler: PathSampler, repeats: int = 1, *, separate: bool = False, fresh: bool = False) -> None:
        """Make a strategy from a sampler.

        Args:
            sampler: draws the paths.
            repeats: number of passes over each path.
            separate: True for an update after every pass, instead of one after all.
            fresh: True for a separate mini-batch for every pass, instead of one for all.
        """
        self.sampler, self.repeats, self.separate, self.fresh = sampler, repeats, separate, fresh
        self.fairness, self.fairness_period = sampler.fairness, sampler.fairness_period
        self.passes_per_step = sampler.paths_per_step * repeats
        self.passes_per_update = 1 if separate else self.passes_per_step
        self.passes_together = 1 if separate or fresh else self.passes_per_step
        self.batches_per_step = self.passes_per_step if fresh else 1

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """See `supernet_step`."""
        paths = [path for path in self.sampler.paths(step) for _ in range(self.repeats)]
        if self.separate:
            return several([supernet_step(context, [(batches[0], [path])]) for path in paths])
        if self.fresh:
            return supernet_step(context, [(batch, [path]) for batch, path in zip(batches, paths, strict=True)])
        return supernet_step(context, [(batches[0], paths)])


def _uniform_k(choices: tuple[int, ...], config: TrainConfig, seed: int) -> PathStrategy:
    repeats = config.k or max(choices)
    return PathStrategy(UniformSampler(choices, seed), repeats, separate=not config.accumulate)


ENTRIES: dict[str, StrategyEntry] = {
    "strict": StrategyEntry(
        "every choice block exactly once per step: m paths from one permutation per layer, one update",
        "FairNAS, Algorithm 1 (strict fairness)",
        lambda choices, config, seed: PathStrategy(StrictSampler(choices, seed)),
        claims="FairNAS",
    ),
    "uniform": StrategyEntry(
        "one uniformly drawn path per step",
        "Single Path One-Shot; FairNAS 4.3.1 c, EF k=1 (expectation fairness)",
        lambda choices, config, seed: PathStrategy(UniformSampler(choices, seed)),
        claims="Single Path One-Shot",
    ),
    "uniform_k": StrategyEntry(
        "one uniformly drawn path per step, k updates on the same mini-batch",
        "FairNAS 4.3.1 a, EF k=6, and b with train.lr_scale = 1/6 (expectation fairness)",
        _uniform_k,
        ("k", "accumulate"),
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
