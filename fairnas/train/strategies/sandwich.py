"""The sandwich rule (Yu and Huang, 2019): the largest and the smallest network at every step, and two others."""

from fairnas.fairness.samplers import Fairness
from fairnas.nets import cost_table
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace
from fairnas.train.step import StepContext
from fairnas.train.strategies.paths import PathStrategy
from fairnas.train.strategies.strategy import StrategyEntry

RANDOM_PATHS = 2


class SandwichSampler:
    """The largest network of a space, its smallest, and uniform paths between them."""

    fairness: Fairness = "none"
    fairness_period = 1
    paths_per_step = 2 + RANDOM_PATHS

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the run. `ends` are to be given before it draws."""
        self.choices, self.seed = choices, seed
        self.ends: tuple[Genome, ...] = ()

    def paths(self, step: int) -> tuple[Genome, ...]:
        """The ends, and the uniform ones of this step."""
        assert self.ends, "the space is not known yet"
        drawn = generator(self.seed, "paths", step).integers(self.choices, size=(RANDOM_PATHS, len(self.choices)))
        return (*self.ends, *(tuple(row) for row in drawn.tolist()))


class Sandwich(PathStrategy):
    """All four on one mini-batch, with one update: what lies between the ends should do well where they do.

    It was made for slimmable networks and is how Once-for-All and AutoSlim train, whose networks are nested in each
    other; here blocks are apart, so those of the ends are trained most, by design. The other networks learn from the
    labels as the largest does, and not from its outputs (in-place distillation).
    """

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        self.between = SandwichSampler(choices, seed)
        super().__init__(self.between)

    def begin(self, context: StepContext) -> None:
        """Look for the ends."""
        self.between.ends = ends_of(context.supernet.space)


def ends_of(space: SearchSpace) -> tuple[Genome, Genome]:
    """The networks with the most and the fewest multiply-adds; of equal blocks, the first."""
    rows = [[cost.madds for cost in row] for row in cost_table(space).blocks]
    return tuple(row.index(max(row)) for row in rows), tuple(row.index(min(row)) for row in rows)


ENTRIES = {
    "sandwich": StrategyEntry(
        "the largest and the smallest network by multiply-adds, and two uniform paths per step; one update",
        "the sandwich rule, Yu and Huang 2019 (Once-for-All, AutoSlim)",
        lambda choices, config, seed: Sandwich(choices, seed),
    ),
}
