"""Spaces of the catalog cut so short that a test over all of them takes seconds."""

import dataclasses

import pytest

from fairnas.space import SearchSpace

SHORT_OR_WHOLE = pytest.mark.parametrize("layers", [5, pytest.param(None, marks=pytest.mark.full)])
"""`make test` takes the beginning of a space, `make test-full` the whole."""


def shortened(space: SearchSpace, layers: int | None = 5, num_classes: int = 10) -> SearchSpace:
    """A space with images as small as it takes; of its first layers, which offer all its kinds of blocks.

    Args:
        space: of the catalog.
        layers: how many it keeps; None for all.
        num_classes: outputs of the classifier.
    """
    if layers is not None:
        offered = _offered(space)
        space = dataclasses.replace(space, layers=space.layers[:layers], head_channels=16)
        assert _offered(space) == offered, f"the first {layers} layers of {space.name} leave blocks out"
    size = space.reduction if layers is None else max(8, 2 * space.reduction)
    return space.for_data(image_size=size, num_classes=num_classes)


def _offered(space: SearchSpace) -> set[str]:
    return {choice.label for layer in space.layers for choice in layer.choices}
