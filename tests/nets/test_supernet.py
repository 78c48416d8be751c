"""The supernet and the single networks cut from it."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from fairnas.errors import GenomeError
from fairnas.nets import StandAlone, Supernet, build, cost_table
from fairnas.space import Genome, Identity, InvertedResidual, SearchSpace, get_space

UNSHRUNK = (Phase.explicit, Phase.generate)  # to shrink a failure takes minutes where networks run

SMALL = {"digits": 8, "compact": 16, "nas_bench_macro": 16}


def images_for(space: SearchSpace, count: int = 3, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, space.image_channels, space.image_size, space.image_size, generator=rng)


def small_space(name: str) -> SearchSpace:
    return get_space(name).for_data(image_size=SMALL[name])


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


# What is computed ---------------------------------------------------------------------------------------------


def reference_logits(space: SearchSpace, weights: dict[str, Tensor], genome: Genome, images: Tensor) -> Tensor:
    """The path of a genome in plain functions, from the paper and the catalog: no module of ours is called."""

    def conv_bn(x: Tensor, name: str, stride: int = 1, groups: int = 1, act: bool = True) -> Tensor:
        weight = weights[f"{name}.0.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        mean, var, scale, shift = (
            weights[f"{name}.1.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / torch.sqrt(var + 1e-5) * scale + shift
        ceiling = 6.0 if space.activation == "relu6" else math.inf
        return x.clamp(0, ceiling) if act else x

    x = conv_bn(images, "stem.0", space.stem_stride)
    for number, choice in enumerate(genome):
        layer, block, name = space.layers[number], space.block(number, choice), f"layers.{number}.{choice}"
        keeps = layer.stride == 1 and layer.in_channels == layer.out_channels
        if isinstance(block, Identity):
            x = x if keeps else conv_bn(x, name, layer.stride, act=False)
            continue
        assert isinstance(block, InvertedResidual)
        hidden = block.expansion * layer.in_channels
        y = conv_bn(x, f"{name}.0")
        y = conv_bn(y, f"{name}.1", layer.stride, groups=hidden)
        y = conv_bn(y, f"{name}.2", act=False)
        x = x + y if keeps else y
    x = conv_bn(x, "head.expand").mean((2, 3))
    return x @ weights["head.classifier.weight"].T + weights["head.classifier.bias"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_path_computes_what_the_paper_describes(name: str, make_lively) -> None:
    space = small_space(name)
    supernet = make_lively(Supernet(space, seed=1)).double().eval()
    images = images_for(space).double()
    rng = np.random.default_rng(0)
    for genome in [(0,) * space.depth, (max(space.choices) - 1,) * space.depth, *(space.sample(rng) for _ in range(4))]:
        with torch.no_grad():
            logits = supernet(images, genome)
        expected = reference_logits(space, supernet.state_dict(), genome, images)
        assert logits.std() > 1e-3
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=15, phases=UNSHRUNK)
def test_every_path_of_every_space_gives_logits(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    with torch.no_grad():
        logits = Supernet(space).eval()(images_for(space, 2), genome)
    assert logits.shape == (2, space.num_classes)
    assert logits.isfinite().all()


def test_a_genome_of_another_length_is_not_cut() -> None:
    supernet = Supernet(get_space("digits"))
    for genome in ((0,) * 7, (0,) * 9):
        with pytest.raises(ValueError, match="zip"):
            supernet(images_for(supernet.space), genome)


# Inherited weights --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_inherited_network_equals_its_path_bit_for_bit(name: str, make_lively) -> None:
    space = small_space(name)
    supernet = make_lively(Supernet(space, seed=2), seed=3).eval()
    images, rng = images_for(space, 4), np.random.default_rng(5)
    outputs = []
    for genome in [(0,) * space.depth, *(space.sample(rng) for _ in range(4))]:
        network = build(space, genome, inherit=supernet).eval()
        with torch.no_grad():
            outputs.append(network(images))
            assert torch.equal(outputs[-1], supernet(images, genome)), genome
        assert all(  # a copy, not a view
            ours.data_ptr() != theirs.data_ptr()
            for ours, theirs in zip(network.stem.parameters(), supernet.stem.parameters(), strict=True)
        )
    assert not torch.equal(outputs[0], outputs[1])


def test_in_training_mode_both_see_the_same_gradient(make_lively) -> None:
    space = get_space("digits")
    supernet = make_lively(Supernet(space))
    genome = (5, 4, 3, 2, 1, 0, 1, 2)
    network = build(space, genome, inherit=supernet)
    for model, arguments in ((supernet, (genome,)), (network, ())):
        model.train()(images_for(space, 8), *arguments).square().sum().backward()
    for number, choice in enumerate(genome):
        theirs = supernet.block(number, choice).parameters()
        for ours, other in zip(network.layers[number].parameters(), theirs, strict=True):
            torch.testing.assert_close(ours.grad, other.grad)


# Gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.data())
@settings(max_examples=15, phases=UNSHRUNK)
def test_gradients_reach_stem_head_and_the_blocks_of_the_path_and_nothing_else(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    supernet = Supernet(space, seed=data.draw(st.integers(0, 3))).eval()  # BN of one pixel has no variance
    supernet(images_for(space, 2), genome).square().sum().backward()
    on_path = {f"layers.{number}.{choice}" for number, choice in enumerate(genome)} | {"stem", "head"}
    for name, parameter in supernet.named_parameters():
        owner = ".".join(name.split(".")[:3]) if name.startswith("layers") else name.split(".")[0]
        assert (parameter.grad is not None) == (owner in on_path), name


def test_gradients_are_not_zero() -> None:
    space = get_space("digits")
    supernet = Supernet(space)
    supernet(images_for(space, 16), (3,) * 8).square().sum().backward()
    silent = [n for n, p in supernet.named_parameters() if p.grad is not None and not p.grad.any()]
    assert silent == []


# Initial weights ----------------------------------------------------------------------------------------------


def states() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


@pytest.mark.slow
def test_initial_weights_depend_on_the_seed_alone_and_no_global_generator_is_touched() -> None:
    space, genome = get_space("digits"), (0, 1, 2, 3, 4, 5, 0, 1)
    made = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        before = states()
        made.append((Supernet(space, seed=4), build(space, genome, seed=4)))
        cost_table.cache_clear()
        cost_table(space)
        assert states() == before
    assert same(made[0][0], made[1][0])
    assert same(made[0][1], made[1][1])


@pytest.mark.slow
def test_seeds_and_genomes_have_weights_of_their_own() -> None:
    space = get_space("digits")
    assert not same(Supernet(space, seed=0), Supernet(space, seed=1))
    a, b, c = build(space, "01234501"), build(space, "01234502"), build(space, "01234501", seed=1)
    supernet = Supernet(space)
    stems = [network.stem[0][0].weight for network in (a, b, c, supernet)]
    assert all(not torch.equal(stems[i], stems[j]) for i in range(4) for j in range(i))
    blocks = [supernet.block(number, choice)[0][0].weight for number in (1, 2) for choice in (0, 1, 2)]
    assert all(not torch.equal(blocks[i], blocks[j]) for i in range(6) for j in range(i))


def test_distribution_of_initial_weights() -> None:
    supernet = Supernet(get_space("compact"))
    scaled = []
    for part in supernet.modules():
        if isinstance(part, nn.Conv2d):
            assert part.bias is None
            fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels
            scaled.append((part.weight * math.sqrt(fan_out / 2)).flatten())
        elif isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            assert not part.running_mean.any()
            assert (part.running_var == 1).all()
            assert (part.weight == 1).all()
            assert not part.bias.any()
            assert part.num_batches_tracked == 0
            assert (part.eps, part.momentum) == (1e-5, 0.1)
    for values in (torch.cat(scaled), max(scaled, key=len)):
        count = len(values)
        assert abs(values.mean()) < 5 / math.sqrt(count)
        assert abs(values.std() - 1) < 5 / math.sqrt(2 * count)
        assert abs(values.pow(4).mean() - 3) < 5 * math.sqrt(96 / count)  # normal, not uniform
    classifier, bound = supernet.head.classifier, 1 / math.sqrt(10)
    assert not classifier.bias.any()
    assert classifier.weight.abs().max() <= bound
    assert abs(classifier.weight.std() / (bound / math.sqrt(3)) - 1) < 0.05


@pytest.mark.parametrize("inherit", [False, True])
def test_weights_are_channels_last(inherit: bool) -> None:
    space = get_space("compact")
    supernet = Supernet(space)
    network = build(space, (5,) * 12, inherit=supernet if inherit else None)
    for module in (supernet, network):
        for parameter in module.parameters():
            if parameter.dim() == 4:
                assert parameter.is_contiguous(memory_format=torch.channels_last)
    assert all(not tensor.is_meta for tensor in (*supernet.state_dict().values(), *network.state_dict().values()))


# Stand-alone networks -----------------------------------------------------------------------------------------


def test_dropout_acts_before_the_classifier_in_training_only() -> None:
    space = get_space("digits")
    plain, dropping = build(space, "0" * 8), build(space, "0" * 8, dropout=0.5)
    assert same(plain, dropping)
    assert dropping.head.dropout.p == 0.5
    assert plain.head.dropout.p == 0.0
    images = images_for(space)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), dropping.eval()(images))
    assert Supernet(space).head.dropout.p == 0.0


def test_a_stand_alone_network_knows_its_genome_and_refuses_a_foreign_one() -> None:
    space = get_space("digits")
    network = build(space, "01234501")
    assert isinstance(network, StandAlone)
    assert (network.space, network.genome) == (space, (0, 1, 2, 3, 4, 5, 0, 1))
    assert same(network, build(space, [0, 1, 2, 3, 4, 5, 0, 1]))
    with pytest.raises(GenomeError, match="space 'digits' has 8 layers"):
        build(space, "012")
    with pytest.raises(GenomeError, match="takes choice 6 in layer 0"):
        build(space, (6,) * 8)
