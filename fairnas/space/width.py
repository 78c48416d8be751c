"""Search space made narrower or wider: all channels times a factor (MobileNetV2's width multiplier)."""

import dataclasses
import math

from fairnas.space.blocks import InvertedResidual
from fairnas.space.space import Layer, SearchSpace

COARSE, FINE, FINE_BELOW = 8, 4, 32
"""Channels are rounded to multiples of 8, or of 4 below 32, where multiples of 8 would make unequal layers equal."""
MOST_LOST = 0.9
"""Smallest ratio of rounded to exact channels: rounding down may not remove more than a tenth (MobileNetV2)."""


def scaled(space: SearchSpace, width: float) -> SearchSpace:
    """Scale all channels of a space by `width`: stem, layers and head. Choices and layers stay.

    Rounding never reverses the direction of the factor, so costs do not either. Layers that keep their shape still do,
    so shortcuts stay. A factor of 1 gives the space itself. Raises `SpaceError` if a block cannot be that narrow.
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
    """Nearest multiple, or the next larger one if that loses too much; at least one."""
    unit = math.lcm(FINE if wanted < FINE_BELOW else COARSE, groups)
    nearest = max(unit, int(wanted + unit / 2) // unit * unit)
    return nearest + unit if nearest < MOST_LOST * wanted else nearest
