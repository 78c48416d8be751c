"""Construction of a search space in a few lines: stages of layers that all offer the same choice blocks.

For example:
    from fairnas.space import Stage, Stem, chain_space

    space = chain_space(
        "mine",
        image_size=32,
        stem=Stem(channels=16, stride=1),
        stages=(Stage(24, layers=2, stride=2), Stage(40, layers=3, stride=2)),
        kernels=(3, 5),
        expansions=(3, 6),
        head=256,
    )
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.errors import SpaceError
from fairnas.space.blocks import MOST, Activation, Block, Identity, InvertedResidual, Separable, require_count
from fairnas.space.genome import ALPHABET
from fairnas.space.space import MOST_LAYERS, Layer, SearchSpace


@dataclass(frozen=True)
class Stem:
    """The first 3x3 convolution."""

    channels: int
    stride: int = 2


@dataclass(frozen=True)
class Stage:
    """Layers of one width; the first one has the stride."""

    channels: int
    layers: int
    stride: int = 1


def chain_space(
    name: str,
    *,
    image_size: int,
    stem: Stem,
    stages: Sequence[Stage],
    head: int,
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[int] = (3, 6),
    choices: Sequence[Block] | None = None,
    first: int | None = None,
    skip: bool = False,
    image_channels: int = 3,
    num_classes: int = 1000,
    activation: Activation = "relu6",
    source: str = "",
    classifier_bias: bool = True,
    bn_eps: float = 1e-5,
) -> SearchSpace:
    """Make a space of inverted residuals, kernels x expansions in the order of the paper's Table 6 (k3e3, k5e3, ...).

    Args:
        name: name of the space in configurations and reports.
        image_size: side of the square input in pixels.
        stem: first convolution.
        stages: widths, numbers of layers and strides of the choice layers.
        head: channels of the 1x1 convolution before the classifier.
        kernels: odd kernel sizes to choose from.
        expansions: expansion rates to choose from.
        choices: the choice blocks themselves, instead of kernels x expansions.
        first: channels of a fixed separable 3x3 block behind the stem; default: no such block.
        skip: True if layers that keep the shape also offer the identity, as their last choice.
        image_channels: 3 for colour, 1 for grey.
        num_classes: outputs of the classifier.
        activation: `relu6`, `relu` or `swish`, everywhere.
        source: reference that describes the space.
        classifier_bias: True if the classifier has a bias.
        bn_eps: added to the variances in BN.

    Raises:
        SpaceError: if a number is out of range.
    """
    if not isinstance(skip, bool):
        raise SpaceError(f"skip of space '{name}' is {skip!r}; give true or false")
    blocks = _inverted_residuals(name, kernels, expansions) if choices is None else tuple(choices)
    _check_counts(name, stem, stages, head, first)
    width = stem.channels
    fixed = ()
    if first is not None:
        fixed = (Layer(width, first, 1, (Separable(3),)),)
        width = first
    layers = []
    for stage in stages:
        for number in range(stage.layers):
            layer = Layer(width, stage.channels, stage.stride if number == 0 else 1, blocks)
            if skip and layer.keeps_shape and Identity() not in blocks:
                layer = Layer(width, stage.channels, 1, (*blocks, Identity()))
            layers.append(layer)
            width = stage.channels
    return SearchSpace(
        name=name,
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        stem_channels=stem.channels,
        stem_stride=stem.stride,
        fixed=fixed,
        layers=tuple(layers),
        head_channels=head,
        activation=activation,
        source=source,
        classifier_bias=classifier_bias,
        bn_eps=bn_eps,
    )


def _inverted_residuals(name: str, kernels: Sequence[int], expansions: Sequence[int]) -> tuple[InvertedResidual, ...]:
    """Make the choices of kernels x expansions. Raises `SpaceError`."""
    kernels = _distinct(f"kernels of space '{name}'", kernels, "[3, 5, 7]")
    expansions = _distinct(f"expansions of space '{name}'", expansions, "[3, 6]")
    if len(kernels) * len(expansions) > len(ALPHABET):
        raise SpaceError(
            f"space '{name}' has {len(kernels)} kernels and {len(expansions)} expansions, which make "
            f"{len(kernels) * len(expansions)} choices; give at most {len(ALPHABET)}"
        )
    return tuple(InvertedResidual(k, e) for e in expansions for k in kernels)


def _distinct(what: str, given: Sequence[int], example: str) -> tuple[int, ...]:
    """Return a list of numbers as a tuple. Raises `SpaceError` if it is empty, no list, or has a number twice."""
    if not isinstance(given, list | tuple) or not given:
        raise SpaceError(f"{what} is {given!r}; give a list such as {example}")
    if len(given) <= len(ALPHABET):  # longer lists are refused elsewhere
        for place, value in enumerate(given):
            if value in given[:place]:
                raise SpaceError(f"{what} has {value!r} twice; give each once")
    return tuple(given)


def _check_counts(name: str, stem: Stem, stages: Sequence[Stage], head: int, first: int | None) -> None:
    """Check every number before layers are made of them. Raises `SpaceError`."""
    for what in ("channels", "stride"):
        require_count(f"{what} of the stem of space '{name}'", getattr(stem, what))
    require_count(f"head of space '{name}'", head)
    if first is not None:
        require_count(f"first of space '{name}'", first)
    for place, stage in enumerate(stages, start=1):
        for what, most in (("channels", MOST), ("layers", MOST_LAYERS), ("stride", MOST)):
            require_count(f"{what} of stage {place} of space '{name}'", getattr(stage, what), most)
    count = sum(stage.layers for stage in stages)
    if count > MOST_LAYERS:
        raise SpaceError(f"space '{name}' has {count:,} layers; give at most {MOST_LAYERS:,}")
