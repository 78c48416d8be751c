"""Networks that are chains of inverted residuals, as data: stem, stages, head.

A stage is (channels, stride, blocks), with blocks by their labels, such as `k5e3se0.25`; `-` is a skipped layer.
"""

import dataclasses
import re

from fairnas.space import Activation, InvertedResidual, Layer, SearchSpace, Separable, get_space
from fairnas.zoo.entry import ChainGenome

_LABEL = re.compile(r"k(\d+)e(\d+)(?:g(\d+))?(?:se([\d.]+))?")

Stages = tuple[tuple[int, int, str], ...]


def chain(
    name: str, *, stem: int, first: int, stages: Stages, head: int, activation: Activation, bn_eps: float
) -> ChainGenome:
    """Make a network whose stem is a 3x3 convolution of stride 2 to `stem` channels and a separable one to `first`."""
    layers, width = [], first
    for channels, stride, labels in stages:
        chosen = [_block(label) for label in labels.split() if label != "-"]
        for number, block in enumerate(chosen):
            layers.append(Layer(width, channels, stride if number == 0 else 1, (block,)))
            width = channels
    space = SearchSpace(
        name=name,
        image_size=224,
        image_channels=3,
        num_classes=1000,
        stem_channels=stem,
        stem_stride=2,
        fixed=(Layer(stem, first, 1, (Separable(3),)),),
        layers=tuple(layers),
        head_channels=head,
        activation=activation,
        bn_eps=bn_eps,
    )
    return ChainGenome(space, "0" * space.depth)


def squeezed(name: str, genome: str, squeeze: float) -> ChainGenome:
    """Genome of space `proxyless` with squeeze-excite and swish in every chosen block, ReLU elsewhere."""
    space = get_space("proxyless")
    layers = []
    for layer, choice in zip(space.layers, space.parse(genome), strict=True):
        block = layer.choices[choice]
        assert isinstance(block, InvertedResidual)
        block = dataclasses.replace(block, squeeze=squeeze, activation="swish")
        layers.append(dataclasses.replace(layer, choices=(block,)))
    space = dataclasses.replace(space, name=name, layers=tuple(layers), activation="relu")
    return ChainGenome(space, "0" * space.depth)


def _block(label: str) -> InvertedResidual:
    found = _LABEL.fullmatch(label)
    assert found, label
    kernel, expansion, groups, squeeze = found.groups()
    return InvertedResidual(int(kernel), int(expansion), int(groups or 1), float(squeeze or 0))


MNASNET_B1 = chain(
    "mnasnet_b1",
    stem=32,
    first=16,
    stages=(
        (24, 2, "k3e3 k3e3 k3e3"),
        (40, 2, "k5e3 k5e3 k5e3"),
        (80, 2, "k5e6 k5e6 k5e6"),
        (96, 1, "k3e6 k3e6"),
        (192, 2, "k5e6 k5e6 k5e6 k5e6"),
        (320, 1, "k3e6"),
    ),
    head=1280,
    activation="relu",
    bn_eps=1e-3,
)

MNASNET_A1 = chain(
    "mnasnet_a1",
    stem=32,
    first=16,
    stages=(
        (24, 2, "k3e6 k3e6"),
        (40, 2, "k5e3se0.25 k5e3se0.25 k5e3se0.25"),
        (80, 2, "k3e6 k3e6 k3e6 k3e6"),
        (112, 1, "k3e6se0.25 k3e6se0.25"),
        (160, 2, "k5e6se0.25 k5e6se0.25 k5e6se0.25"),
        (320, 1, "k3e6"),
    ),
    head=1280,
    activation="relu",
    bn_eps=1e-3,
)

PROXYLESS_R = chain(
    "proxyless_r",
    stem=32,
    first=16,
    stages=(
        (32, 2, "k5e3 k3e3 - -"),
        (40, 2, "k7e3 k3e3 k5e3 k5e3"),
        (80, 2, "k7e6 k5e3 k5e3 k5e3"),
        (96, 1, "k5e6 k5e3 k5e3 k5e3"),
        (192, 2, "k7e6 k7e6 k7e3 k7e3"),
        (320, 1, "k7e6"),
    ),
    head=1280,
    activation="relu6",
    bn_eps=1e-3,
)

PROXYLESS_GPU = chain(
    "proxyless_gpu",
    stem=40,
    first=24,
    stages=(
        (32, 2, "k5e3 - - -"),
        (56, 2, "k7e3 - - k3e3"),
        (112, 2, "k7e6 - - k5e3"),
        (128, 1, "k5e6 - k3e3 k5e3"),
        (256, 2, "k7e6 k7e6 k7e6 k5e6"),
        (432, 1, "k7e6"),
    ),
    head=1728,
    activation="relu6",
    bn_eps=1e-3,
)

PROXYLESS_CPU = chain(
    "proxyless_cpu",
    stem=40,
    first=24,
    stages=(
        (32, 2, "k3e6 k3e3 k3e3 k3e3"),
        (48, 2, "k3e6 k3e3 k3e3 k5e3"),
        (88, 2, "k3e6 - - k3e3"),
        (104, 1, "k5e6 k3e3 k3e3 k3e3"),
        (216, 2, "k5e6 k5e3 k5e3 k3e3"),
        (360, 1, "k5e6"),
    ),
    head=1432,
    activation="relu6",
    bn_eps=1e-3,
)

SINGLE_PATH_NAS = chain(
    "single_path_nas",
    stem=32,
    first=16,
    stages=(
        (24, 2, "k3e3 k3e3 k3e3 -"),
        (40, 2, "k5e6 k3e3 k3e3 k3e3"),
        (80, 2, "k5e6 k3e3 k3e3 k3e3"),
        (96, 1, "k5e6 k5e3 k5e3 k5e3"),
        (192, 2, "k5e6 k5e6 k5e6 k5e6"),
        (320, 1, "k3e6"),
    ),
    head=1280,
    activation="relu",
    bn_eps=1e-3,
)
