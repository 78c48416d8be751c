"""Rank correlation with an interval (paper 4.4).

Kendall's tau-b counts pairs of models: concordant less discordant, over the geometric mean of the pairs not tied
in either list. 13 models are 78 pairs, so the paper's 0.9487 is 2 discordant pairs, and tau has steps of 2/78.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fairnas.errors import FairnasError

RESAMPLES = 4999
_PAIRWISE_LIMIT = 200
"""Up to so many models, tau of all resamples is computed at once from n x n sign matrices."""


@dataclass(frozen=True)
class RankAgreement:
    """How well one list of numbers orders models as another does."""

    tau: float
    """Kendall's tau-b, from -1 (reversed) to 1 (same order); NaN if either list is constant."""
    interval: tuple[float, float]
    """95 % interval of tau: bias-corrected and accelerated bootstrap over models. NaN with a constant list."""
    n: int
    """Models."""
    p_value: float
    """Of no association (two-sided)."""
    spearman: float
    """Spearman's rank correlation, for comparison with other work."""


def rank_agreement(predicted: Sequence[float], truth: Sequence[float], *, seed: int = 0) -> RankAgreement:
    """Compare two orders of the same models.

    Ties count as tau-b counts them. A perfect (or perfectly reversed) order has no spread to resample; its interval
    is that of the order with its middle two (untied) models exchanged, widened to the perfect end, or [-1, 1] for
    fewer than 5 models. A few models may leave the bootstrap no acceleration; then the interval is its percentiles.

    Args:
        predicted: such as one-shot accuracies, one per model.
        truth: such as stand-alone accuracies, in the same order.
        seed: of the bootstrap.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    from scipy.stats import kendalltau, spearmanr

    x, y = np.asarray(predicted, dtype=float), np.asarray(truth, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise FairnasError(f"predicted has shape {x.shape} and truth {y.shape}; give two lists of the same length")
    if len(x) < 3:
        raise FairnasError(f"{len(x)} models have no ranking to speak of; give 3 or more")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise FairnasError("an accuracy is NaN or infinite; leave diverged models out, in both lists")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankAgreement(math.nan, (math.nan, math.nan), len(x), math.nan, math.nan)
    kendall: Any = kendalltau(x, y)  # scipy's results have no types
    spearman: Any = spearmanr(x, y)
    tau = float(kendall.statistic)
    return RankAgreement(tau, _interval(x, y, tau, seed), len(x), float(kendall.pvalue), float(spearman.statistic))


def _interval(x: np.ndarray, y: np.ndarray, tau: float, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap, kendalltau

    def one_tau(a: np.ndarray, b: np.ndarray) -> Any:
        return np.nan_to_num(cast(Any, kendalltau(a, b)).statistic)  # 0 for a constant list, as in `_tau_b`

    n = len(x)
    if abs(tau) > 1 - 1e-12:
        if n < 5:
            return (-1.0, 1.0)
        order = np.argsort(y)
        # of the neighbours that are not tied, those nearest to the middle
        place = min(np.flatnonzero(np.diff(y[order])), key=lambda place: abs(place - (n // 2 - 1)))
        x = x.copy()
        x[order[[place, place + 1]]] = x[order[[place + 1, place]]]
        low, high = _interval(x, y, float(one_tau(x, y)), seed)
        return (low, 1.0) if tau > 0 else (-1.0, high)
    small = n <= _PAIRWISE_LIMIT
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # resamples with a constant list have no tau; see below
        warnings.filterwarnings("ignore", message="The BCa confidence interval")
        result = bootstrap(
            (x, y),
            _tau_b if small else one_tau,
            paired=True,
            vectorized=small,
            n_resamples=RESAMPLES if small else 999,
            batch=256,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    if math.isnan(low) or math.isnan(high):
        low, high = np.quantile(result.bootstrap_distribution, (0.025, 0.975))
    return (float(low), float(high))


def _tau_b(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Tau-b along the last axis, for many resamples at once. A constant resample counts as no agreement, 0."""
    assert axis in (-1, x.ndim - 1)
    a = np.sign(x[..., :, None] - x[..., None, :]).astype(np.int8)
    b = np.sign(y[..., :, None] - y[..., None, :]).astype(np.int8)
    agreement = np.einsum("...ij,...ij->...", a, b, dtype=np.int64)
    untied = np.sqrt(np.abs(a).sum((-1, -2), dtype=float) * np.abs(b).sum((-1, -2), dtype=float))
    return np.where(untied > 0, agreement / np.maximum(untied, 1), 0.0)
