"""Each kind of block computes what its source describes, said once more in plain functions."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.nets import Supernet, batch_norms, build
from fairnas.nets.blocks import make_block, materialise
from fairnas.space import (
    Block,
    InvertedResidual,
    Layer,
    SearchSpace,
    ShuffleUnit,
    ShuffleXception,
    Stage,
    Stem,
    chain_space,
    get_space,
)

Weights = dict[str, Tensor]


def conv_bn(x: Tensor, weights: Weights, name: str, stride: int = 1, groups: int = 1) -> Tensor:
    kernel = weights[f"{name}.0.weight"]
    x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
    mean, var, scale, shift = (
        weights[f"{name}.1.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


def inverted_residual(x: Tensor, weights: Weights, block: InvertedResidual, layer: Layer) -> Tensor:
    act = {"relu": functional.relu, "swish": functional.silu}[block.activation or "relu"]
    inputs = x.shape[1]
    hidden = inputs * block.expansion
    y = act(conv_bn(x, weights, "0", groups=block.groups))
    after = 1
    if block.groups > 1:  # channel j of group i comes to place i of the j-th deal
        order = [i * (hidden // block.groups) + j for j in range(hidden // block.groups) for i in range(block.groups)]
        y, after = y[:, order], 2
    y = act(conv_bn(y, weights, f"{after}", layer.stride, groups=hidden))
    if block.squeeze:
        narrow = max(1, int(inputs * block.squeeze))
        first, second = weights[f"{after + 1}.reduce.weight"], weights[f"{after + 1}.expand.weight"]
        assert first.shape == (narrow, hidden, 1, 1)
        pooled = y.sum((2, 3)) / (y.shape[2] * y.shape[3])
        gate = act(pooled @ first[:, :, 0, 0].T + weights[f"{after + 1}.reduce.bias"])
        gate = gate @ second[:, :, 0, 0].T + weights[f"{after + 1}.expand.bias"]
        y, after = y / (1 + torch.exp(-gate))[:, :, None, None], after + 1
    y = conv_bn(y, weights, f"{after + 1}", groups=block.groups)
    return y + x if layer.keeps_shape else y


def shuffle_unit(x: Tensor, weights: Weights, block: ShuffleUnit | ShuffleXception, layer: Layer) -> Tensor:
    relu = functional.relu
    if layer.stride == 1:
        passing, taken = x[:, 0::2], x[:, 1::2]
    else:
        channels = x.shape[1]
        passing = conv_bn(x, weights, "passing.0", layer.stride, groups=channels)
        passing, taken = relu(conv_bn(passing, weights, "passing.1")), x
    half = layer.out_channels // 2
    if isinstance(block, ShuffleUnit):
        y = relu(conv_bn(taken, weights, "main.0"))
        assert y.shape[1] == half
        y = conv_bn(y, weights, "main.1", layer.stride, groups=half)
        y = relu(conv_bn(y, weights, "main.2"))
    else:
        y = conv_bn(taken, weights, "main.0", layer.stride, groups=taken.shape[1])
        y = relu(conv_bn(y, weights, "main.1"))
        y = relu(conv_bn(conv_bn(y, weights, "main.2", groups=half), weights, "main.3"))
        y = relu(conv_bn(conv_bn(y, weights, "main.4", groups=half), weights, "main.5"))
    return torch.cat([passing, y], dim=1)


BLOCKS: list[Block] = [
    *(InvertedResidual(3, 1, groups=2), InvertedResidual(5, 3, groups=4)),
    *(InvertedResidual(3, 2, squeeze=0.25), InvertedResidual(7, 3, squeeze=1.0, activation="swish")),
    InvertedResidual(3, 2, groups=2, squeeze=0.5),
    *(ShuffleUnit(3), ShuffleUnit(7), ShuffleXception()),
]
LAYERS = [Layer(8, 8, 1, ()), Layer(8, 20, 2, ()), Layer(8, 12, 1, ())]


def made(block: Block, layer: Layer, make_lively) -> nn.Module:
    with torch.device("meta"):
        module = make_block(block, layer, "relu")
    generator = torch.Generator().manual_seed(0)
    materialise(module, generator)
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(0, 0.5, generator=generator)
    return make_lively(module).double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.in_channels}-{layer.out_channels}")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.label)
def test_a_block_computes_what_its_source_describes(block: Block, layer: Layer, make_lively) -> None:
    module = made(block, layer, make_lively)
    features = torch.randn(3, 8, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = features.clone()
    with torch.no_grad():
        found = module(features)
        if isinstance(block, InvertedResidual):
            expected = inverted_residual(features, module.state_dict(), block, layer)
        else:
            assert isinstance(block, ShuffleUnit | ShuffleXception)
            expected = shuffle_unit(features, module.state_dict(), block, layer)
    assert found.shape[1] == layer.out_channels
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(features, before), "a block must not write into what another block reads too"


def test_initial_biases_are_zero_and_weights_depend_on_the_seed_alone() -> None:
    space = dataclasses.replace(
        get_space("digits"), layers=(Layer(8, 8, 1, (InvertedResidual(3, 2, squeeze=0.5), InvertedResidual(3, 2))),)
    )
    first, second = (Supernet(space, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    biases = [key for key in first if key.endswith(("reduce.bias", "expand.bias"))]
    assert len(biases) == 2
    assert not any(first[key].any() for key in biases)


def test_what_a_space_says_of_classifier_and_bn_reaches_its_networks() -> None:
    plain = get_space("digits")
    space = dataclasses.replace(plain, classifier_bias=False, bn_eps=0.25)
    for network in (Supernet(space), build(space, "0" * 8)):
        assert {norm.eps for norm in batch_norms(network)} == {0.25}
        assert network.head.classifier.bias is None
    assert {norm.eps for norm in batch_norms(Supernet(plain))} == {1e-5}


def shuffle_space() -> SearchSpace:
    return chain_space(
        "tiny shuffle",
        image_size=8,
        stem=Stem(8, 1),
        stages=(Stage(8, 2), Stage(20, 2, 2)),
        choices=(ShuffleUnit(3), ShuffleXception()),
        head=12,
        num_classes=3,
        activation="relu",
    )


def test_a_mixture_of_one_block_per_layer_is_the_path_where_no_block_has_a_shortcut(make_lively) -> None:
    supernet = make_lively(Supernet(shuffle_space())).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for genome in supernet.space.enumerate():
            assert torch.equal(supernet.mixture(images, [(choice,) for choice in genome]), supernet(images, genome))
