"""How far a supernet's order of models can be believed."""

from fairnas.analysis.contrasts import Contrast, contrast
from fairnas.analysis.gap import AccuracyGap, accuracy_gap
from fairnas.analysis.ranking import RankAgreement, rank_agreement
from fairnas.analysis.study import RankingStudy, StudiedModel, study_ranking

__all__ = [
    "AccuracyGap",
    "Contrast",
    "RankAgreement",
    "RankingStudy",
    "StudiedModel",
    "accuracy_gap",
    "contrast",
    "rank_agreement",
    "study_ranking",
]
