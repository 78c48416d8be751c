"""The ranking study: one-shot against stand-alone accuracies, beside the noise ceiling and trivial predictors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.analysis.gap import AccuracyGap, accuracy_gap
from fairnas.analysis.ranking import RankAgreement, rank_agreement
from fairnas.errors import FairnasError

LOW_CEILING = 0.6
"""Below this, two trainings of the same networks disagree so much that no predictor can be judged."""


@dataclass(frozen=True)
class StudiedModel:
    """One network of the study."""

    genome: str
    one_shot: float
    """Top-1 with inherited weights, on the validation images."""
    stand_alone: tuple[float | None, ...]
    """Top-1 on the test images per training seed; None for a training that diverged."""
    madds: int
    params: int

    @property
    def mean(self) -> float | None:
        """Mean over the seeds, or None if any training diverged or there was none."""
        known = [value for value in self.stand_alone if value is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(self.stand_alone) else None


@dataclass(frozen=True)
class RankingStudy:
    """What the study found. Every tau is over the same models."""

    models: tuple[StudiedModel, ...]
    tau: RankAgreement
    """One-shot against mean stand-alone accuracy."""
    ceiling: RankAgreement | None
    """First against second training seed: what a perfect predictor could hope for. None with one seed."""
    predictors: dict[str, RankAgreement]
    """MAdds and parameters against mean stand-alone accuracy."""
    gap: AccuracyGap
    diverged: int
    """Networks left out because a training diverged."""
    advice: tuple[str, ...]
    """What to make of it, in sentences."""


def study_ranking(models: Sequence[StudiedModel]) -> RankingStudy:
    """Judge a supernet's order of models. Raises `FairnasError` if fewer than 3 were trained without diverging."""
    usable = [model for model in models if model.mean is not None]
    if len(usable) < 3:
        raise FairnasError(f"{len(usable)} of {len(models)} networks trained without diverging; a ranking needs 3")
    truth = [model.mean or 0.0 for model in usable]
    tau = rank_agreement([model.one_shot for model in usable], truth)
    ceiling = None
    if all(len(model.stand_alone) >= 2 for model in usable):
        first, second = ([model.stand_alone[seed] or 0.0 for model in usable] for seed in (0, 1))
        ceiling = rank_agreement(first, second)
    predictors = {
        "madds": rank_agreement([model.madds for model in usable], truth),
        "params": rank_agreement([model.params for model in usable], truth),
    }
    diverged = len(models) - len(usable)
    return RankingStudy(
        models=tuple(models),
        tau=tau,
        ceiling=ceiling,
        predictors=predictors,
        gap=accuracy_gap([model.one_shot for model in usable], truth),
        diverged=diverged,
        advice=tuple(_advice(tau, ceiling, predictors, diverged)),
    )


def _advice(
    tau: RankAgreement, ceiling: RankAgreement | None, predictors: dict[str, RankAgreement], diverged: int
) -> list[str]:
    said = []
    if math.isnan(tau.tau):
        said.append("All one-shot or all stand-alone accuracies are equal, so there is no order to compare.")
    if ceiling is None:
        said.append("Each network was trained once, so the noise ceiling is unknown: train with 2 seeds or more.")
    elif not ceiling.tau >= LOW_CEILING:
        said.append(
            f"Two trainings of the same networks agree only to tau = {ceiling.tau:.2f}: their accuracies differ too "
            "little for any tau to mean much here."
        )
    for name, label in (("madds", "Multiply-adds"), ("params", "Parameters")):
        if predictors[name].tau >= tau.tau:
            said.append(f"{label} alone order these networks as well (tau = {predictors[name].tau:.2f}).")
    low, high = tau.interval
    if high - low > 0.4:
        said.append(
            f"With {tau.n} networks tau is known only to lie between {low:.2f} and {high:.2f}; more networks tell more."
        )
    if diverged:
        networks = "1 network was" if diverged == 1 else f"{diverged} networks were"
        said.append(f"{networks} left out because a training diverged.")
    return said
