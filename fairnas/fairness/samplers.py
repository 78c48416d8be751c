"""Samplers of paths: the genomes that are trained at a supernet step.

A sampler is a function of the step alone: the paths of step 1,234 do not depend on earlier draws. So a run can be
continued at any step, and every process of a group draws the same paths without communication.
"""

import math
from typing import Literal, Protocol

import numpy as np

from fairnas.randomness import generator
from fairnas.space import Genome

Fairness = Literal["strict", "expectation", "none"]


class PathSampler(Protocol):
    """Sampler of the paths of a supernet step."""

    fairness: Fairness
    """Fairness that it guarantees: `strict` (definition 3) or only `expectation` (definition 2)."""
    fairness_period: int
    """Steps after which counts of a strict sampler are equal; 1 if they are after every step."""
    paths_per_step: int
    """Number of genomes that `paths` returns."""

    def paths(self, step: int) -> tuple[Genome, ...]:
        """Genomes to train at this step."""
        ...


class StrictSampler:
    """Strict fairness: an independent uniform permutation of the choices in every layer (Algorithm 1).

    With m choices in every layer a step has m paths, and path k takes the k-th entry of every permutation: each
    choice block is on exactly one path. If layers have different numbers of choices, a step has as many paths as
    their least common multiple, and a block of a layer with fewer choices is on several paths. If that multiple is more
    than four times the largest number, a step has as many paths as the largest number: every block is still on at least
    one path, and updated at every step, but counts are equal only at the end of each `fairness_period` of steps.
    """

    fairness: Fairness = "strict"

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer, m_1 ... m_L; `seed` of the run."""
        self.choices, self.seed = choices, seed
        multiple = math.lcm(*choices)
        self.paths_per_step = multiple if multiple <= 4 * max(choices) else max(choices)
        self.fairness_period = math.lcm(multiple, self.paths_per_step) // self.paths_per_step
        # cache of the last cycle: drawing one step means drawing its whole cycle
        self._drawn: tuple[int, list[np.ndarray]] = (-1, [])

    def paths(self, step: int) -> tuple[Genome, ...]:
        """`paths_per_step` genomes; over a cycle, every block of a layer is on equally many."""
        number, place = divmod(step, self.fairness_period)
        if number != self._drawn[0]:
            rng = generator(self.seed, "paths", number)
            self._drawn = number, [self._column(rng, count) for count in self.choices]
        return tuple(zip(*(column[place].tolist() for column in self._drawn[1]), strict=True))

    def _column(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Choices of one layer in a cycle, (steps, paths): whole permutations, and a share of further ones."""
        whole, rest = divmod(self.paths_per_step, count)
        shares = [_permutations(rng, count, self.fairness_period * whole).reshape(self.fairness_period, whole * count)]
        if rest:
            shares.append(
                _permutations(rng, count, self.fairness_period * rest // count).reshape(self.fairness_period, rest)
            )
        return np.concatenate(shares, axis=1)


def _permutations(rng: np.random.Generator, count: int, number: int) -> np.ndarray:
    """Independent uniform permutations of range(count), (number, count)."""
    return rng.permuted(np.tile(np.arange(count), (number, 1)), axis=1)


class UniformSampler:
    """One uniform path per step: Single Path One-Shot, the paper's EF with k = 1."""

    fairness: Fairness = "expectation"
    fairness_period = 1
    paths_per_step = 1

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the run."""
        self.choices, self.seed = choices, seed

    def paths(self, step: int) -> tuple[Genome, ...]:
        """One genome."""
        return (tuple(generator(self.seed, "paths", step).integers(self.choices).tolist()),)


class PathDropout:
    """Several blocks per layer at once, the others dropped: the training of One-Shot (Bender et al., 2018).

    Each of the m blocks of a layer is dropped independently with probability r^(1/m), so that a layer would lose all
    its blocks with probability r for any m. A cell has other connections then; a chain would be cut, so here one of the
    blocks, drawn uniformly, is kept.
    """

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the run."""
        self.choices, self.seed = choices, seed

    def active(self, step: int, chance: float) -> tuple[tuple[int, ...], ...]:
        """Blocks kept at this step, per layer; `chance` is r."""
        rng = generator(self.seed, "paths", step)
        layers = []
        for count in self.choices:
            draws, saved = rng.random(count), int(rng.integers(count))
            kept = np.flatnonzero(draws >= chance ** (1 / count)).tolist()
            layers.append(tuple(kept or [saved]))
        return tuple(layers)
