"""Samplers of paths: which genomes are trained at a supernet step.

A sampler is a function of the step alone: what it draws at step 1,234 does not depend on what it drew before.
So a run can go on at any step, and every process of a group draws the same paths without talking.
"""

import math
from typing import Literal, Protocol

import numpy as np

from fairnas.randomness import generator
from fairnas.space import Genome

Fairness = Literal["strict", "expectation", "none"]


class PathSampler(Protocol):
    """Draws the paths of a supernet step."""

    fairness: Fairness
    """Which fairness it keeps: `strict` (definition 3) or only `expectation` (definition 2)."""
    fairness_period: int
    """Steps after which a strict sampler is level; 1 where every step is."""
    paths_per_step: int
    """Genomes that `paths` returns."""

    def paths(self, step: int) -> tuple[Genome, ...]:
        """The genomes to train at this step."""
        ...


class StrictSampler:
    """Strict fairness: an independent uniform permutation of the choices in every layer (Algorithm 1).

    With m choices in every layer a step has m paths, and path k takes the k-th entry of every permutation: each
    choice block is on exactly one path. Where layers have different numbers of choices, a step has as many paths as
    their least common multiple, and a block of a layer with fewer choices is on several. If that multiple is more
    than four times the largest number, a step has as many paths as that number: still every block is on at least
    one, so it is updated at every step, but on how many is level at the end of each `fairness_period` of steps only.
    """

    fairness: Fairness = "strict"

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer, m_1 ... m_L; `seed` of the run."""
        self.choices, self.seed = choices, seed
        multiple = math.lcm(*choices)
        self.paths_per_step = multiple if multiple <= 4 * max(choices) else max(choices)
        self.fairness_period = math.lcm(multiple, self.paths_per_step) // self.paths_per_step
        self._drawn: tuple[int, list[np.ndarray]] = (-1, [])  # the cycle drawn last; drawing one costs all its steps

    def paths(self, step: int) -> tuple[Genome, ...]:
        """`paths_per_step` genomes; over a cycle, every block of a layer is on equally many."""
        number, place = divmod(step, self.fairness_period)
        if number != self._drawn[0]:
            rng = generator(self.seed, "paths", number)
            self._drawn = number, [self._column(rng, count) for count in self.choices]
        return tuple(zip(*(column[place].tolist() for column in self._drawn[1]), strict=True))

    def _column(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The choices of one layer in a cycle, (steps, paths): whole permutations, and a share of further ones."""
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
    """Several blocks per layer at once, the others dropped: what One-Shot (Bender et al., 2018) trains.

    Each of the m blocks of a layer is dropped by itself with probability r^(1/m), so that a layer would lose all its
    blocks with chance r, whatever m. In a cell something else goes on then; a chain would be cut, so here one of the
    blocks, drawn uniformly, stays.
    """

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the run."""
        self.choices, self.seed = choices, seed

    def active(self, step: int, chance: float) -> tuple[tuple[int, ...], ...]:
        """Per layer, the blocks that stay at this step; `chance` is r."""
        rng = generator(self.seed, "paths", step)
        layers = []
        for count in self.choices:
            draws, saved = rng.random(count), int(rng.integers(count))
            kept = np.flatnonzero(draws >= chance ** (1 / count)).tolist()
            layers.append(tuple(kept or [saved]))
        return tuple(layers)
