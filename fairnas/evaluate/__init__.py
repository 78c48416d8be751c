"""The supernet as a judge: scores of genomes with inherited weights."""

from fairnas.evaluate.copies import EvaluationCopy, Statistics
from fairnas.evaluate.oneshot import Score, score_genomes, score_network

__all__ = ["EvaluationCopy", "Score", "Statistics", "score_genomes", "score_network"]
