"""Random genomes that meet the bounds, each at most once: for the first population, and for random search."""

import numpy as np

from fairnas.search.candidate import Costs
from fairnas.search.objectives import Objective, violation
from fairnas.space import Genome, SearchSpace

_SMALL = 10_000  # genomes of a space that is listed instead of sampled, which takes at most 0.2 s
_DRAWS = 10  # uniform draws per wanted genome before draws that miss the bounds are repaired
_MISSES = 20  # repaired genomes in a row that were all drawn before: then the bounds leave hardly any others


class FeasibleGenomes:
    """Source of distinct canonical genomes that meet the bounds; gives fewer than wanted when they run out.

    Small spaces are listed, so that draws are exactly uniform and exhaustive. Large spaces are sampled uniformly; if
    bounds refuse nearly all genomes, refused ones are made cheaper layer by layer until they meet the bounds, which
    favours genomes close to the bounds. A repaired genome can still miss them if two bounds conflict; then it is the
    best that single changes give.
    """

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, rng: np.random.Generator
    ) -> None:
        self._space, self._objectives, self._costs, self._rng = space, objectives, costs, rng
        self._dealt: set[Genome] = set()
        self._deck: list[Genome] | None = None

    def listed(self) -> set[Genome] | None:
        """All remaining genomes that meet the bounds; None for a space too large to list."""
        if self._space.size > _SMALL:
            return None
        return set(self._listed_deck())

    def draw(self, count: int) -> tuple[Genome, ...]:
        """Draw the next `count` genomes, or as many as remain."""
        if self._space.size <= _SMALL:
            deck = self._listed_deck()
            dealt, self._deck = deck[:count], deck[count:]
            return tuple(dealt)
        drawn = self._uniform(count)
        misses = 0
        while len(drawn) < count and misses < _MISSES:
            genome = self._repaired(self._space.sample(self._rng))
            misses = misses + 1 if genome in self._dealt else 0
            if not misses:
                self._dealt.add(genome)
                drawn.append(genome)
        return tuple(drawn)

    def _listed_deck(self) -> list[Genome]:
        if self._deck is None:
            distinct = dict.fromkeys(self._space.canonical(genome) for genome in self._space.enumerate())
            feasible = [genome for genome in distinct if not self._violation(genome)]
            self._deck = [feasible[index] for index in self._rng.permutation(len(feasible))]
        return self._deck

    def _uniform(self, count: int) -> list[Genome]:
        drawn: list[Genome] = []
        for _ in range(_DRAWS):
            if len(drawn) >= count:
                break
            rows = self._rng.integers(self._space.choices, size=(count, self._space.depth))
            for row in rows.tolist():
                genome = self._space.canonical(tuple(row))
                if len(drawn) < count and genome not in self._dealt and not self._violation(genome):
                    self._dealt.add(genome)
                    drawn.append(genome)
        return drawn

    def _repaired(self, genome: Genome) -> Genome:
        """Genome with choices replaced by random ones closer to the bounds, layers in random order."""
        genome = self._space.canonical(genome)
        left, before = self._violation(genome), float("inf")
        while 0 < left < before:
            before = left
            for layer in self._rng.permutation(self._space.depth).tolist():
                for choice in self._rng.permutation(self._space.choices[layer]).tolist():
                    changed = self._space.canonical((*genome[:layer], choice, *genome[layer + 1 :]))
                    now = self._violation(changed)
                    if now < left:  # the first improvement in random order is a uniform draw from all improvements
                        genome, left = changed, now
                        break
                if not left:
                    break
        return genome

    def _violation(self, genome: Genome) -> float:
        return violation(self._costs(genome), self._objectives)
