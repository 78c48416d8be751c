"""Mutation of children: one layer uniformly, or MoreMNAS's hierarchy of operators (Table 4).

The parts of the hierarchy and their probabilities are published, their exact rules are not. Rules that the paper leaves
open are settings of `search.hierarchy`, or described in docstrings; they are our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fairnas.config import SearchConfig
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.objectives import Objective, merit
from fairnas.space import Genome, SearchSpace


@dataclass(frozen=True)
class OperatorCounts:
    """Counts of the children of one operator."""

    children: int = 0
    survived: int = 0
    """Number of children in the population of the next generation."""
    on_front: int = 0
    """Number of children on its first front."""


class Mutator(Protocol):
    """Mutation of children. A deterministic function of its seed, its learned state, and the given generator."""

    def mutate(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """Changed genomes (n, L), and the name of the operator that changed each.

        Args:
            genomes: (n, L) integers.
            front: (k, L), the first front of the population at the time.
            rng: source of randomness.
        """
        ...

    def learn(self, candidates: Sequence[Candidate], operators: Sequence[str]) -> None:
        """Learn from a generation with its scores, and the operator that made each genome."""
        ...


class UniformMutator:
    """Mutation of one uniformly chosen layer to a uniformly chosen other choice."""

    def __init__(self, space: SearchSpace) -> None:
        self._choices = space.choices

    def mutate(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """See `Mutator`."""
        return change_one_layer(genomes, self._choices, rng), ["random"] * len(genomes)

    def learn(self, candidates: Sequence[Candidate], operators: Sequence[str]) -> None:
        """Do nothing."""


class HierarchicalMutator:
    """MoreMNAS: random mutation for exploration, reinforced mutation for exploitation, a prior regulator.

    Reinforced mutation has two kinds: a controller for accuracy, which is hard to predict, and roulette wheel selection
    for multiply-adds and parameters, which are easy to compute. The prior regulator repeats choices of good networks.
    """

    def __init__(
        self, space: SearchSpace, objectives: Sequence[Objective], costs: Costs, config: SearchConfig, seed: int
    ) -> None:
        self._space, self._settings, self._merit = space, config.hierarchy, merit(objectives)
        from fairnas.search.controller import Controller  # loads torch, so it is imported only if used

        self._controller = Controller(space.choices, config.controller, seed)
        priced = costs((0,) * space.depth)
        self._block_costs = [
            block_costs(space, costs, each.name)
            for each in objectives
            if each.direction == "min" and each.name in priced
        ]
        self._free = np.flatnonzero(np.array(space.choices) > 1)
        self._drawn: dict[Genome, tuple[Genome, tuple[bool, ...]]] = {}
        """Genomes that the controller drew, by canonical genome, with the layers that it chose."""

    def mutate(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """See `Mutator`."""
        ours = self._settings
        operators = {
            "random": (ours.random, self._random),
            "controller": (ours.reinforced * ours.controller, self._by_controller),
            "roulette": (ours.reinforced * (1 - ours.controller), self._by_roulette),
            "prior": (ours.prior, self._by_prior),
        }
        shares = np.array([share for share, _ in operators.values()])
        kinds = rng.choice(list(operators), size=len(genomes), p=shares / shares.sum())
        changed = genomes.copy()
        for name, (_, change) in operators.items():
            rows = np.flatnonzero(kinds == name)
            if len(rows):
                changed[rows] = change(genomes[rows], front, rng)
        return changed, kinds.tolist()

    def _random(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return change_one_layer(genomes, self._space.choices, rng)

    def _by_controller(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        layers = np.arange(self._space.depth)
        start = self._layers(len(genomes), rng)[:, None]
        own = {"whole": layers >= 0 * start, "suffix": layers >= start, "layer": layers == start}
        mine = own[self._settings.controller_draws]
        drawn = self._controller.draw(genomes, mine, rng)
        for row, marks in zip(drawn.tolist(), mine.tolist(), strict=True):
            self._drawn[self._space.canonical(tuple(row))] = tuple(row), tuple(marks)
        return drawn

    def _layers(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random layers among those with a choice; among all layers if there are none."""
        free = self._free if len(self._free) else np.arange(self._space.depth)
        return free[rng.integers(len(free), size=count)]

    def _by_roulette(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change one layer, with probabilities inversely proportional to costs; each cost is used equally often."""
        if not self._block_costs:
            return self._random(genomes, front, rng)
        changed = genomes.copy()
        layers = self._layers(len(genomes), rng)
        which_costs = rng.integers(len(self._block_costs), size=len(genomes))
        for row, layer, which in zip(changed, layers, which_costs, strict=True):
            weights = 1 / self._block_costs[which][layer]
            row[layer] = rng.choice(len(weights), p=weights / weights.sum())
        return changed

    def _by_prior(self, genomes: np.ndarray, front: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Copy one layer's choice from a random network of the front, or a neighbouring layer's block if allowed."""
        changed = genomes.copy()
        layers = self._layers(len(genomes), rng)
        if self._settings.prior_repeats == "front" and len(front):
            changed[np.arange(len(genomes)), layers] = front[rng.integers(len(front), size=len(genomes)), layers]
            return changed
        for row, layer in zip(changed, layers.tolist(), strict=True):
            beside = [n for n in (layer - 1, layer + 1) if 0 <= n < self._space.depth]
            if beside:
                other = rng.choice(beside)
                block = self._space.block(other, row[other])
                if block in self._space.layers[layer].choices:
                    row[layer] = self._space.layers[layer].choices.index(block)
        return changed

    def learn(self, candidates: Sequence[Candidate], operators: Sequence[str]) -> None:
        """Reward the controller with accuracies: of all networks (Algorithm 3), or of its own."""
        scored = [
            (candidate, operator)
            for candidate, operator in zip(candidates, operators, strict=True)
            if candidate.has([self._merit]) and not candidate.failed
        ]
        if self._settings.controller_learns_from == "own":
            scored = [(c, operator) for c, operator in scored if operator == "controller" and c.genome in self._drawn]
            drawn = [self._drawn[candidate.genome] for candidate, _ in scored]
            genomes, own = [row for row, _ in drawn], [marks for _, marks in drawn]
        else:
            genomes, own = [candidate.genome for candidate, _ in scored], None
        self._controller.learn(genomes, [candidate.value(self._merit) for candidate, _ in scored], own)
        self._drawn.clear()


def change_one_layer(genomes: np.ndarray, choices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Uniform mutation: change one uniformly chosen layer of each genome to a uniformly chosen other choice.

    Args:
        genomes: integers, shape (genomes, L).
        choices: m per layer; layers of one choice are not changed.
        rng: source of randomness.
    """
    counts = np.array(choices)
    free = np.flatnonzero(counts > 1)
    changed = genomes.copy()
    if len(free):
        rows = np.arange(len(genomes))
        layers = free[rng.integers(len(free), size=len(genomes))]
        steps = rng.integers(1, counts[layers])
        changed[rows, layers] = (genomes[rows, layers] + steps) % counts[layers]
    return changed


def block_costs(space: SearchSpace, costs: Costs, name: str) -> list[np.ndarray]:
    """Positive cost of each choice, per layer.

    Costs of whole networks only determine differences between blocks. The lightest block of a layer is assumed to cost
    an L-th of the lightest network.
    """
    base: Genome = (0,) * space.depth
    origin = costs(base)[name]
    layers = [
        np.array([costs((*base[:layer], c, *base[layer + 1 :]))[name] - origin for c in range(count)], dtype=float)
        for layer, count in enumerate(space.choices)
    ]
    lightest = origin + sum(float(row.min()) for row in layers)
    return [row - row.min() + (lightest if lightest > 0 else 1.0) / space.depth for row in layers]
