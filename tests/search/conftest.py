"""A world for searches: a space, an additive cost table, and scores that cost nothing to make."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from fairnas.space import Genome, SearchSpace, Stage, Stem, chain_space, format_genome, get_space


@dataclass
class World:
    """Costs and scores of every genome of a space; remembers what was evaluated, batch by batch."""

    space: SearchSpace
    asked: list[tuple[Genome, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        shape = (self.space.depth, max(self.space.choices))
        self.madds = (rng.integers(5, 40, shape) * 100_000).tolist()
        self.params = (rng.integers(5, 40, shape) * 1_000).tolist()

    def costs(self, genome: Genome) -> dict[str, float]:
        return {
            "madds": sum(row[choice] for row, choice in zip(self.madds, genome, strict=True)),
            "params": sum(row[choice] for row, choice in zip(self.params, genome, strict=True)),
        }

    def evaluate(self, genomes: Sequence[Genome]) -> list[dict[str, float]]:
        self.asked.append(tuple(genomes))
        return [self.score(genome) for genome in genomes]

    def score(self, genome: Genome) -> dict[str, float]:
        noise = zlib.crc32(format_genome(genome).encode()) / 2**32
        top1 = 0.2 + 0.5 * sum(genome) / sum(count - 1 for count in self.space.choices) + 0.1 * noise
        return {"top1": top1, "top5": min(1.0, top1 + 0.2), "loss": 1 - top1}

    @property
    def evaluated(self) -> list[Genome]:
        return [genome for batch in self.asked for genome in batch]

    @property
    def lightest(self) -> int:
        rows = zip(self.madds, self.space.choices, strict=True)
        return sum(min(row[:count]) for row, count in rows)

    @property
    def heaviest(self) -> int:
        rows = zip(self.madds, self.space.choices, strict=True)
        return sum(max(row[:count]) for row, count in rows)


@pytest.fixture
def world() -> World:
    """A space too large to list, 6^8 genomes."""
    return World(get_space("digits"))


@pytest.fixture
def uneven_world() -> World:
    """Layers with 4 and with 5 choices, one of them the identity, so that networks have several genomes."""
    stages = (Stage(8, 4, 2), Stage(12, 4, 2))
    space = chain_space(
        "uneven",
        image_size=16,
        stem=Stem(8, 1),
        stages=stages,
        kernels=(3, 5),
        expansions=(2, 3),
        head=16,
        skip=True,
    )
    assert set(space.choices) == {4, 5}
    assert space.size > 10_000
    result = World(space)
    # as in a real space, layers of one shape cost the same: a canonical genome costs what its network does
    for table in (result.madds, result.params):
        for layer in (2, 3, 6, 7):
            table[layer] = table[layer - layer % 4 + 1]
    return result


@pytest.fixture
def tiny_world() -> World:
    """27 genomes: fewer than a population."""
    space = chain_space(
        "tiny",
        image_size=8,
        stem=Stem(8, 1),
        stages=(Stage(8, 3),),
        kernels=(3, 5, 7),
        expansions=(2,),
        head=16,
    )
    assert space.size == 27
    return World(space)
