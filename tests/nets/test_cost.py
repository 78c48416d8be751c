"""Multiply-adds and parameters, to the unit."""

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairnas.errors import GenomeError
from fairnas.nets import Cost, Supernet, build, cost, cost_table
from fairnas.space import format_genome, get_space

UNSHRUNK = (Phase.explicit, Phase.generate)  # to shrink a failure takes minutes where networks run

FAIRNAS = {  # the genes of the released models; 388, 345 and 321 M multiply-adds in the paper's Table 2
    "2023500551311335354": (388_122_848, 4_651_352),
    "1010312031032054534": (345_297_632, 4_506_272),
    "1020000003000055334": (321_024_992, 4_397_864),
}

UNIFORM = {  # all layers with one choice: millions of multiply-adds and parameters
    "mobilenet_v2": ("171.5 2.601", "186.7 2.658", "209.5 2.743", "300.8 3.505", "331.2 3.619", "376.8 3.789"),
    "proxyless": ("247.1 3.189", "268.2 3.271", "299.8 3.395", "452.0 4.679", "494.2 4.843", "557.4 5.090"),
}

PER_LAYER = {  # millions of multiply-adds of the six choices in layers of space (a)
    (0,): "14.6 17.0 20.6 29.2 34.0 41.2",
    (1,): "12.9 16.5 21.9 25.7 33.0 43.8",
    (2,): "7.7 8.6 10.0 15.5 17.3 20.0",
    (3, 4): "5.5 6.7 8.5 11.0 13.4 17.0",
    (5,): "3.8 4.1 4.5 7.6 8.2 9.1",
    (6, 7, 8): "5.2 5.8 6.7 10.3 11.5 13.3",
    (9,): "6.4 7.0 7.9 12.7 13.9 15.7",
    (10, 11): "11.4 12.3 13.6 22.7 24.5 27.2",
    (12,): "7.8 8.0 8.4 15.6 16.1 16.7",
    (13, 14): "7.7 8.1 8.7 15.5 16.2 17.4",
    (15,): "11.5 11.9 12.4 23.0 23.8 24.9",
}


@pytest.mark.slow
@pytest.mark.parametrize("genome", FAIRNAS)
def test_fairnas_a_b_c(genome: str) -> None:
    assert cost(get_space("proxyless"), genome) == Cost(*FAIRNAS[genome])


@pytest.mark.slow
def test_mobilenet_v2_is_all_3_of_space_a() -> None:
    assert cost(get_space("mobilenet_v2"), "3" * 16) == Cost(300_774_272, 3_504_872)


@pytest.mark.parametrize("name", UNIFORM)
def test_one_choice_everywhere(name: str) -> None:
    space = get_space(name)
    counted = (cost(space, (choice,) * space.depth) for choice in range(6))
    assert tuple(f"{c.madds / 1e6:.1f} {c.params / 1e6:.3f}" for c in counted) == UNIFORM[name]


def test_every_choice_of_every_layer_of_space_a() -> None:
    table = cost_table(get_space("mobilenet_v2"))
    assert sorted(sum(PER_LAYER, ())) == list(range(16))
    for layers, row in PER_LAYER.items():
        for layer in layers:
            found = [c.madds / 1e6 for c in table.blocks[layer]]
            assert found == pytest.approx([float(value) for value in row.split()], abs=0.06)
    assert table.fixed == Cost(42_223_616, 1_694_984)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "params"), [("mobilenet_v2", 10_440_680), ("proxyless", 15_992_600)])
def test_whole_supernets(name: str, params: int) -> None:
    table = cost_table(get_space(name))
    assert table.fixed.params + sum(c.params for row in table.blocks for c in row) == params
    assert sum(parameter.numel() for parameter in Supernet(get_space(name)).parameters()) == params


def test_all_networks_of_nas_bench_macro(macro_truth) -> None:
    table, space = cost_table(get_space("nas_bench_macro")), get_space("nas_bench_macro")
    assert len(macro_truth) == space.size
    for genome in space.enumerate():
        row = macro_truth[format_genome(genome)]
        assert table(genome) == Cost(row["flops"], row["params"]), genome
        assert table.measures(genome) == {"madds": row["flops"], "params": row["params"]}
    assert table.lightest == {name: min(r[key] for r in macro_truth.values()) for name, key in NAMES.items()}
    assert table.heaviest == {name: max(r[key] for r in macro_truth.values()) for name, key in NAMES.items()}


NAMES = {"madds": "flops", "params": "params"}


@pytest.mark.slow
@given(st.data())
@settings(max_examples=12, phases=UNSHRUNK)
def test_the_table_adds_up_to_what_hooks_count_in_the_built_network(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    network = build(space, genome)
    counted = count_by_hooks(network, torch.zeros(1, space.image_channels, space.image_size, space.image_size))
    assert cost_table(space)(genome) == Cost(counted, sum(p.numel() for p in network.parameters()))


def count_by_hooks(network: nn.Module, images: Tensor) -> int:
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            inner = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            total += output.numel() * inner
        elif isinstance(module, nn.Linear):
            total += module.in_features * module.out_features

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(images)
    return total


@pytest.mark.slow
@given(st.data())
@settings(max_examples=8, phases=UNSHRUNK)
def test_lightest_and_heaviest_are_the_extremes_over_all_genomes(chain_spaces, data) -> None:
    space = data.draw(chain_spaces.filter(lambda space: space.size <= 700))
    table = cost_table(space)
    measured = [table.measures(genome) for genome in space.enumerate()]
    for name in ("madds", "params"):
        assert table.lightest[name] == min(row[name] for row in measured)
        assert table.heaviest[name] == max(row[name] for row in measured)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=8, phases=UNSHRUNK)
def test_genomes_of_one_network_cost_the_same(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    assert cost_table(space)(genome) == cost_table(space)(space.canonical(genome))


@pytest.mark.slow
def test_cost_depends_on_the_data_as_it_must() -> None:
    space, genome = get_space("compact"), "0" * 12
    plain, larger = cost(space, genome), cost(space.for_data(image_size=64), genome)
    classifier = 384 * 10
    assert larger.params == plain.params
    assert larger.madds - classifier == 4 * (plain.madds - classifier)
    fewer = cost(space.for_data(num_classes=3), genome)
    assert plain.params - fewer.params == 7 * 385
    assert plain.madds - fewer.madds == 7 * 384
    grey = cost(space.for_data(image_channels=1), genome)
    assert plain.params - grey.params == 2 * 16 * 9
    assert plain.madds - grey.madds == 2 * 16 * 9 * 32**2


@pytest.mark.slow
def test_text_tuple_and_list_are_the_same_and_must_fit() -> None:
    space = get_space("digits")
    assert cost(space, "01234501") == cost(space, (0, 1, 2, 3, 4, 5, 0, 1)) == cost(space, [0, 1, 2, 3, 4, 5, 0, 1])
    with pytest.raises(GenomeError, match="has 7 choices; space 'digits' has 8 layers"):
        cost(space, "0" * 7)
    with pytest.raises(GenomeError, match="allows 0 to 5 there"):
        cost(space, (6,) * 8)
