"""Sandwich rule (Yu and Huang, 2019): the largest and the smallest network at every step, and two others."""

from fairnas.fairness.samplers import Fairness
from fairnas.nets import cost_table
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace
from fairnas.train.step import StepContext
from fairnas.train.strategies.paths import PathStrategy
from fairnas.train.strategies.strategy import StrategyEntry

RANDOM_PATHS = 2  # with the smallest and the largest, the 4 of universally slimmable networks


class SandwichSampler:
    """Sampler of the largest network of a space, the smallest, and uniform paths."""

    fairness: Fairness = "none"
    fairness_period = 1
    paths_per_step = 2 + RANDOM_PATHS

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the run. `ends` must be set before it draws."""
        self.choices, self.seed = choices, seed
        self.ends: tuple[Genome, ...] = ()

    def paths(self, step: int) -> tuple[Genome, ...]:
        """Largest and smallest network, and the uniform paths of this step."""
        assert self.ends, "the space is not known yet"
        drawn = generator(self.seed, "paths", step).integers(self.choices, size=(RANDOM_PATHS, len(self.choices)))
        return (*self.ends, *(tuple(row) for row in drawn.tolist()))


class Sandwich(PathStrategy):
    """Four paths on one mini-batch, with one update: networks between the ends are expected to do as well as these.

    The rule was made for slimmable networks, and is used by Once-for-All and AutoSlim, whose networks are nested. Here
    blocks have separate weights, so those of the two ends are trained most. All networks learn from labels, not from
    the outputs of the largest (in-place distillation).
    """

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        self.between = SandwichSampler(choices, seed)
        super().__init__(self.between)

    def begin(self, context: StepContext) -> None:
        """Find the largest and the smallest network."""
        self.between.ends = ends_of(context.supernet.space)


def ends_of(space: SearchSpace) -> tuple[Genome, Genome]:
    """Networks with the most and the fewest multiply-adds; among equal blocks, the first."""
    rows = [[cost.madds for cost in row] for row in cost_table(space).blocks]
    return tuple(row.index(max(row)) for row in rows), tuple(row.index(min(row)) for row in rows)


ENTRIES = {
    "sandwich": StrategyEntry(
        "the largest and the smallest network by multiply-adds, and two uniform paths per step; one update",
        "the sandwich rule, Yu and Huang 2019 (Once-for-All, AutoSlim)",
        lambda choices, config, seed: Sandwich(choices, seed),
    ),
}
