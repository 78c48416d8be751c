"""Ranking study: one-shot against stand-alone accuracies, with the noise ceiling and trivial predictors."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.analysis.agreement import BestAgreement, best_agreement
from fairnas.analysis.correction import Correction, fitted_correction
from fairnas.analysis.difference import AGREED_WIDTH, TauDifference, models_for_width, paired_difference
from fairnas.analysis.gap import AccuracyGap, accuracy_gap
from fairnas.analysis.ranking import RankAgreement, kendall_tau, rank_agreement
from fairnas.analysis.resampling import PAIRWISE_LIMIT, Pairs, bca_interval, counts_of, signs_of
from fairnas.errors import TooFewNetworksError
from fairnas.record import FiniteOrNone, MaybeNan, Record
from fairnas.space.genome import StoredGenome

LOW_CEILING = 0.6
"""Ceiling below which two trainings of the same networks disagree too much to evaluate any predictor."""
TOP_COUNTS = (1, 3, 5, 10)
"""Values of k for which the top-k regret is reported."""
PREDICTORS = {"madds": "multiply-adds", "params": "parameters", "depth": "layers that are no skips"}
"""Names of the trivial predictors in messages."""


@dataclass(frozen=True)
class StudiedModel:
    """Network of the study."""

    genome: StoredGenome
    one_shot: float
    """Accuracy with inherited weights, on the validation images."""
    stand_alone: tuple[float | None, ...]
    """Accuracy on the test images per training seed; None for a training that diverged."""
    madds: int
    params: int
    depth: int = 0
    """Number of layers that are not skips."""
    loss: FiniteOrNone = None
    """Mean one-shot cross-entropy on the validation images, in nats; None if unknown."""

    @property
    def finished(self) -> tuple[float, ...]:
        """Stand-alone accuracies; empty if any training diverged, which excludes the network from the study."""
        known = tuple(value for value in self.stand_alone if value is not None)
        return known if len(known) == len(self.stand_alone) else ()

    @property
    def mean(self) -> float | None:
        """Mean over the seeds, or None if any training diverged or there was none."""
        return math.fsum(self.finished) / len(self.finished) if self.finished else None


@dataclass(frozen=True)
class NoiseCeiling:
    """Agreement about the order of the same networks between trainings that differ only in the seed."""

    tau: MaybeNan
    """Tau-b of one seed against another, mean over all pairs of seeds; NaN if all accuracies of a seed are equal."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval of that mean: BCa bootstrap over networks. NaN where tau is."""
    n: int
    """Number of networks."""
    seeds: int
    pairs: int
    """Number of pairs of seeds."""
    reachable: float | None
    """Estimated tau that a perfect predictor would have with the mean over the seeds, which is less noisy than one
    seed, so it exceeds `tau`. Spearman and Brown's formula for the correlation with a mean, for normally distributed
    accuracies, whose tau is 2/pi arcsin(correlation). None if seeds do not agree at all.
    """


@dataclass(frozen=True)
class OtherScores:
    """Scores of the same networks by another supernet, or with other BN statistics."""

    name: str
    scores: tuple[MaybeNan, ...]
    """One-shot accuracy per network, including networks whose training diverged."""
    tau: RankAgreement
    best: BestAgreement
    gap: AccuracyGap
    difference: TauDifference
    """Tau of the study's own scores less the tau of these."""


@dataclass(frozen=True)
class LossOrder:
    """Order by one-shot loss, lowest first, which on the same images is more precise than accuracy."""

    tau: RankAgreement
    best: BestAgreement
    difference: TauDifference
    """Tau of the one-shot accuracies less the tau of this order."""


@dataclass(frozen=True)
class RankingStudy(Record):
    """Results of the study. Every number is over the same networks: those that trained without diverging."""

    models: tuple[StudiedModel, ...]
    tau: RankAgreement
    """Agreement of one-shot and mean stand-alone accuracy."""
    best: BestAgreement
    """Agreement for the best networks and for choosing one, and Pearson's correlation."""
    ceiling: NoiseCeiling | None
    """Agreement of two trainings. None with one seed."""
    predictors: dict[str, RankAgreement]
    """Agreement of MAdds, parameters and depth with mean stand-alone accuracy; NaN for one that is constant."""
    differences: dict[str, TauDifference]
    """Tau of the one-shot accuracies less that of each trivial predictor, which is used in the direction that orders
    these networks better: its tau is taken without its sign.
    """
    by_loss: LossOrder | None
    """Order by loss; None if losses were not kept, or are not finite."""
    corrected: Correction | None
    """Order by a sum of loss and depth (multiply-adds if all models have one depth), fitted to the other models. None
    if `by_loss` is None, or if there are too few models.
    """
    gap: AccuracyGap
    statistics: tuple[OtherScores, ...]
    """Scores of the supernet with other BN statistics."""
    against: OtherScores | None
    """Scores of another supernet."""
    diverged: int
    """Number of networks left out because a training diverged."""
    advice: tuple[str, ...]
    """Conclusions, in sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; each network with its mean accuracy."""
        plain = super().to_dict()
        for row, model in zip(plain["models"], self.models, strict=True):
            row["mean"] = model.mean
        return plain

    @property
    def sum_is_better(self) -> bool:
        """True if the fitted sum orders these networks better than one-shot accuracy and one-shot loss."""
        if self.corrected is None or self.by_loss is None:
            return False
        # NaN means that all are equal
        known = [tau for tau in (self.tau.tau, self.by_loss.tau.tau) if not math.isnan(tau)]
        return self.corrected.tau > max(known, default=-math.inf)


def study_ranking(
    models: Sequence[StudiedModel],
    *,
    statistics: Mapping[str, Sequence[float]] | None = None,
    against: tuple[str, Sequence[float]] | None = None,
) -> RankingStudy:
    """Evaluate a supernet's order of models.

    Args:
        models: the trained networks. Those with a diverged training are kept in `models` but left out of every number.
        statistics: scores of all models with other BN statistics, by name of the statistics.
        against: name and scores of another supernet.

    Raises:
        TooFewNetworksError: if fewer than 3 were trained without diverging.
    """
    usable = [number for number, model in enumerate(models) if model.mean is not None]
    if len(usable) < 3:
        raise TooFewNetworksError(
            f"{len(usable)} of {len(models)} networks trained without diverging; a ranking needs 3"
        )
    kept = [models[number] for number in usable]
    truth = [model.mean or 0.0 for model in kept]
    one_shot = [model.one_shot for model in kept]
    costs = {name: [getattr(model, name) for model in kept] for name in PREDICTORS}

    def other(name: str, scores: Sequence[float]) -> OtherScores:
        theirs = [scores[number] for number in usable]
        return OtherScores(
            name=name,
            scores=tuple(scores),
            tau=rank_agreement(theirs, truth),
            best=best_agreement(theirs, truth, counts=TOP_COUNTS),
            gap=accuracy_gap(theirs, truth),
            difference=paired_difference(one_shot, theirs, truth),
        )

    predictors = {name: rank_agreement(values, truth) for name, values in costs.items()}
    better = {name: [-v for v in values] if predictors[name].tau < 0 else values for name, values in costs.items()}
    losses = [model.loss for model in kept if model.loss is not None]
    has_losses = len(losses) == len(kept) and all(map(math.isfinite, losses))
    second = "depth" if len(set(costs["depth"])) > 1 else "madds"
    study = RankingStudy(
        models=tuple(models),
        tau=rank_agreement(one_shot, truth),
        best=best_agreement(one_shot, truth, counts=TOP_COUNTS),
        ceiling=_ceiling([model.stand_alone for model in kept]),
        predictors=predictors,
        differences={name: paired_difference(one_shot, values, truth) for name, values in better.items()},
        by_loss=_by_loss(losses, one_shot, truth) if has_losses else None,
        corrected=fitted_correction(losses, (second, costs[second]), one_shot, truth) if has_losses else None,
        gap=accuracy_gap(one_shot, truth),
        statistics=tuple(other(name, scores) for name, scores in (statistics or {}).items()),
        against=other(*against) if against else None,
        diverged=len(models) - len(usable),
        advice=(),
    )
    return dataclasses.replace(study, advice=tuple(_advice(study)))


def _by_loss(losses: Sequence[float], one_shot: Sequence[float], truth: Sequence[float]) -> LossOrder:
    upwards = [-loss for loss in losses]
    return LossOrder(
        tau=rank_agreement(upwards, truth),
        best=best_agreement(upwards, truth, counts=TOP_COUNTS),
        difference=paired_difference(one_shot, upwards, truth),
    )


def _ceiling(trainings: Sequence[Sequence[float | None]]) -> NoiseCeiling | None:
    """Agreement of all pairs of seeds, given the accuracies per network and seed."""
    seeds = min(len(each) for each in trainings)
    if seeds < 2:
        return None
    columns = np.array([each[:seeds] for each in trainings], dtype=float).T
    couples = list(itertools.combinations(columns, 2))
    tau = math.fsum(kendall_tau(a, b) for a, b in couples) / len(couples)
    interval = _interval_of_mean(couples, tau)
    return NoiseCeiling(tau, interval, len(trainings), seeds, len(couples), _reachable(tau, seeds))


def _interval_of_mean(couples: Sequence[tuple[np.ndarray, np.ndarray]], tau: float) -> tuple[float, float]:
    """Interval of `tau`, the mean tau of pairs of lists (n,): all pairs use the same resamples of networks."""
    if math.isnan(tau):
        return math.nan, math.nan
    if len(couples) == 1 or abs(tau) > 1 - 1e-12:  # if all agree perfectly, any pair represents the others
        return rank_agreement(*(each.tolist() for each in couples[0])).interval
    n = len(couples[0][0])

    def one_mean(drawn: np.ndarray) -> float:
        return float(np.mean([np.nan_to_num(kendall_tau(a[drawn], b[drawn])) for a, b in couples]))

    if n > PAIRWISE_LIMIT:  # matrices would take too much memory: fewer resamples, one at a time, as for a single pair
        return bca_interval(n, one_mean, 0, vectorised=False)
    pairs = [Pairs(signs_of(a), signs_of(b)) for a, b in couples]

    def mean_tau(drawn: np.ndarray) -> np.ndarray:
        counts = counts_of(drawn, n)
        return np.mean([each.tau(counts) for each in pairs], axis=0)

    return bca_interval(n, mean_tau, 0)


def _reachable(tau: float, seeds: int) -> float | None:
    single = math.sin(math.pi / 2 * tau)  # correlation of two seeds: the share of their variance that is not noise
    if not single > 0:
        return None
    mean = seeds * single / (1 + (seeds - 1) * single)
    return 2 / math.pi * math.asin(min(1.0, math.sqrt(mean)))


def _advice(study: RankingStudy) -> Iterator[str]:
    tau = study.tau
    if math.isnan(tau.tau):
        yield "All one-shot or all stand-alone accuracies are equal, so there is no order to compare."
    if study.ceiling is None:
        yield "Each network was trained once, so the noise ceiling is unknown: train with 2 seeds or more."
    elif not study.ceiling.tau >= LOW_CEILING:
        yield (
            f"Two trainings of the same networks agree only to tau = {study.ceiling.tau:.2f}: their accuracies differ "
            "too little for any tau to mean much here."
        )
    known = {name: found for name, found in study.predictors.items() if not math.isnan(found.tau)}
    for name, found in known.items():
        if abs(found.tau) >= tau.tau:
            fewest = ", the fewest first," if found.tau < 0 else ""
            yield f"{PREDICTORS[name].capitalize()} alone{fewest} order these networks as well (tau = {found.tau:.2f})."
    if not math.isnan(tau.tau):
        behind = [name for name, found in known.items() if abs(found.tau) < tau.tau]
        if behind:  # the best of them is the hardest to separate from the supernet
            name = max(behind, key=lambda name: abs(known[name].tau))
            yield from _too_few(study.differences[name], "the supernet", PREDICTORS[name])
        if study.against:
            yield from _too_few(study.against.difference, "this supernet", f"that of {study.against.name}")
    if study.corrected and study.sum_is_better and study.corrected.difference.certain:
        yield (
            f"One-shot cross-entropy and {PREDICTORS[study.corrected.cost]}, summed with weights fitted to trained "
            f"networks, order those they were not fitted to better than one-shot accuracy does "
            f"(tau = {study.corrected.tau:.2f})."
        )
    low, high = tau.interval
    if high - low > 2 * AGREED_WIDTH:
        wanted = models_for_width(tau.interval, tau.n)
        yield (
            f"With {tau.n} networks tau is known only to lie between {low:.2f} and {high:.2f}; about {wanted:,} "
            f"would tell it to {AGREED_WIDTH / 2:.1f}."
        )
    if study.diverged:
        networks = "1 network was" if study.diverged == 1 else f"{study.diverged} networks were"
        yield f"{networks} left out because a training diverged."


def _too_few(found: TauDifference, first: str, second: str) -> Iterator[str]:
    """Sentences that two predictors cannot be separated, and with how many networks they could."""
    if found.certain or math.isnan(found.difference):
        return
    low, high = found.interval
    wanted = f"about {found.models_needed:,} would" if found.models_needed else "no number of networks is known to"
    yield (
        f"With {found.n} networks, {first} and {second} cannot be told apart (difference of tau "
        f"{found.difference:.2f} [{low:.2f}, {high:.2f}]); {wanted}."
    )
