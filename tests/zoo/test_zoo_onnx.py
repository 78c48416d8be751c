"""Every family of networks of the zoo computes the same in onnxruntime."""

import dataclasses

import pytest
import torch
from torch import nn

from fairnas import zoo
from fairnas.export import Preprocessing, Product, check_parity
from fairnas.export.graph import graph_of, to_onnx
from fairnas.nets import StandAlone, build
from fairnas.space import Activation, Block, Layer
from fairnas.zoo.cells import ClassifierHead
from fairnas.zoo.darts import DartsImageNet
from fairnas.zoo.entry import ChainGenome
from fairnas.zoo.nasnet import NasNetMobile
from tests.zoo.built import BUILT, OF_THE_SAME_MODULES

SIZE = 32
CHAINS = {
    name: entry.architecture for name, entry in zoo.NETWORKS.items() if isinstance(entry.architecture, ChainGenome)
}


def every_kind_of_block(activation: Activation) -> list[tuple[Block, int, bool]]:
    """Blocks of the zoo's chains with stride and whether the width stays, one of each kind; kernels take turns."""
    found: dict[tuple[object, ...], list[tuple[Block, int, bool]]] = {}
    for chain in CHAINS.values():
        space = chain.space
        if space.activation != activation:
            continue
        chosen = zip(space.layers, space.parse(chain.genome), strict=True)
        for layer, choice in (*((layer, 0) for layer in space.fixed), *chosen):
            block, stays = layer.choices[choice], layer.in_channels == layer.out_channels
            facts = dataclasses.asdict(block)
            facts.pop("kernel", None)
            if facts.get("expansion", 0) > 1:  # with 1 there is no convolution that expands
                facts["expansion"] = 6
            facts["squeeze"] = facts.get("squeeze", 0) > 0
            kind = (type(block), *facts.items(), layer.stride, stays)
            each = found.setdefault(kind, [])
            if (block, layer.stride, stays) not in each:
                each.append((block, layer.stride, stays))
    return [blocks[place % len(blocks)] for place, blocks in enumerate(found.values())]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu6", "relu"])
def test_onnx_computes_every_kind_of_block_of_the_chains(activation: Activation) -> None:
    """In one network, as exporting takes seconds for each."""
    layers, width = [], 16
    for block, stride, stays in every_kind_of_block(activation):
        other = 16 if width > 16 and stride == 1 else 2 * width  # a shuffle unit that reduces gives more than it gets
        layers.append(Layer(width, width if stays else other, stride, (block,)))
        width = layers[-1].out_channels
    space = dataclasses.replace(
        CHAINS["mobilenet_v2"].space.for_data(num_classes=5, image_size=64),
        **{"name": "every kind", "stem_channels": 16, "stem_stride": 1, "fixed": (), "layers": tuple(layers)},
        **{"head_channels": 32, "activation": activation},
    )
    require_same_in_onnx(build(space, "0" * space.depth), space.image_size)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("name", ["darts", "nasnet_a"])
def test_onnx_computes_every_kind_of_cell(name: str) -> None:
    if name == "darts":
        network = DartsImageNet(5, depth=3)
    else:
        network = NasNetMobile(5)
        network.cells = network.cells[:4]  # two reduce, and the one behind them brings its inputs to one size
        network.head = ClassifierHead(6 * 44, 5, 0.0)
    require_same_in_onnx(network)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in BUILT if name not in OF_THE_SAME_MODULES])
def test_onnx_computes_the_same(name: str) -> None:
    # fewer cells of the same kinds, as exporting takes a second for each
    require_same_in_onnx(DartsImageNet(5, depth=6) if name == "darts" else zoo.create(name, 5, image_size=SIZE))


def require_same_in_onnx(network: nn.Module, size: int = SIZE) -> None:
    """Check a network in onnxruntime, with a classifier that gives different images different outputs."""
    images = torch.randn(64, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        settle(network, images)
        spread = network(images).std(dim=0)
        assert spread.min() > 0.01
        network.head.classifier.weight /= spread.clamp(max=1)[:, None]  # pyright: ignore
    if isinstance(network, StandAlone):
        product = Product(network, tuple("abcde"), Preprocessing(size, 3, (0.5,) * 3, (0.25,) * 3), {}, {})
        check_parity(network, to_onnx(product))  # raises above 1e-4
    else:
        assert largest_error(network) < 3e-4  # in so deep a network, float32 itself is off by 4e-5


def settle(network: nn.Module, images: torch.Tensor) -> None:
    """Give BN the statistics of some images; without them none would reach the logits of a new network."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.train()(images)
    for norm in norms:
        assert norm.running_var is not None
        # channels that are nearly dead amplify rounding errors
        norm.running_var.clamp_(min=0.1 * float(norm.running_var.mean()))
    network.eval()


def largest_error(network: nn.Module) -> float:
    """Error of a network that is no chain, at two batch sizes, relative to the largest output."""
    import onnxruntime

    model = graph_of(network, (3, SIZE, SIZE), ("logits",))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in (1, 7):
        images = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = network(images)
        found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])
        assert found.shape == expected.shape
        worst = max(worst, float((found - expected).abs().max() / max(1.0, expected.abs().max())))
    return worst
