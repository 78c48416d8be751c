"""Folding BN into convolutions is exact algebra on a copy."""

import copy
import itertools

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fairnas.evaluate import EvaluationCopy
from fairnas.evaluate.folding import folded, normalised_by_batch
from fairnas.nets import Supernet
from fairnas.space import get_space

UNSHRUNK = (Phase.explicit, Phase.generate)  # to shrink a failure takes minutes where networks run


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=20, phases=UNSHRUNK)
def test_every_block_of_every_space_computes_the_same(chain_spaces, make_lively, data) -> None:
    space = data.draw(chain_spaces)
    supernet = make_lively(Supernet(space)).double().eval()
    frozen = EvaluationCopy(supernet)
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(
        2, space.image_channels, space.image_size, space.image_size, generator=rng, dtype=torch.float64
    )
    with torch.no_grad():
        features = supernet.stem(images)
        torch.testing.assert_close(frozen.stem(images), features, rtol=1e-10, atol=1e-12)
        for layer, count in enumerate(space.choices):
            outputs = [supernet.block(layer, choice)(features) for choice in range(count)]
            untouched = features.clone()
            for choice in range(count):
                found = frozen.block(layer, choice)(features)
                torch.testing.assert_close(found, outputs[choice], rtol=1e-10, atol=1e-12)
            assert torch.equal(features, untouched)  # siblings of the tree share their input
            features = outputs[data.draw(st.integers(0, count - 1))]
        torch.testing.assert_close(frozen.head(features), supernet.head(features), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "nas_bench_macro"])
def test_no_bn_is_left_and_each_block_is_folded_once(name: str) -> None:
    supernet = Supernet(get_space(name))
    frozen = EvaluationCopy(supernet)
    for layer, count in enumerate(supernet.space.choices):
        for choice in range(count):
            block = frozen.block(layer, choice)
            assert block is frozen.block(layer, choice)
            for module in (block, frozen.stem, frozen.head):
                assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
                assert not any(parameter.requires_grad for parameter in module.parameters())
                assert not any(part.training for part in module.modules() if not isinstance(part, nn.Identity))
    assert sum(isinstance(part, nn.BatchNorm2d) for part in supernet.modules()) > 40


def test_a_copy_is_folded() -> None:
    supernet = Supernet(get_space("digits"))
    block = supernet.block(0, 0)
    copy = folded(block)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert all(parameter.any() for name, parameter in block.named_parameters() if name.endswith("0.weight"))


def plainly_folded(module: nn.Module) -> nn.Module:
    """The same with torch's means: copy everything, fuse in the copy."""
    module = copy.deepcopy(module).eval()
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for number, (first, second) in enumerate(itertools.pairwise(list(part))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    part[number], part[number + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return module


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=15, phases=UNSHRUNK)
def test_a_folded_module_is_what_torch_makes_of_a_deep_copy(chain_spaces, make_lively, data) -> None:
    supernet = make_lively(Supernet(data.draw(chain_spaces), bn_affine=True))
    for module in (supernet.stem, supernet.block(0, 0), supernet.head):
        made, plain = folded(module), plainly_folded(module)
        assert [type(part) for part in made.modules()] == [type(part) for part in plain.modules()]
        assert str(made) == str(plain)  # sizes, strides, groups, names
        found, wanted = made.state_dict(), plain.state_dict()
        assert list(found) == list(wanted)
        for name, tensor in found.items():
            assert torch.equal(tensor, wanted[name])
            assert tensor.stride() == wanted[name].stride()


def test_bn_without_scale_and_shift_is_folded_too() -> None:
    supernet = Supernet(get_space("digits"), bn_affine=False)
    block = supernet.block(0, 3).eval()
    features = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(folded(block)(features), block(features))


@pytest.mark.parametrize("make", [folded, normalised_by_batch])
def test_a_copy_shares_nothing_with_what_it_is_copied_from(make) -> None:
    supernet = Supernet(get_space("digits"))
    for module in (supernet.stem, supernet.block(3, 5), supernet.head):
        module.register_forward_hook(lambda *given: pytest.fail("the hook of the original was called"))
        made = make(module)
        ours = {tensor.data_ptr() for tensor in (*made.parameters(), *made.buffers())}
        theirs = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}
        assert not ours & theirs
        for part, original in zip(made.modules(), module.modules(), strict=True):
            shared = [key for key, value in vars(part).items() if value is vars(original).get(key)]
            assert not [key for key in shared if isinstance(vars(part)[key], dict | list | set)]
        with torch.no_grad():
            made(torch.zeros(2, *next(iter(module.parameters())).shape[1:2], 8, 8))
