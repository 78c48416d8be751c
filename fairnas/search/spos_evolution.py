"""Evolution of Single Path One-Shot (Guo et al. 2019): accuracy alone, under a constraint.

As in its published code, the ten best networks so far are the parents of a population of fifty; half of the children
are mutants, with each layer redrawn with probability 0.1, the others crossovers that take each layer from either
parent; random networks fill up; no network occurs twice. Here the numbers scale with the population: a fifth are
parents.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fairnas.config import SearchConfig
from fairnas.randomness import generator
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.mutators import OperatorCounts
from fairnas.search.objectives import Objective, merit, violation
from fairnas.search.sampling import FeasibleGenomes
from fairnas.space import Genome, SearchSpace

MUTATED = 0.1
"""Probability that a layer of a mutant is redrawn."""
_TRIES = 10  # attempts per child, as in the published code


class SposEvolution:
    """Search for the most accurate network within the bounds. The front of all its networks is a by-product."""

    operators: Mapping[str, OperatorCounts] = MappingProxyType({})

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        costs: Costs,
        config: SearchConfig,
        seed: int,
    ) -> None:
        self._space, self._objectives, self._costs = space, objectives, costs
        # published: 10 parents of 50
        self._population, self._parents = config.population, max(2, config.population // 5)
        self._merit = merit(objectives)
        self._rng = generator(seed, "spos evolution")
        self._random = FeasibleGenomes(space, objectives, costs, generator(seed, "spos evolution, random"))
        self._best: list[Candidate] = []
        self._asked: set[Genome] = set()

    def ask(self) -> tuple[Genome, ...]:
        """Mutants, crossovers, and random genomes to fill up; none asked before, all within the bounds."""
        born: dict[Genome, None] = {}
        if self._best:
            half = self._population // 2
            self._add(born, half, self._mutant)
            self._add(born, half, self._crossover)
        while len(born) < self._population:
            more = self._random.draw(self._population - len(born))
            if not more:
                break
            born |= dict.fromkeys(genome for genome in more if genome not in self._asked)
        self._asked |= born.keys()
        return tuple(born)

    def _add(self, born: dict[Genome, None], count: int, make: Callable[[], Genome]) -> None:
        wanted = len(born) + count
        for _ in range(_TRIES * count):
            if len(born) == wanted:
                return
            genome = self._space.canonical(make())
            if genome not in self._asked and violation(self._costs(genome), self._objectives) == 0:
                born[genome] = None

    def _parent(self) -> np.ndarray:
        return np.array(self._best[self._rng.integers(len(self._best))].genome)

    def _mutant(self) -> Genome:
        fresh = self._rng.integers(self._space.choices)
        return tuple(np.where(self._rng.random(self._space.depth) < MUTATED, fresh, self._parent()).tolist())

    def _crossover(self) -> Genome:
        return tuple(np.where(self._rng.random(self._space.depth) < 0.5, self._parent(), self._parent()).tolist())

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Keep the most accurate networks so far as parents."""
        scored = [
            c
            for c in candidates
            if c.has([self._merit]) and not c.failed and violation(c.measures, self._objectives) == 0
        ]
        ranked = sorted([*self._best, *scored], key=lambda c: -c.value(self._merit))
        self._best = ranked[: self._parents]
