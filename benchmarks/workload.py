"""Workload of the benchmarks: a space, populations of genomes, images, and a supernet whose statistics fit them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet, cost_table
from fairnas.randomness import derived_seed, generator
from fairnas.space import Genome, SearchSpace, Stage, Stem, chain_space, get_space

PROXYLESS_32 = chain_space(
    "proxyless_32",
    image_size=32,
    stem=Stem(32, stride=1),
    first=16,
    stages=(Stage(32, 2, 2), Stage(40, 4, 2), Stage(80, 4, 2), Stage(96, 4), Stage(192, 4), Stage(320, 1)),
    head=1280,
    num_classes=10,
    source="proxyless, 19 layers of 6 choices, with strides for images of 32 pixels: they shrink 8 times, not 32",
)


def space_of(name: str) -> SearchSpace:
    """`proxyless_32`, or any space that `fairnas` knows. Raises `UnknownNameError` or `SpaceError`."""
    return PROXYLESS_32 if name == PROXYLESS_32.name else get_space(name)


def random_population(space: SearchSpace, size: int, seed: int) -> list[Genome]:
    """Genomes of a first generation: uniform."""
    rng = generator(seed, "random population")
    return [space.sample(rng) for _ in range(size)]


def evolved_population(space: SearchSpace, size: int, seed: int, parents: int = 8) -> list[Genome]:
    """Genomes of a late generation: different children of a few elites, each with one or two layers changed."""
    rng = generator(seed, "evolved population")
    elites = [space.sample(rng) for _ in range(parents)]
    children: dict[Genome, None] = {}  # in order of birth
    for attempt in range(100 * size):
        if len(children) == size:
            break
        child = list(elites[attempt % parents])
        for layer in rng.choice(space.depth, size=min(space.depth, int(rng.integers(1, 3))), replace=False):
            child[layer] = int((child[layer] + rng.integers(1, max(2, space.choices[layer]))) % space.choices[layer])
        children[tuple(child)] = None
    return list(children)


def distinct_networks(space: SearchSpace, prefix: Genome = ()) -> list[Genome]:
    """Every network of a small space once, or every one that begins with some choices."""
    return sorted({g for g in map(space.canonical, space.enumerate()) if g[: len(prefix)] == prefix})


def representative(space: SearchSpace, genomes: Sequence[Genome], count: int) -> list[Genome]:
    """Some of the genomes: ordered by multiply-adds and cut into `count` equal parts, the middle one of each part."""
    table = cost_table(space)
    ordered = sorted(genomes, key=lambda genome: (table(genome).madds, genome))
    count = min(count, len(ordered))
    return [ordered[(2 * part + 1) * len(ordered) // (2 * count)] for part in range(count)]


@dataclass(frozen=True)
class Sharing:
    """Savings of a prefix tree, by counting."""

    layer_runs: int
    """Choice blocks run with the tree: its nodes."""
    layer_runs_one_by_one: int
    """L times the number of genomes."""
    madds: int
    """Multiply-adds per image with the tree, stem and heads included."""
    madds_one_by_one: int

    @property
    def layer_factor(self) -> float:
        """Factor by which layer runs are fewer."""
        return self.layer_runs_one_by_one / self.layer_runs

    @property
    def madds_factor(self) -> float:
        """Factor by which multiply-adds are fewer. Stems and costly early layers share most, heads nothing."""
        return self.madds_one_by_one / self.madds


def sharing(space: SearchSpace, genomes: Sequence[Genome]) -> Sharing:
    """Count the nodes of the tree over some genomes, and what running them costs."""
    table = cost_table(space)
    canonical = {space.canonical(genome) for genome in genomes}
    nodes = {genome[: layer + 1] for genome in canonical for layer in range(space.depth)}
    head = _head_madds(space)
    in_tree = sum(table.blocks[len(node) - 1][node[-1]].madds for node in nodes)
    return Sharing(
        len(nodes),
        space.depth * len(genomes),
        table.fixed.madds - head + in_tree + head * len(canonical),
        sum(table(genome).madds for genome in genomes),
    )


def _head_madds(space: SearchSpace) -> int:
    """The head's share of what is fixed: its 1x1 convolution and the classifier."""
    side = space.image_size
    for stride in (space.stem_stride, *(layer.stride for layer in (*space.fixed, *space.layers))):
        side = math.ceil(side / stride)
    return space.head_channels * (space.layers[-1].out_channels * side**2 + space.num_classes)


def labelled_images(space: SearchSpace, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Blurred noise (count, C, S, S) in NCHW with random labels (count,): networks disagree about such images."""
    rng = torch.Generator().manual_seed(derived_seed(seed, "images"))
    coarse = torch.randn(count, space.image_channels, 4, 4, generator=rng)
    images = functional.interpolate(coarse, size=space.image_size, mode="bilinear")
    return images.contiguous(), torch.randint(space.num_classes, (count,), generator=rng)


def channels_last(images: Tensor) -> Tensor:
    """The same images as `fairnas.data` hands them out."""
    return images.contiguous(memory_format=torch.channels_last)


def settled_supernet(space: SearchSpace, images: Tensor, seed: int) -> Supernet:
    """A new supernet whose BN statistics are those of some images, as after training, so that none vanish."""
    supernet = Supernet(space, seed=seed).train()
    norms = [part for part in supernet.modules() if isinstance(part, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain mean over all passes
    sampler = StrictSampler(space.choices, seed)
    with torch.no_grad():
        for genome in itertools.chain.from_iterable(sampler.paths(step) for step in range(2 * sampler.fairness_period)):
            supernet(channels_last(images), genome)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return supernet
