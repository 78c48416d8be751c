"""Networks put together of exported blocks are the networks: same nodes, same outputs."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fairnas.export.blocks import export_blocks
from fairnas.export.graph import OUTPUT, graph_of, image_shape
from fairnas.nets import Supernet, build
from fairnas.space import Identity, InvertedResidual, Layer, SearchSpace, Separable, ShuffleUnit

SPACE = SearchSpace(
    name="mixed",
    image_size=9,
    image_channels=3,
    num_classes=4,
    stem_channels=4,
    stem_stride=1,
    fixed=(Layer(4, 4, 1, (Separable(3),)),),
    layers=(
        Layer(4, 4, 1, (Identity(),)),  # a layer without a node
        Layer(4, 4, 1, (Identity(), InvertedResidual(3, 2, squeeze=0.5))),  # its first block has none
        Layer(4, 8, 2, (Separable(3), Identity())),  # here an identity is a convolution
        Layer(8, 8, 1, (ShuffleUnit(3), Identity())),
    ),
    head_channels=12,
)


@pytest.fixture(scope="module")
def supernet(make_lively) -> Supernet:
    return make_lively(Supernet(SPACE)).eval()


@pytest.fixture(scope="module")
def blocks(supernet):
    return export_blocks(SPACE, supernet)


def outputs(model: bytes, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images.numpy()})[0])


@pytest.mark.parametrize("genome", [(0, 0, 0, 0), (0, 1, 1, 1), (0, 0, 1, 1), (0, 1, 0, 0)])
def test_a_composed_network_computes_what_the_path_computes(genome, supernet, blocks) -> None:
    images = torch.randn(3, *image_shape(SPACE), generator=torch.Generator().manual_seed(0))
    model = blocks.network(genome)
    onnx.checker.check_model(onnx.load_from_string(model))
    with torch.no_grad():
        expected = supernet(images, genome).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-4
    assert outputs(model, images) == pytest.approx(expected, rel=1e-4, abs=2e-6)


@pytest.mark.slow
def test_it_has_the_nodes_of_the_exported_network(supernet, blocks) -> None:
    genome = (0, 1, 1, 0)
    direct = graph_of(build(SPACE, genome, inherit=supernet), image_shape(SPACE), (OUTPUT,))
    composed = onnx.load_from_string(blocks.network(genome))
    assert [node.op_type for node in composed.graph.node] == [node.op_type for node in direct.graph.node]


def test_beginnings_grow_layer_by_layer(supernet, blocks) -> None:
    images = torch.randn(2, *image_shape(SPACE), generator=torch.Generator().manual_seed(1))
    genome = (0, 1, 0, 1)
    with torch.no_grad():
        features = supernet.stem(images)
        for layers in range(SPACE.depth + 1):
            found = outputs(blocks.beginning(genome, layers), images)
            assert found == pytest.approx(features.numpy(), rel=1e-4, abs=2e-6)
            if layers < SPACE.depth:
                features = supernet.block(layers, genome[layers])(features)
