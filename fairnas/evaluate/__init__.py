"""The supernet as a judge: scores of genomes with inherited weights."""

from fairnas.evaluate.copies import EvaluationCopy, Statistics
from fairnas.evaluate.oneshot import Score, score_genomes, score_network
from fairnas.evaluate.recalibration import RecalibratedCopy

__all__ = ["EvaluationCopy", "RecalibratedCopy", "Score", "Statistics", "score_genomes", "score_network"]
