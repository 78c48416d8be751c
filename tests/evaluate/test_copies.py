"""Folding BN into convolutions is exact algebra on a copy."""

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from fairnas.evaluate import EvaluationCopy
from fairnas.evaluate.copies import folded
from fairnas.nets import Supernet
from fairnas.space import get_space

UNSHRUNK = (Phase.explicit, Phase.generate)  # to shrink a failure takes minutes where networks run


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
