"""A small network that looks trained: BN statistics, scales and shifts far from their initial values.

And ONNX models of a few nodes, for what only reads them.
"""

import json
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from fairnas.export import Aim, Preprocessing, Product
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
            "squash",
            (29_000.0, 33_000.5),
        ),
        measures={"test_top1": 0.975, "one_shot_top1": 0.9125},
        provenance={"recipe": "digits", "seed": "3", "augmentation": "shifted by up to 1 pixel; not flipped"},
        images={"train": 1000, "test": 797},
        aims=(Aim("madds", "min", "multiply-adds", 510_272, 520_000), Aim("taste", "max", "", None)),
        licence="Apache-2.0",
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


FACTS = {
    "classes": json.dumps(["cat", "dog", "bird"]),
    "preprocessing": json.dumps({"image_size": 4, "image_channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3}),
}


def _small_onnx(changes: Mapping[str, str | None] = {}, *, outputs: int = 3, scale: float = 1.0) -> bytes:
    """Convolution, pooling and classifier over colour images of any size; changes of its metadata, None drops one."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.standard_normal((8, 3, 3, 3)),
        "matrix": rng.standard_normal((8, outputs)) * scale,
        "bias": rng.standard_normal(outputs),
    }
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    props = {**FACTS, **changes}
    onnx.helper.set_model_props(model, {key: value for key, value in props.items() if value is not None})
    return model.SerializeToString()


@pytest.fixture(scope="session")
def small_onnx() -> Callable[..., bytes]:
    return _small_onnx
