"""Search by reinforcement learning alone, as MnasNet (Tan et al. 2019): the paper's RL baseline (4.3.2)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.randomness import generator
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.mutators import OperatorCounts
from fairnas.search.objectives import LATENCY, Objective, merit, violation
from fairnas.search.ranges import cost_ranges
from fairnas.search.sampling import FeasibleGenomes
from fairnas.space import Genome, SearchSpace

_DRAWS = 10  # rounds of drawing from the policy before a generation is filled up with random genomes


class PolicySearch:
    """Controller that draws every generation and learns from one reward, ACC (cost / target)^w.

    With w below 0 the reward prefers cheap networks without forbidding expensive ones; w = -0.07 means that twice the
    cost is worth 5 percent of the accuracy. Each network is asked for once: if the policy repeats itself it draws
    again, and if that does not help, random networks fill the generation.
    """

    operators: Mapping[str, OperatorCounts] = MappingProxyType({})

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        costs: Costs,
        config: SearchConfig,
        seed: int,
    ) -> None:
        self._space, self._objectives, self._costs, self._config = space, objectives, costs, config
        self._merit = merit(objectives)
        self._rng = generator(seed, "policy search")
        from fairnas.search.controller import Controller  # loads torch, so it is imported only if used

        self._controller = Controller(space.choices, config.controller, seed)
        self._random = FeasibleGenomes(space, objectives, costs, generator(seed, "policy search, filling up"))
        ranges = cost_ranges(space, costs)
        own = [each.name for each in objectives if each.direction == "min" and each.name in ranges]
        self._cost = config.reward.cost
        if self._cost not in ranges:
            if self._cost == LATENCY.name or not own:
                raise ConfigError(
                    f"search.reward.cost is '{self._cost}', of which nothing is known; give one of "
                    f"{', '.join(ranges) or 'the costs of the space'}, or --search.latency-table FILE.json"
                )
            self._cost = own[0]  # the first of a user's own costs
        low, high = ranges[self._cost]
        self._target = config.reward.target or (low + high) / 2 or 1.0
        self._asked: set[Genome] = set()

    def ask(self) -> tuple[Genome, ...]:
        """Next generation of genomes that meet the bounds, none of them asked before."""
        drawn: dict[Genome, None] = {}
        empty = self._rng.integers(self._space.choices, size=(self._config.population, self._space.depth))
        for _ in range(_DRAWS):
            for row in self._controller.draw(empty, np.ones(empty.shape, dtype=bool), self._rng).tolist():
                genome = self._space.canonical(tuple(row))
                fits = violation(self._costs(genome), self._objectives) == 0
                if fits and genome not in self._asked and len(drawn) < self._config.population:
                    drawn[genome] = None
            if len(drawn) == self._config.population:
                break
        while len(drawn) < self._config.population:
            more = self._random.draw(self._config.population - len(drawn))
            if not more:
                break
            drawn |= dict.fromkeys(genome for genome in more if genome not in self._asked)
        self._asked |= drawn.keys()
        return tuple(drawn)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Learn from the networks that were scored."""
        scored = [c for c in candidates if c.has([self._merit]) and not c.failed]
        self._controller.learn([c.genome for c in scored], [self.reward(c) for c in scored])

    def reward(self, candidate: Candidate) -> float:
        """ACC (cost / target)^w. Raises `ConfigError` for a negative accuracy, which would reverse its meaning."""
        ours = self._config.reward
        if candidate.value(self._merit) < 0:
            raise ConfigError(
                f"searcher 'mnasnet_rl' multiplies {self._merit}, which is {candidate.value(self._merit):g} for a "
                "network; it must be 0 or more: add a constant to it, or use another searcher"
            )
        cost = max(candidate.value(self._cost) / self._target, 1e-9)  # a table may give a network no cost
        return candidate.value(self._merit) * cost**ours.exponent
