"""NASNet-A and DARTS: sizes and channels cell by cell, and what their cells compute."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas import zoo
from fairnas.nets.blocks import materialise
from fairnas.zoo.cells import FactorisedReduction, average, dilated
from fairnas.zoo.darts import NORMAL, REDUCTION, Cell
from fairnas.zoo.nasnet import NormalCell, ReductionCell

SHAPES = {  # channels and side of every cell's output, for 224 pixels
    "nasnet_a": [(44, 56), (88, 28), *[(264, 28)] * 4, (352, 14), *[(528, 14)] * 4, (704, 7), *[(1056, 7)] * 4],
    "darts": [*[(192, 28)] * 4, *[(384, 14)] * 5, *[(768, 7)] * 5],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_channels_and_sizes_are_the_published_ones(name: str) -> None:
    network = zoo.create(name).to("meta").eval()
    shapes = []
    stem = []
    for cell in network.cells:  # pyright: ignore
        cell.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:3])))
        cell.register_forward_pre_hook(lambda _, inputs: stem.append(tuple(inputs[0].shape[1:3])))
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert shapes == SHAPES[name]
    assert stem[0] == {"nasnet_a": (32, 111), "darts": (48, 56)}[name]  # no padding in NASNet's first convolution


def made(make, seed: int = 0) -> nn.Module:
    with torch.device("meta"):
        module = make()
    materialise(module, torch.Generator().manual_seed(seed))
    return module.double().eval()


def noise(channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [8, 7])
def test_a_factorised_reduction_sees_every_second_pixel_once_more_moved(size: int) -> None:
    module = made(lambda: FactorisedReduction(6, 8, 1e-5))
    images = noise(6, size)
    weights = module.state_dict()
    positive = images.clamp(min=0)
    moved = torch.zeros_like(positive)
    moved[:, :, :-1, :-1] = positive[:, :, 1:, 1:]
    parts = [
        torch.einsum("bchw,oc->bohw", part[:, :, ::2, ::2], weights[f"{name}.weight"][:, :, 0, 0])
        for name, part in (("first", positive), ("second", moved))
    ]
    with torch.no_grad():
        found = module(images)
    torch.testing.assert_close(found, torch.cat(parts, 1) / (1 + 1e-5) ** 0.5)
    assert found.shape == (2, 8, (size + 1) // 2, (size + 1) // 2)


def test_a_normal_cell_of_nasnet_is_wired_as_in_the_papers_figure() -> None:
    cell = made(lambda: NormalCell(10, 12, 4, False))
    before, current = noise(10, 6), noise(12, 6, 1)
    with torch.no_grad():
        found = cell(before, current).split(4, dim=1)
        h0, h1 = cell.enter0(before), cell.enter1(current)
        mean = lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # noqa: E731
        expected = [
            h0,
            cell.left0(h1) + cell.right0(h0),
            cell.left1(h0) + cell.right1(h0),
            mean(h1) + h0,
            2 * mean(h0),
            cell.left4(h1) + h1,
        ]
    kernels = {name: module[1].kernel_size[0] for name, module in cell.named_children() if name[:4] in ("left", "righ")}
    assert kernels == {"left0": 5, "right0": 3, "left1": 5, "right1": 3, "left4": 3}
    for part, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(part, wanted)


def test_a_reduction_cell_of_nasnet_is_wired_as_in_the_papers_figure() -> None:
    cell = made(lambda: ReductionCell(10, 12, 4, False))
    before, current = noise(10, 6), noise(12, 6, 1)
    with torch.no_grad():
        found = cell(before, current).split(4, dim=1)
        h0, h1 = cell.enter0(before), cell.enter1(current)
        largest = functional.max_pool2d(h1, 3, 2, 1)
        n0 = cell.left0(h1) + cell.right0(h0)
        n1 = largest + cell.right1(h0)
        n2 = functional.avg_pool2d(h1, 3, 2, 1, count_include_pad=False) + cell.right2(h0)
        n3 = functional.avg_pool2d(n0, 3, 1, 1, count_include_pad=False) + n1
        n4 = cell.left4(n0) + largest
    kernels = {name: module[1].kernel_size[0] for name, module in cell.named_children() if name[:4] in ("left", "righ")}
    assert kernels == {"left0": 5, "right0": 7, "right1": 7, "right2": 5, "left4": 3}
    for part, wanted in zip(found, (n1, n2, n3, n4), strict=True):
        torch.testing.assert_close(part, wanted)


def test_cells_of_darts_add_two_edges_to_a_node() -> None:
    before, current = noise(5, 6), noise(7, 6, 1)
    for genotype, reduces in ((NORMAL, False), (REDUCTION, True)):
        cell = made(lambda genotype=genotype, reduces=reduces: Cell(genotype, 5, 7, 4, False, reduces))
        with torch.no_grad():
            found = cell(before, current)
            a, b = cell.enter0(before), cell.enter1(current)
            e = cell.edges
            if reduces:  # maxima of the two inputs, and skips from the first node
                c = e[0](a) + e[1](b)
                nodes = [c, c + e[3](b), e[4](a) + c, c + e[7](b)]
                assert torch.equal(e[1](b), functional.max_pool2d(b, 3, 2, 1))
            else:
                c = e[0](a) + e[1](b)
                nodes = [c, e[2](a) + e[3](b), e[4](b) + a, a + e[7](c)]
        torch.testing.assert_close(found, torch.cat(nodes, dim=1))


def test_pools_leave_the_border_out_and_dilation_spans_five_pixels() -> None:
    assert torch.equal(average(1)(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
    module = made(lambda: dilated(1, 3, 1, 1e-5))
    spot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    spot[0, 0, 4, 4] = 1
    with torch.no_grad():
        reached = module(spot)[0, 0].nonzero()
    assert sorted({tuple(place) for place in reached.tolist()}) == [(y, x) for y in (2, 4, 6) for x in (2, 4, 6)]
