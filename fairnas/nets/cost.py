"""Multiply-adds and parameters: an L x m table per space, summed over the genome.

MAdds count convolutions and linear layers for one image, without bias, BN or activation, as the paper's tables do.
Parameters count every trainable tensor. Both are additive over the layers of a chain, so the table is exact.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fairnas.nets.blocks import Head, make_block, make_stem
from fairnas.space import Genome, Layer, SearchSpace


@dataclass(frozen=True)
class Cost:
    """Cost of one network."""

    madds: int
    """Multiply-adds for one image."""
    params: int
    """Trainable numbers."""


@dataclass(frozen=True)
class CostTable:
    """Cost of every choice block of a space, and of its fixed part (stem, fixed blocks, head)."""

    fixed: Cost
    blocks: tuple[tuple[Cost, ...], ...]

    def __call__(self, genome: Genome) -> Cost:
        """Cost of one (valid) genome."""
        chosen = [self.fixed, *(layer[choice] for layer, choice in zip(self.blocks, genome, strict=True))]
        return Cost(sum(cost.madds for cost in chosen), sum(cost.params for cost in chosen))

    def measures(self, genome: Genome) -> Mapping[str, int]:
        """Cost of a genome by the names of the search objectives."""
        cost = self(genome)
        return {"madds": cost.madds, "params": cost.params}

    @property
    def lightest(self) -> Mapping[str, int]:
        """The smallest possible value of each measure over the space; not of one genome."""
        return self._extreme(min)

    @property
    def heaviest(self) -> Mapping[str, int]:
        """The largest possible value of each measure over the space."""
        return self._extreme(max)

    def _extreme(self, pick: Callable[[Iterable[int]], int]) -> Mapping[str, int]:
        return {
            name: getattr(self.fixed, name) + sum(pick(getattr(c, name) for c in row) for row in self.blocks)
            for name in ("madds", "params")
        }


@functools.lru_cache(maxsize=32)
def cost_table(space: SearchSpace) -> CostTable:
    """Count every block of a space once, on the meta device."""
    known: dict[tuple[Layer, int], tuple[tuple[Cost, ...], torch.Tensor]] = {}  # layers of equal shape have equal costs
    with torch.device("meta"):
        images = torch.empty(1, space.image_channels, space.image_size, space.image_size)
        stem, features = _counted(make_stem(space), images)
        rows = []
        for layer in space.layers:
            key = (layer, features.shape[-1])
            if key not in known:
                counted = [_counted(make_block(block, layer, space.activation), features) for block in layer.choices]
                known[key] = tuple(cost for cost, _ in counted), counted[0][1]
            row, features = known[key]
            rows.append(row)
        head, _ = _counted(Head(space), features)
    return CostTable(Cost(stem.madds + head.madds, stem.params + head.params), tuple(rows))


def cost(space: SearchSpace, genome: Sequence[int] | str) -> Cost:
    """Multiply-adds and parameters of one genome. Raises `GenomeError` if it does not fit the space."""
    return cost_table(space)(space.parse(genome) if isinstance(genome, str) else space.validate(genome))


def cost_of(network: nn.Module, images: torch.Tensor) -> Cost:
    """Multiply-adds and parameters of any network, for one image (1, C, H, W); on the meta device this takes no memory.

    The network is left in eval mode.
    """
    return _counted(network, images)[0]


def _counted(module: nn.Module, inputs: torch.Tensor) -> tuple[Cost, torch.Tensor]:
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs = module(inputs)
    # FlopCounterMode counts a multiply-add as two operations; its forward counts are exact, also for depthwise
    params = sum(parameter.numel() for parameter in module.parameters())
    return Cost(counter.get_total_flops() // 2, params), outputs
