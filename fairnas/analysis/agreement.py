"""Agreement of scores with the truth among the best networks, and for choosing one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.analysis.ranking import same_models
from fairnas.record import MaybeNan


@dataclass(frozen=True)
class BestAgreement:
    """Agreement of two lists about the best models, in addition to `RankAgreement`, which covers all models."""

    pearson: MaybeNan
    """Linear correlation; NaN if either list is constant."""
    best_tau: MaybeNan
    """Kendall's tau-b among the truly best share of the models; NaN if either list is constant there."""
    best_n: int
    """Number of models in that share, including those tied with the last."""
    regret: dict[int, float]
    """Regret by k: distance of the truly best of the k models with the highest predictions from the truly best of all.
    If predictions tie for the last places, the truly worst are taken, so ties never improve the result.
    """
    n: int


def best_agreement(
    predicted: Sequence[float], truth: Sequence[float], *, share: float = 0.1, counts: Sequence[int] = (1, 10, 100)
) -> BestAgreement:
    """Compare two lists of the same models with regard to the best ones.

    Args:
        predicted: one number per model, such as one-shot accuracies; more is better.
        truth: true values in the same order, such as stand-alone accuracies.
        share: share of the truly best models among which tau is computed; at least 3 models.
        counts: values of k for the regret; those above the number of models are ignored.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    from scipy.stats import kendalltau

    x, y = same_models(predicted=predicted, truth=truth)
    constant = np.ptp(x) == 0 or np.ptp(y) == 0
    wanted = max(3, math.ceil(share * len(y)))
    best = y >= np.sort(y)[-wanted]
    tau = math.nan
    if np.ptp(x[best]) and np.ptp(y[best]):
        found: Any = kendalltau(x[best], y[best])
        tau = float(found.statistic)
    order = np.lexsort((y, -x))  # highest predictions first; among equal ones, the truly worst first
    regret = {k: float(y.max() - y[order[:k]].max()) for k in counts if k <= len(y)}
    return BestAgreement(
        pearson=math.nan if constant else float(np.corrcoef(x, y)[0, 1]),
        best_tau=tau,
        best_n=int(best.sum()),
        regret=regret,
        n=len(x),
    )
