"""Genomes, blocks as data, search spaces, the catalog. Pure data, no torch."""

from fairnas.space.blocks import (
    Activation,
    Block,
    Identity,
    InvertedResidual,
    Separable,
    ShuffleUnit,
    ShuffleXception,
)
from fairnas.space.catalog import CATALOG, get_space
from fairnas.space.chain import Stage, Stem, chain_space
from fairnas.space.genome import Genome, distance, format_genome, parse_genome
from fairnas.space.space import Layer, SearchSpace
from fairnas.space.width import scaled

__all__ = [
    "CATALOG",
    "Activation",
    "Block",
    "Genome",
    "Identity",
    "InvertedResidual",
    "Layer",
    "SearchSpace",
    "Separable",
    "ShuffleUnit",
    "ShuffleXception",
    "Stage",
    "Stem",
    "chain_space",
    "distance",
    "format_genome",
    "get_space",
    "parse_genome",
    "scaled",
]
