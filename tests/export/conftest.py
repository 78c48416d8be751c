"""A small network that looks trained: BN statistics, scales and shifts far from their initial values."""

from collections.abc import Callable

import pytest
import torch

from fairnas.export import Preprocessing, Product
from fairnas.nets import StandAlone, build
from fairnas.space import SearchSpace, get_space


def _used(space: SearchSpace, genome: str, seed: int = 1) -> StandAlone:
    """A network with BN statistics as after training: without them no image would reach the logits."""
    network = build(space, genome, seed=seed, dropout=0.2).train()
    random = torch.Generator().manual_seed(seed)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=random)
            norm.bias.normal_(0, 0.3, generator=random)
            norm.momentum = None  # statistics are the mean over what comes now
        network.head.classifier.bias.normal_(generator=random)  # zeros would be optimised away
        shape = (16, space.image_channels, space.image_size, space.image_size)
        network(torch.randn(shape, generator=random) * 2 + 0.5)
    return network


def _product(network: StandAlone) -> Product:
    space = network.space
    return Product(
        network,
        classes=tuple(f"digit {number}" for number in range(space.num_classes)),
        preprocessing=Preprocessing(
            space.image_size,
            space.image_channels,
            (0.3,) * space.image_channels,
            (0.25,) * space.image_channels,
        ),
        measures={"test_top1": 97.5, "one_shot_top1": 91.25},
        provenance={"recipe": "digits", "seed": "3"},
    )


@pytest.fixture(scope="session")
def used() -> Callable[..., StandAlone]:
    return _used


@pytest.fixture(scope="session")
def product_of() -> Callable[[StandAlone], Product]:
    return _product


@pytest.fixture(scope="session")
def network() -> StandAlone:
    return _used(get_space("digits"), "04215320")


@pytest.fixture(scope="session")
def trained(network: StandAlone) -> Product:
    return _product(network)
