"""A search space made narrower or wider: every number of channels times a factor (MobileNetV2's width multiplier)."""

import dataclasses
import math

from fairnas.space.blocks import InvertedResidual
from fairnas.space.space import Layer, SearchSpace

COARSE, FINE, FINE_BELOW = 8, 4, 32
"""Channels become multiples of 8, and of 4 below 32: there, 8 would make unequal layers equal."""
MOST_LOST = 0.9
"""Rounding down may not take more than a tenth (MobileNetV2)."""


def scaled(space: SearchSpace, width: float) -> SearchSpace:
    """The same choices in the same layers, all channels times `width`: stem, layers and head.

    Channels never move against the factor, so costs don't either. Layers that keep their shape still do, and so have
    their shortcuts. A factor of 1 gives the space itself. Raises `SpaceError` where a block cannot be that narrow.
    """
    if width == 1:
        return space
    groups = {block.groups for layer in _all(space) for block in layer.choices if isinstance(block, InvertedResidual)}
    common = math.lcm(1, *groups)

    def channels(count: int) -> int:
        rounded = _rounded(count * width, common)
        return min(count, rounded) if width < 1 else max(count, rounded)

    def layer(given: Layer) -> Layer:
        return dataclasses.replace(
            given, in_channels=channels(given.in_channels), out_channels=channels(given.out_channels)
        )

    return dataclasses.replace(
        space,
        stem_channels=channels(space.stem_channels),
        fixed=tuple(map(layer, space.fixed)),
        layers=tuple(map(layer, space.layers)),
        head_channels=channels(space.head_channels),
    )


def _all(space: SearchSpace) -> tuple[Layer, ...]:
    return (*space.fixed, *space.layers)


def _rounded(wanted: float, groups: int) -> int:
    """The nearest multiple, or the next where that loses too much; at least one."""
    unit = math.lcm(FINE if wanted < FINE_BELOW else COARSE, groups)
    nearest = max(unit, int(wanted + unit / 2) // unit * unit)
    return nearest + unit if nearest < MOST_LOST * wanted else nearest
