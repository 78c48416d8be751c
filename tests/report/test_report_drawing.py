"""Drawings of networks: Figure 7 as SVG."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import GenomeError
from fairnas.report.drawing import block_label, describe_network, draw_network, kernels
from fairnas.space import CATALOG, Identity, InvertedResidual, Separable, Stage, Stem, chain_space, get_space

SVG = "{http://www.w3.org/2000/svg}"


def parsed(space, genome) -> ElementTree.Element:
    return ElementTree.fromstring(draw_network(space, genome))


def rectangles(svg: ElementTree.Element) -> list[ElementTree.Element]:
    return list(svg.iter(f"{SVG}rect"))


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(sorted(CATALOG)), seed=st.integers(0, 1000))
def test_every_block_is_drawn_in_order_without_overlap_inside_the_canvas(name, seed):
    space = get_space(name)
    genome = space.sample(np.random.default_rng(seed))
    svg = parsed(space, genome)
    shapes = rectangles(svg)
    assert len(shapes) == space.depth + len(space.fixed) + 2
    labels = [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "label"]
    middle = [block_label(space.block(layer, choice)) for layer, choice in enumerate(genome)]
    assert labels == ["stem", *(block_label(layer.choices[0]) for layer in space.fixed), *middle, "head"]
    lefts = [float(shape.get("x", "")) for shape in shapes]
    widths = {float(shape.get("width", "")) for shape in shapes}
    assert len(widths) == 1, "width means nothing, so it is constant"
    width = widths.pop()
    assert all(b >= a + width for a, b in itertools.pairwise(lefts))
    right, bottom = (float(value) for value in svg.get("viewBox", "").split()[2:])
    assert lefts[-1] + width <= right
    assert all(float(s.get("y", "")) >= 0 for s in shapes)
    assert all(float(s.get("y", "")) + float(s.get("height", "")) < bottom for s in shapes)


def test_height_is_the_expansion_and_colour_the_kernel():
    space = get_space("digits")
    svg = parsed(space, space.parse("01234501"))
    groups = [group for group in svg.iter(f"{SVG}g")][1:-1]
    height = [float(group.find(f"{SVG}rect").get("height")) for group in groups]  # pyright: ignore
    assert height[3] == pytest.approx(2 * height[0]), "expansion 6 against 3"
    assert height[0] == height[1] == height[2]
    assert [group.get("class") for group in groups[:3]] == ["block k3", "block k5", "block k7"]


def test_thick_lines_at_every_stride_and_two_dashed_ones():
    for name in ("digits", "mobilenet_v2", "nas_bench_macro"):
        space = get_space(name)
        svg = parsed(space, (0,) * space.depth)
        lines = [line.get("class") for line in svg.iter(f"{SVG}line")]
        strides = [space.stem_stride, *(layer.stride for layer in (*space.fixed, *space.layers))]
        assert lines.count("downsampling") == sum(stride > 1 for stride in strides)
        assert lines.count("dashed") == 2


def test_sizes_under_the_drawing_are_those_of_the_images():
    svg = draw_network(get_space("mobilenet_v2"), (0,) * 16)
    assert re.findall(r">(\d+) px<", svg) == ["112", "56", "28", "14", "7"]


def test_identity_is_thin():
    space = get_space("nas_bench_macro")
    svg = parsed(space, (0, 0, 1, 2, 0, 1, 2, 0))
    thin = [float(shape.get("height", "")) for shape in rectangles(svg)][1]
    assert thin < 8
    assert 'class="block identity"' in draw_network(space, (0,) * 8)


def test_labels_and_legend():
    blocks = (InvertedResidual(5, 3), Separable(3), Identity())
    assert [block_label(block) for block in blocks] == ["E3-K5", "K3", "identity"]
    space = chain_space("x", image_size=8, stem=Stem(8, 1), stages=(Stage(8, 2),), kernels=(9, 3), head=8, skip=True)
    assert kernels(space) == ["k3", "other", "identity"]


def test_it_is_described_for_those_who_do_not_see_it():
    space = get_space("digits")
    words = describe_network(space, space.parse("00300000"))
    assert words.startswith("Network 00300000, from stem to head: E3-K3, E3-K3, E6-K3, downsample 2x, E3-K3")
    svg = parsed(space, space.parse("00300000"))
    assert (svg.get("role"), svg.get("aria-label")) == ("img", words)


def test_a_foreign_genome_is_refused():
    with pytest.raises(GenomeError, match="has 3 choices; space 'digits' has 8 layers"):
        draw_network(get_space("digits"), (0, 0, 0))
