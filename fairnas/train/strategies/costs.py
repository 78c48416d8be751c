"""Costs of mixtures of networks, for systems whose architecture learns from cost as well as from accuracy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairnas.nets.cost import cost_table
from fairnas.space import Genome, SearchSpace


@dataclass(frozen=True)
class BlockCosts:
    """Cost of every choice block, in multiply-adds, or in milliseconds from a latency table."""

    fixed: float
    """Cost common to all networks: stem, fixed blocks, head."""
    layers: tuple[tuple[float, ...], ...]
    """One number per choice, per layer."""

    @staticmethod
    def of_madds(space: SearchSpace) -> "BlockCosts":
        """Multiply-adds for one image."""
        table = cost_table(space)
        return BlockCosts(table.fixed.madds, tuple(tuple(cost.madds for cost in row) for row in table.blocks))

    def __call__(self, genome: Genome) -> float:
        """Cost of one genome."""
        return math.fsum([self.fixed, *(row[choice] for row, choice in zip(self.layers, genome, strict=True))])

    @property
    def lightest(self) -> float:
        """Cost of the cheapest network."""
        return self.fixed + math.fsum(map(min, self.layers))

    @property
    def average(self) -> float:
        """Mean cost of all networks."""
        return self.fixed + math.fsum(math.fsum(row) / len(row) for row in self.layers)

    def expected(self, weights: Sequence[Tensor]) -> Tensor:
        """Cost of a mixture, a scalar, given the weights (m,) of each layer's choices."""
        rows = [
            (weight * torch.tensor(row, dtype=weight.dtype, device=weight.device)).sum()
            for row, weight in zip(self.layers, weights, strict=True)
        ]
        return torch.stack(rows).sum() + self.fixed
