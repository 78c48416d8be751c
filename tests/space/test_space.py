"""Search spaces: sizes, genomes in and out, sampling, other data."""

import collections
import itertools
import math
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import GenomeError, SpaceError
from fairnas.nets import cost_table
from fairnas.space import (
    CATALOG,
    Identity,
    InvertedResidual,
    Layer,
    SearchSpace,
    Separable,
    ShuffleUnit,
    ShuffleXception,
    Stage,
    Stem,
    chain_space,
    format_genome,
    get_space,
    scaled,
)

SIZES = {
    "mobilenet_v2": (16, 2_821_109_907_456),
    "proxyless": (19, 609_359_740_010_496),
    "proxyless_skip": (21, 6**6 * 7**15),
    "shufflenet_v2": (20, 4**20),
    "fbnet": (22, 9**22),
    "nas_bench_macro": (8, 6_561),
    "compact": (12, 2_176_782_336),
    "digits": (8, 1_679_616),
}


def test_sizes_are_exact() -> None:
    assert {name: (space.depth, space.size) for name, space in CATALOG.items()} == SIZES
    assert SIZES["mobilenet_v2"][1] == 6**16
    assert SIZES["proxyless"][1] == 6**19


def test_shapes_of_the_papers_spaces() -> None:
    def shape(name: str) -> list[tuple[int, int]]:
        return [(layer.out_channels, layer.stride) for layer in get_space(name).layers]

    assert shape("mobilenet_v2") == [
        *[(24, 2), (24, 1)],
        *[(32, 2), (32, 1), (32, 1)],
        *[(64, 2), (64, 1), (64, 1), (64, 1)],
        *[(96, 1), (96, 1), (96, 1)],
        *[(160, 2), (160, 1), (160, 1)],
        (320, 1),
    ]
    widths, strides = zip(*shape("proxyless"), strict=True)
    assert widths == (32,) * 2 + (40,) * 4 + (80,) * 4 + (96,) * 4 + (192,) * 4 + (320,)
    assert [number for number, stride in enumerate(strides) if stride == 2] == [0, 2, 6, 14]
    for name in ("mobilenet_v2", "proxyless"):
        space = get_space(name)
        assert space.fixed == (Layer(32, 16, 1, (Separable(3),)),)
        assert (space.stem_channels, space.stem_stride, space.head_channels, space.reduction) == (32, 2, 1280, 32)
    assert [(layer.out_channels, layer.stride) for layer in get_space("nas_bench_macro").layers] == [
        *[(64, 2), (64, 1)],
        *[(128, 2), (128, 1), (128, 1)],
        *[(256, 2), (256, 1), (256, 1)],
    ]


def test_shapes_of_the_spaces_of_others() -> None:
    def stages(name: str) -> list[tuple[int, int, int]]:
        """Channels, layers, stride of the first."""
        layers = get_space(name).layers
        starts = [n for n, layer in enumerate(layers) if n == 0 or layer.out_channels != layers[n - 1].out_channels]
        ends = [*starts[1:], len(layers)]
        assert all(layers[n].stride == 1 for n in range(len(layers)) if n not in starts)
        return [(layers[a].out_channels, b - a, layers[a].stride) for a, b in zip(starts, ends, strict=True)]

    assert stages("proxyless_skip") == [(24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1)]
    assert [n for n, count in enumerate(get_space("proxyless_skip").choices) if count == 6] == [0, 4, 8, 12, 16, 20]
    assert stages("shufflenet_v2") == [(64, 4, 2), (160, 4, 2), (320, 8, 2), (640, 4, 2)]
    widths = [(16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1)]
    assert stages("fbnet") == widths
    assert [get_space(n).reduction for n in ("proxyless_skip", "shufflenet_v2", "fbnet")] == [32, 32, 32]
    labels = ("k3e1", "k3e1g2", "k3e3", "k3e6", "k5e1", "k5e1g2", "k5e3", "k5e6", "identity")
    assert tuple(block.label for block in get_space("fbnet").layers[0].choices) == labels
    labels = ("k3 shuffle", "k5 shuffle", "k7 shuffle", "xception shuffle")
    assert tuple(block.label for block in get_space("shufflenet_v2").layers[0].choices) == labels
    assert not get_space("shufflenet_v2").classifier_bias
    assert (get_space("proxyless_skip").bn_eps, get_space("proxyless").bn_eps) == (1e-3, 1e-5)


def test_choices_are_in_the_order_of_table_6() -> None:
    order = ("k3e3", "k5e3", "k7e3", "k3e6", "k5e6", "k7e6")
    for name in ("mobilenet_v2", "proxyless", "compact", "digits"):
        space = get_space(name)
        for choice, label in enumerate(order):
            assert space.labels((choice,) * space.depth) == (label,) * space.depth
    assert get_space("nas_bench_macro").labels((0, 1, 2, 0, 1, 2, 0, 1))[:3] == ("identity", "k3e3", "k5e6")
    assert Separable(3).label == "k3 separable"
    assert get_space("digits").block(0, 4) == InvertedResidual(5, 6)


@pytest.mark.slow
@given(st.data())
def test_text_form_goes_round_in_every_space(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    assert space.parse(format_genome(genome)) == genome
    assert space.validate(np.array(genome)) == genome
    assert all(type(choice) is int for choice in space.validate(np.array(genome)))


@pytest.mark.slow
@given(st.data())
def test_sampling_stays_in_bounds_is_reproducible_and_leaves_the_global_generators_alone(chain_spaces, data) -> None:
    space, seed = data.draw(chain_spaces), data.draw(st.integers(0, 2**63))
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    drawn = [space.sample(np.random.default_rng(seed)) for _ in range(2)]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert drawn[0] == drawn[1] == space.validate(drawn[0])
    assert all(type(choice) is int for choice in drawn[0])


def test_sampling_is_uniform_and_independent_between_layers() -> None:
    space = chain_space(
        "x", image_size=8, stem=Stem(4, 1), stages=(Stage(4, 2),), head=4, kernels=(3, 5), expansions=(2,), skip=True
    )
    assert space.choices == (3, 3)
    rng = np.random.default_rng(0)
    counts = collections.Counter(space.sample(rng) for _ in range(9 * 400))
    chi_square = sum((counts[genome] - 400) ** 2 / 400 for genome in space.enumerate())
    assert chi_square < 26.1  # 8 degrees of freedom, p = 0.001


@given(st.data())
@settings(max_examples=30)
def test_enumeration_is_complete_and_in_the_order_of_text_forms(chain_spaces, data) -> None:
    space = data.draw(chain_spaces.filter(lambda space: space.size <= 3000))
    genomes = list(space.enumerate())
    texts = [format_genome(genome) for genome in genomes]
    assert len(set(genomes)) == len(genomes) == space.size == math.prod(space.choices)
    assert texts == sorted(texts)
    assert all(space.parse(text) == genome for text, genome in zip(texts, genomes, strict=True))


def test_enumeration_of_a_huge_space_is_lazy() -> None:
    first = list(itertools.islice(get_space("proxyless").enumerate(), 7))
    assert first[0] == (0,) * 19
    assert first[-1] == (0,) * 17 + (1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123", "genome '0123' has 4 choices; space 'digits' has 8 layers"),
        ("012345012", "genome '012345012' has 9 choices; space 'digits' has 8 layers"),
        ("", "genome '' has 0 choices; space 'digits' has 8 layers"),
        ("01234560", "genome '01234560' takes choice 6 in layer 6; space 'digits' allows 0 to 5 there"),
        ("z0000000", "genome 'z0000000' takes choice 35 in layer 0; space 'digits' allows 0 to 5 there"),
        ("0123450X", "genome '0123450X' holds 'X'; write one character of 0-9a-z per layer, such as '2023500'"),
    ],
)
def test_wrong_texts(text: str, message: str) -> None:
    with pytest.raises(GenomeError, match=f"^{re.escape(message)}$"):
        get_space("digits").parse(text)


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        ((0,) * 7 + (-1,), "genome [0, 0, 0, 0, 0, 0, 0, -1] takes choice -1 in layer 7; space 'digits' allows 0 to 5"),
        ((40,) + (0,) * 7, "genome [40, 0, 0, 0, 0, 0, 0, 0] takes choice 40 in layer 0"),
        ((0,) * 7 + (1.5,), "holds something that is no index; give one whole number per layer"),
        ("00000000", "holds something that is no index; give one whole number per layer"),
    ],
)
def test_wrong_tuples(genome, message: str) -> None:
    with pytest.raises(GenomeError, match=re.escape(message)):
        get_space("digits").validate(genome)


@given(st.data())
def test_other_data_change_only_what_they_must(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    size = data.draw(st.integers(space.reduction, 300))
    other = space.for_data(image_size=size, image_channels=4, num_classes=11)
    assert (other.image_size, other.image_channels, other.num_classes) == (size, 4, 11)
    assert (other.layers, other.fixed, other.name, other.size) == (space.layers, space.fixed, space.name, space.size)
    back = other.for_data(
        image_size=space.image_size, image_channels=space.image_channels, num_classes=space.num_classes
    )
    assert back == space == space.for_data()
    assert hash(back) == hash(space)


def test_data_that_a_space_cannot_take() -> None:
    space = get_space("mobilenet_v2")
    assert space.for_data(image_size=32).image_size == 32
    with pytest.raises(
        SpaceError,
        match=r"space 'mobilenet_v2' shrinks images 32 times; 31 pixels are too few, give 32 or more",
    ):
        space.for_data(image_size=31)
    for name in ("image_size", "image_channels", "num_classes"):
        with pytest.raises(SpaceError, match=f"^{name} of space 'mobilenet_v2' is 0; give 1 or more$"):
            space.for_data(**{name: 0})


BLOCK = InvertedResidual(3, 1)


def _space(**changes) -> SearchSpace:
    plain = {
        "name": "x",
        "image_size": 8,
        "image_channels": 3,
        "num_classes": 2,
        "stem_channels": 4,
        "stem_stride": 1,
        "fixed": (),
        "layers": (Layer(4, 4, 1, (BLOCK,)),),
        "head_channels": 4,
    }
    return SearchSpace(**{**plain, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ()}, "space 'x' has no choice layers; give at least one"),
        ({"layers": (Layer(4, 4, 1, ()),)}, "layer 0 of space 'x' has 0 choices; give 1 to 36"),
        ({"layers": (Layer(4, 4, 1, (BLOCK,) * 37),)}, "layer 0 of space 'x' has 37 choices; give 1 to 36"),
        ({"fixed": (Layer(4, 4, 1, ()),)}, "a fixed layer of space 'x' has 0 choices; give 1 to 36"),
        ({"layers": (Layer(5, 4, 1, (BLOCK,)),)}, "space 'x': a layer takes 5 channels where 4 arrive"),
        ({"fixed": (Layer(4, 6, 1, (BLOCK,)),)}, "space 'x': a layer takes 4 channels where 6 arrive"),
        ({"layers": (Layer(4, 4, 0, (BLOCK,)),)}, "stride of layer 0 of space 'x' is 0; give 1 or more"),
        ({"layers": (Layer(4, 0, 1, (BLOCK,)),)}, "out_channels of layer 0 of space 'x' is 0; give 1 or more"),
        (
            {"layers": (Layer(4, 4, 1, ("k3e3",)),)},
            "layer 0 of space 'x' offers 'k3e3'; give blocks, such as InvertedResidual(3, 6)",
        ),
        ({"activation": "gelu"}, "activation of space 'x' is 'gelu'; give relu6 or relu or swish"),
        ({"head_channels": 8.0}, "head_channels of space 'x' is 8.0; give a whole number"),
        ({"num_classes": "10"}, "num_classes of space 'x' is '10'; give a whole number"),
        ({"stem_stride": True}, "stem_stride of space 'x' is True; give a whole number"),
        ({"stem_channels": -1}, "stem_channels of space 'x' is -1; give 1 or more"),
        ({"name": 5}, "name of a space is 5; give text"),
        ({"classifier_bias": 1}, "classifier_bias of space 'x' is 1; give true or false"),
        ({"bn_eps": 0}, "bn_eps of space 'x' is 0; give a number between 0 and 1"),
        (
            {"layers": (Layer(4, 5, 1, (InvertedResidual(3, 1, groups=2),)),)},
            "layer 0 of space 'x' takes 4 and gives 5 channels: "
            "2 groups need numbers of channels that are multiples of 2",
        ),
        (
            {"layers": (Layer(4, 4, 2, (ShuffleUnit(3),)),)},
            "layer 0 of space 'x' takes 4 and gives 4 channels: "
            "a shuffle unit passes 4 channels on; give more than 4 output channels",
        ),
        (
            {"stem_channels": 5, "layers": (Layer(5, 6, 1, (ShuffleXception(),)),)},
            "layer 0 of space 'x' takes 5 and gives 6 channels: "
            "a shuffle unit of stride 1 halves its input; give an even number of input channels",
        ),
    ],
)
def test_spaces_that_cannot_be(changes, message: str) -> None:
    assert _space().depth == 1
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}$"):
        _space(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InvertedResidual(4, 3), "kernel is 4; give an odd number"),
        (lambda: Separable(0), "kernel is 0; give 1 or more"),
        (lambda: InvertedResidual(-3, 3), "kernel is -3; give 1 or more"),
        (lambda: InvertedResidual(3, 0), "expansion is 0; give 1 or more"),
        (lambda: InvertedResidual(3, 0.5), "expansion is 0.5; give a whole number"),
        (lambda: InvertedResidual(3, 1, groups=0), "groups is 0; give 1 or more"),
        (lambda: InvertedResidual(3, 1, squeeze=2), "squeeze is 2; give a share from 0 to 1"),
        (
            lambda: InvertedResidual(3, 1, activation="gelu"),
            "activation of a block is 'gelu'; give relu6 or relu or swish",
        ),
        (lambda: ShuffleUnit(2), "kernel is 2; give an odd number"),
    ],
)
def test_blocks_that_cannot_be(make, message: str) -> None:
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}$"):
        make()


def _chain(**changes) -> SearchSpace:
    plain = {"image_size": 8, "stem": Stem(4, 1), "stages": (Stage(4, 2), Stage(6, 2, 2)), "head": 8}
    return chain_space("x", **{**plain, **changes})


def test_skip_is_offered_where_the_shape_stays_and_only_once() -> None:
    assert _chain(skip=True).choices == (7, 7, 6, 7)
    assert _chain(skip=True).block(0, 6) == Identity()
    assert _chain(skip=True, choices=(Identity(), BLOCK)).choices == (2, 2, 2, 2)
    assert _chain(first=3).layers[0].in_channels == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": ()}, "space 'x' has no choice layers; give at least one"),
        ({"stages": (Stage(4, 0),)}, "layers of stage 1 of space 'x' is 0; give 1"),
        ({"stages": (Stage(4, 1, 1.5),)}, "of space 'x' is 1.5; give a whole number"),
        ({"kernels": ()}, "kernels of space 'x' is (); give a list such as [3, 5, 7]"),
        ({"choices": ()}, "layer 0 of space 'x' has 0 choices; give 1 to 36"),
        ({"kernels": (3, 4)}, "kernel is 4; give an odd number"),
        ({"first": 0}, "first of space 'x' is 0; give 1 or more"),
        ({"stem": Stem(0)}, "channels of the stem of space 'x' is 0; give 1 or more"),
        ({"head": 0}, "head of space 'x' is 0; give 1 or more"),
        ({"skip": "no"}, "skip of space 'x' is 'no'; give true or false"),
    ],
)
def test_chains_that_cannot_be(changes, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        _chain(**changes)


@given(st.sampled_from(sorted(CATALOG)), st.floats(0.25, 4), st.floats(0.25, 4))
@settings(max_examples=40, deadline=None)
def test_a_scaled_space_has_the_same_choices_and_shortcuts_and_costs_follow_the_width(name, a, b):
    space, (narrow, wide) = get_space(name), sorted((a, b))
    small, large = scaled(space, narrow), scaled(space, wide)
    assert (small.depth, small.choices, small.name, small.reduction) == (
        *(space.depth, space.choices, space.name, space.reduction),
    )
    for before, after, wider in zip(space.layers, small.layers, large.layers, strict=True):
        assert after.choices == before.choices
        assert after.stride == before.stride
        assert after.keeps_shape or not before.keeps_shape
        assert after.out_channels <= wider.out_channels
        assert after.out_channels % 4 == 0 or after.out_channels == before.out_channels
    assert scaled(space, 1.0) is space
    assert small.head_channels <= large.head_channels
    assert small.stem_channels <= large.stem_channels


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "nas_bench_macro"])
def test_costs_grow_with_the_width(name):
    tables = [cost_table(scaled(get_space(name).for_data(image_size=8), width)) for width in (0.25, 0.6, 1.0, 1.7)]
    for measure in ("madds", "params"):
        for extreme in ("lightest", "heaviest"):
            costs = [getattr(table, extreme)[measure] for table in tables]
            assert costs == sorted(set(costs))


def test_widths_round_as_mobilenet_v2s_do_and_lose_no_tenth():
    space = scaled(get_space("mobilenet_v2"), 0.75)
    assert (space.stem_channels, space.head_channels) == (24, 960)
    assert [layer.out_channels for layer in space.layers][::3] == [20, 24, 48, 72, 120, 240]
    for width in (0.26, 0.4, 0.9, 1.1, 3):
        for before, after in zip(get_space("fbnet").layers, scaled(get_space("fbnet"), width).layers, strict=True):
            assert after.out_channels >= 0.9 * width * before.out_channels
            assert after.out_channels % 2 == 0  # two groups


def test_a_run_that_was_before_widths_is_known_by_the_same_hash():
    from fairnas.space.file import to_dict

    assert to_dict(scaled(get_space("compact"), 1.0)) == to_dict(get_space("compact"))
    assert "width" not in to_dict(scaled(get_space("compact"), 0.5))
