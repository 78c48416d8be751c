"""Which activations of a prefix tree to keep where memory is short.

The textbook name is checkpointing: Griewank and Walther (2000) for a chain of equal steps, Beaumont et al. (2019) for
one whose steps differ in cost and size. There, a chain is run backwards; here, a tree is run depth first. In both, what
was dropped is computed again from the nearest activation that is kept, and what to keep is found by dynamic
programming, over the place in the chain or tree, and the memory that is left.
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
"""Memory is counted in units of which at most so many fit."""
_NUMBER_BYTES = 4  # of the activation table


def kept_within(
    ordered: Sequence[Genome], space: SearchSpace, shape: torch.Size, itemsize: int, mib: float | None
) -> Kept:
    """What to hold so that activations between layers never take more than a bound, and little is computed again.

    Args:
        ordered: distinct genomes in the order of their text forms.
        space: theirs.
        shape: of the images (B, C, S, S).
        itemsize: bytes of a number of an activation.
        mib: the bound in MiB, or None for none. The two activations at a block count, too: what it gets and gives.

    Raises:
        ConfigError: if the bound is less than the two activations at some block take.
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
        for genome in ordered  # an identity costs nothing, but should not be run for nothing
    ]
    return kept_depths(shared, costs, sizes, memory)


@functools.lru_cache(maxsize=32)
def stem_madds(space: SearchSpace) -> int:
    """Multiply-adds of the stem for one image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        make_stem(space).eval()(torch.empty(1, space.image_channels, space.image_size, space.image_size))
    return counter.get_total_flops() // 2  # it counts a multiply-add as two operations


def largest_pair(sizes: Sequence[int]) -> int:
    """The least memory a path can be run in: what a block gets and what it gives are there at the same time."""
    return max(a + b for a, b in zip((0, *sizes), sizes, strict=False))


def kept_depths(
    shared: Sequence[int], costs: Sequence[Sequence[int]], sizes: Sequence[int], memory: int
) -> list[frozenset[int]]:
    """The same from numbers alone. The memory suffices for `largest_pair`.

    Args:
        shared: depth that each leaf shares with the one before, -1 for the first (`tree.shared_depths`).
        costs: per leaf and depth, of running the node.
        sizes: per depth, of its activation.
        memory: what activations may take together.

    Returns:
        Per leaf, the depths held from its turn to the next one's: the cheapest plan of those in which what is kept is
        kept until its last use. Of small random trees with too little memory, one in 25 has a cheaper plan that drops
        something earlier and keeps it again, by 14 % at most in thousands.
    """
    assert memory >= largest_pair(sizes)
    everything = branches(shared)
    if most_held(shared, everything, sizes) <= memory:
        return everything
    unit = max(math.gcd(*sizes), -(-memory // LEVELS))
    plan = _CheckpointPlanner(shared, costs, [-(-size // unit) for size in sizes], memory // unit)
    found = plan.kept()
    return [frozenset() for _ in shared] if found is None else found  # no plan, because sizes were rounded up


def most_held(shared: Sequence[int], kept: Kept, sizes: Sequence[int]) -> int:
    """The most memory that activations take at one time under a plan."""
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
    """What is done from a base on: `next` is kept next, or -1 for nothing. Both per amount of memory."""

    cost: np.ndarray
    next: np.ndarray


class _CheckpointPlanner:
    """The dynamic programme. Its state: a base, the leaf that is next, and memory, which the base is part of.

    A base is the deepest activation that is kept (depth -1: the images, which take nothing). From there, on the way to
    the next leaf, the next base may be kept until its last leaf; meanwhile the memory is less by the old base, unless
    that has no more leaves after. Or none is, and the leaf after is next.
    """

    def __init__(
        self, shared: Sequence[int], costs: Sequence[Sequence[int]], sizes: Sequence[int], memory: int
    ) -> None:
        self._shared = [*shared, -1]  # after the last leaf another tree begins
        self._sizes = [0, *sizes]  # from here on by depth + 1: the images are depth -1
        self._memory = memory
        self._way = [np.concatenate(([0.0], np.cumsum(leaf, dtype=float))) for leaf in costs]  # cost from the images on
        self._ends = self._last_uses()
        self._states: dict[tuple[int, int], _Decision] = {}
        for leaf in range(len(shared) - 1, -1, -1):
            for depth in range(max(self._shared[leaf], self._shared[leaf + 1]), -2, -1):
                self._states[depth, leaf] = self._best(depth, leaf)

    def _last_uses(self) -> list[dict[int, int]]:
        """Per leaf and depth of its path, the first later leaf that does not share it; as far as depths are shared."""
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
        pairs = [a + b for a, b in zip(sizes[base + 1 :], sizes[base + 2 :], strict=False)]  # from the base on
        widest = np.maximum.accumulate(pairs)  # on the way to base + 1, base + 2, ...
        beside = np.maximum.accumulate([pairs[0], *(pair + own for pair in pairs[1:])])  # with the base kept
        bottom = len(sizes) - 2
        best = np.full(self._memory + 1, np.inf)
        chosen = np.full(self._memory + 1, -1, dtype=np.int16)
        if leaf + 1 < end:  # nothing is kept on the way to this leaf
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
        """The cheapest plan, or None if there is none."""
        if not np.isfinite(self._states[-1, 0].cost[self._memory]):
            return None
        stack = [(-1, self._memory, len(self._way))]  # kept depths: with memory from there on, and their last uses
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
