"""How far scores can be trusted where it matters: among the best networks, and for choosing one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.analysis.ranking import same_models
from fairnas.record import MaybeNan


@dataclass(frozen=True)
class BestAgreement:
    """How well one list of numbers finds the best models of another. Beside `RankAgreement`, which is of all models."""

    pearson: MaybeNan
    """Linear correlation; NaN if either list is constant."""
    best_tau: MaybeNan
    """Kendall's tau-b among the truly best share of the models; NaN if either list is constant there."""
    best_n: int
    """Models of that share, those tied with the last of them included."""
    regret: dict[int, float]
    """By k: how far the truly best of the k models predicted best lies below the truly best of all. Where predictions
    tie for the last places, the truly worst are taken, so that ties never flatter."""
    n: int


def best_agreement(
    predicted: Sequence[float], truth: Sequence[float], *, share: float = 0.1, counts: Sequence[int] = (1, 10, 100)
) -> BestAgreement:
    """Compare two lists of the same models with regard to the best ones.

    Args:
        predicted: such as one-shot accuracies, one per model; more is better.
        truth: such as stand-alone accuracies, in the same order.
        share: of the models by truth, among which tau is computed; at least 3 models.
        counts: k for which regret is wanted, those above the number of models left out.

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
    order = np.lexsort((y, -x))  # best predictions first, of equal ones the truly worst
    regret = {k: float(y.max() - y[order[:k]].max()) for k in counts if k <= len(y)}
    return BestAgreement(
        pearson=math.nan if constant else float(np.corrcoef(x, y)[0, 1]),
        best_tau=tau,
        best_n=int(best.sum()),
        regret=regret,
        n=len(x),
    )
