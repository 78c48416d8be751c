"""Scores of genomes with weights inherited from the supernet."""

from fairnas.evaluate.eval_supernet import EvaluationCopy, Statistics
from fairnas.evaluate.oneshot import score_genomes, score_network
from fairnas.evaluate.own_networks import OwnNetworks
from fairnas.evaluate.partition import cut_along_tree
from fairnas.evaluate.recalibration import OwnImagesCopy, RecalibratedCopy
from fairnas.scores import NetworkScore, Score

__all__ = [
    "EvaluationCopy",
    "NetworkScore",
    "OwnImagesCopy",
    "OwnNetworks",
    "RecalibratedCopy",
    "Score",
    "Statistics",
    "cut_along_tree",
    "score_genomes",
    "score_network",
]
