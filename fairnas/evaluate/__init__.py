"""The supernet as a judge: scores of genomes with inherited weights."""

from fairnas.evaluate.folding import FoldedSupernet
from fairnas.evaluate.oneshot import Score, score_genomes, score_network

__all__ = ["FoldedSupernet", "Score", "score_genomes", "score_network"]
