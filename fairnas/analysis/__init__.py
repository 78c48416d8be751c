"""Analysis of how well a supernet orders networks."""

from fairnas.analysis.agreement import BestAgreement, best_agreement
from fairnas.analysis.contrasts import Contrast, contrast
from fairnas.analysis.correction import Correction, fitted_correction
from fairnas.analysis.difference import TauDifference, paired_difference
from fairnas.analysis.gap import AccuracyGap, accuracy_gap
from fairnas.analysis.ranking import RankAgreement, rank_agreement
from fairnas.analysis.record import PredictedNetwork, RankingRecord, SecondChoice
from fairnas.analysis.study import LossOrder, NoiseCeiling, OtherScores, RankingStudy, StudiedModel, study_ranking

__all__ = [
    "AccuracyGap",
    "BestAgreement",
    "Contrast",
    "Correction",
    "LossOrder",
    "NoiseCeiling",
    "OtherScores",
    "PredictedNetwork",
    "RankAgreement",
    "RankingRecord",
    "RankingStudy",
    "SecondChoice",
    "StudiedModel",
    "TauDifference",
    "accuracy_gap",
    "best_agreement",
    "contrast",
    "fitted_correction",
    "paired_difference",
    "rank_agreement",
    "study_ranking",
]
