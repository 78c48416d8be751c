"""Random genomes that meet the bounds, each at most once: the first population, and random search."""

import numpy as np

from fairnas.search.candidate import Costs
from fairnas.search.objectives import Objective, violation
from fairnas.space import Genome, SearchSpace

_SMALL = 10_000  # genomes of a space that is listed instead of sampled; 0.2 s at most
_DRAWS = 10  # uniform draws per genome wanted, before draws that miss the bounds are repaired instead
_MISSES = 20  # repaired genomes in a row that were all drawn before: the bounds leave hardly any others


class FeasibleGenomes:
    """Deals distinct canonical genomes that meet the bounds, and fewer than wanted once they run out.

    Small spaces are listed, so that the genomes are exactly uniform and exactly exhausted. Large ones are
    sampled uniformly; where bounds refuse nearly everything, refused genomes are made cheaper layer by layer
    until they meet the bounds, which favours genomes close to the bounds: they are uniform no longer. A repaired
    genome can still miss them if two bounds fight each other; then it is the best that single changes give.
    """

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, rng: np.random.Generator
    ) -> None:
        self._space, self._objectives, self._costs, self._rng = space, objectives, costs, rng
        self._dealt: set[Genome] = set()
        self._deck: list[Genome] | None = None

    def listed(self) -> set[Genome] | None:
        """All genomes not dealt yet that meet the bounds; None in a space too large to list."""
        if self._space.size > _SMALL:
            return None
        return set(self._listed_deck())

    def draw(self, count: int) -> tuple[Genome, ...]:
        """The next `count` genomes, or as many as there still are."""
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
        """The genome with choices replaced, layers in random order, by random ones closer to the bounds."""
        genome = self._space.canonical(genome)
        left, before = self._violation(genome), float("inf")
        while 0 < left < before:
            before = left
            for layer in self._rng.permutation(self._space.depth).tolist():
                for choice in self._rng.permutation(self._space.choices[layer]).tolist():
                    changed = self._space.canonical((*genome[:layer], choice, *genome[layer + 1 :]))
                    now = self._violation(changed)
                    if now < left:  # the first one in random order is a uniform one of all that are better
                        genome, left = changed, now
                        break
                if not left:
                    break
        return genome

    def _violation(self, genome: Genome) -> float:
        return violation(self._costs(genome), self._objectives)
