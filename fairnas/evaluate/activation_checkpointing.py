"""Choice of the activations of a prefix tree to keep when memory is bounded.

The textbook name is checkpointing: Griewank and Walther (2000) for a chain of equal steps, Beaumont et al. (2019) for a
chain whose steps differ in cost and size. There, a chain is run backwards; here, a tree is run depth first. In both,
dropped activations are recomputed from the nearest kept one, and dynamic programming over the place in the chain or
tree and the remaining memory decides which to keep.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fairnas.errors import ConfigError
from fairnas.evaluate.tree import Kept, branches, shared_depths
from fairnas.nets import cost_table
from fairnas.nets.blocks import make_stem
from fairnas.nets.memory import activation_table
from fairnas.space import Genome, SearchSpace

MIB = 2**20
LEVELS = 512
"""Number of units that the memory budget is divided into."""
_NUMBER_BYTES = 4  # bytes per number in the activation table


def kept_within(
    ordered: Sequence[Genome], space: SearchSpace, shape: torch.Size, itemsize: int, mib: float | None
) -> Kept:
    """Choose the activations to hold so that memory stays within a bound and little is recomputed.

    Args:
        ordered: distinct genomes in the order of their text forms.
        space: their space.
        shape: of the images (B, C, S, S).
        itemsize: bytes per number of an activation.
        mib: bound in MiB, or None for none. It includes input and output of the block that is running.

    Raises:
        ConfigError: if the bound is less than input and output of some block.
    """
    shared = shared_depths(ordered)
    if mib is None or not ordered:
        return branches(shared)
    space = space.for_data(image_size=shape[-1])
    sizes = [size // _NUMBER_BYTES for size in activation_table(space).handed_on]
    memory = int(mib * MIB / (itemsize * shape[0]))
    least = largest_pair(sizes)
    if memory < least:
        needed = math.ceil(least * itemsize * shape[0] / MIB * 100) / 100
        raise ConfigError(
            f"evaluate.activation_mib is {mib:g}, but {shape[0]} images at once need {needed:g} to get through "
            f"space '{space.name}'; give that, or fewer images (evaluate.batch_size, evaluate.calibration_images)"
        )
    table = cost_table(space)
    costs = [
        [stem_madds(space), *(1 + table.blocks[layer][choice].madds for layer, choice in enumerate(genome))]
        for genome in ordered  # an identity is free, but should not be run needlessly either
    ]
    return kept_depths(shared, costs, sizes, memory)


@functools.lru_cache(maxsize=32)
def stem_madds(space: SearchSpace) -> int:
    """Multiply-adds of the stem for one image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        make_stem(space).eval()(torch.empty(1, space.image_channels, space.image_size, space.image_size))
    return counter.get_total_flops() // 2  # FlopCounterMode counts a multiply-add as two operations


def largest_pair(sizes: Sequence[int]) -> int:
    """Least memory for running a path: input and output of a block exist at the same time."""
    return max(a + b for a, b in zip((0, *sizes), sizes, strict=False))


def kept_depths(
    shared: Sequence[int], costs: Sequence[Sequence[int]], sizes: Sequence[int], memory: int
) -> list[frozenset[int]]:
    """Choose activations to keep, from numbers alone. The memory must suffice for `largest_pair`.

    Args:
        shared: depth that each leaf shares with the one before, -1 for the first (`tree.shared_depths`).
        costs: cost of running the node, per leaf and depth.
        sizes: size of the activation, per depth.
        memory: bound on the sum of the sizes held.

    Returns:
        Per leaf, the depths held from its turn to the next one's: the cheapest plan among those that keep an activation
        until its last use. For one in 25 small random trees with too little memory, a cheaper plan drops an activation
        earlier and keeps it again; in thousands of trees it saved at most 14 %.
    """
    assert memory >= largest_pair(sizes)
    everything = branches(shared)
    if most_held(shared, everything, sizes) <= memory:
        return everything
    unit = max(math.gcd(*sizes), -(-memory // LEVELS))
    plan = _CheckpointPlanner(shared, costs, [-(-size // unit) for size in sizes], memory // unit)
    found = plan.kept()
    # rounding sizes up to units can make every plan impossible
    return [frozenset() for _ in shared] if found is None else found


def most_held(shared: Sequence[int], kept: Kept, sizes: Sequence[int]) -> int:
    """Peak memory of activations under a plan."""
    most, held = 0, frozenset[int]()
    for known, keep in zip(shared, kept, strict=True):
        start = max((depth for depth in held if depth <= known), default=-1)
        held = frozenset(depth for depth in held if depth <= start and depth in keep)
        for depth in range(start + 1, len(sizes)):
            there = held | {depth} | ({depth - 1} if depth > 0 else set())
            most = max(most, sum(sizes[each] for each in there))
            held |= {depth} & keep
    return most


@dataclass(frozen=True)
class _Decision:
    """Decision at a base: `next` is the depth kept next, or -1 for none. Arrays, one entry per amount of memory."""

    cost: np.ndarray
    next: np.ndarray


class _CheckpointPlanner:
    """Dynamic programme. Its state: a base, the next leaf, and the memory, which includes the base.

    A base is the deepest activation that is kept (depth -1: the images, which need no memory). On the way to the next
    leaf, either another base is kept until its last leaf, which reduces the memory by the old base (unless that has
    no later leaves); or none is kept, and the state moves to the leaf after.
    """

    def __init__(
        self, shared: Sequence[int], costs: Sequence[Sequence[int]], sizes: Sequence[int], memory: int
    ) -> None:
        self._shared = [*shared, -1]  # sentinel: the tree ends after the last leaf
        self._sizes = [0, *sizes]  # indexed by depth + 1, because the images are depth -1
        self._memory = memory
        # cumulative cost from the images on
        self._way = [np.concatenate(([0.0], np.cumsum(leaf, dtype=float))) for leaf in costs]
        self._ends = self._last_uses()
        self._states: dict[tuple[int, int], _Decision] = {}
        for leaf in range(len(shared) - 1, -1, -1):
            for depth in range(max(self._shared[leaf], self._shared[leaf + 1]), -2, -1):
                self._states[depth, leaf] = self._best(depth, leaf)

    def _last_uses(self) -> list[dict[int, int]]:
        """First later leaf that does not share the prefix, per leaf and shared depth of its path."""
        ends: list[dict[int, int]] = []
        beyond: dict[int, int] = {}
        for leaf in range(len(self._shared) - 2, -1, -1):
            follows, last = self._shared[leaf + 1], len(self._shared) - 1
            beyond = {depth: beyond.get(depth, leaf + 2) for depth in range(follows + 1)} | {-1: last}
            ends.append(beyond)
        return ends[::-1]

    def _end(self, depth: int, leaf: int) -> int:
        return self._ends[leaf].get(depth, leaf + 1)

    def _best(self, base: int, leaf: int) -> _Decision:
        way, sizes, end = self._way[leaf], self._sizes, self._end(base, leaf)
        own = sizes[base + 1]
        # inputs and outputs along the way from the base
        pairs = [a + b for a, b in zip(sizes[base + 1 :], sizes[base + 2 :], strict=False)]
        widest = np.maximum.accumulate(pairs)  # peak on the way to base + 1, base + 2, ...
        # peak if the base stays in memory as well
        beside = np.maximum.accumulate([pairs[0], *(pair + own for pair in pairs[1:])])
        bottom = len(sizes) - 2
        best = np.full(self._memory + 1, np.inf)
        chosen = np.full(self._memory + 1, -1, dtype=np.int16)
        if leaf + 1 < end:  # option: keep nothing on the way to this leaf
            best[beside[bottom - base - 1] :] = 0
            best += way[-1] - way[base + 1] + self._states[base, leaf + 1].cost
        else:
            best[widest[bottom - base - 1] :] = way[-1] - way[base + 1]
        for depth in range(base + 1, self._shared[leaf + 1] + 1):
            after = self._end(depth, leaf)
            cost = np.full(self._memory + 1, np.inf)
            inside = self._states[depth, leaf].cost
            if after < end:
                cost[own:] = inside[: len(inside) - own]
                cost += self._states[base, after].cost
                cost[: beside[depth - base - 1]] = np.inf
            else:
                cost[:] = inside
                cost[: widest[depth - base - 1]] = np.inf
            cost += way[depth + 1] - way[base + 1]
            better = cost < best
            best[better], chosen[better] = cost[better], depth
        return _Decision(best, chosen)

    def kept(self) -> list[frozenset[int]] | None:
        """Cheapest plan, or None if there is none."""
        if not np.isfinite(self._states[-1, 0].cost[self._memory]):
            return None
        # kept depths, with the memory left beyond each, and their last uses
        stack = [(-1, self._memory, len(self._way))]
        plan = []
        for leaf in range(len(self._way)):
            while stack[-1][2] <= leaf:
                stack.pop()
            while True:
                base, memory, end = stack[-1]
                depth = int(self._states[base, leaf].next[memory])
                if depth == -1:
                    break
                after = self._end(depth, leaf)
                if after < end:
                    memory -= self._sizes[base + 1]
                else:
                    stack.pop()
                stack.append((depth, memory, after))
            plan.append(frozenset(depth for depth, _, end in stack if depth >= 0 and end > leaf + 1))
        return plan
