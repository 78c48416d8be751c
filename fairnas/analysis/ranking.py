"""Rank correlation with a confidence interval (paper 4.4).

Kendall's tau-b counts pairs of models: concordant less discordant, over the geometric mean of the pairs not tied
in either list. 13 models are 78 pairs, so the paper's 0.9487 is 2 discordant pairs, and tau has steps of 2/78.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from fairnas.analysis.resampling import PAIRWISE_LIMIT, Pairs, bca_interval, counts_of, signs_of
from fairnas.errors import FairnasError
from fairnas.record import MaybeNan


@dataclass(frozen=True)
class RankAgreement:
    """Agreement of two lists of numbers about the order of models."""

    tau: MaybeNan
    """Kendall's tau-b, from -1 (reversed) to 1 (same order); NaN if either list is constant."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval of tau: bias-corrected and accelerated bootstrap over models. NaN with a constant list."""
    n: int
    """Number of models."""
    p_value: MaybeNan
    """P-value for no association (two-sided)."""
    spearman: MaybeNan
    """Spearman's rank correlation, for comparison with other work."""


class Agreement(Protocol):
    """A tau with its interval, as studies and reports hold it."""

    @property
    def tau(self) -> float:
        """Kendall's tau-b."""
        ...

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval."""
        ...

    @property
    def n(self) -> int:
        """Number of models."""
        ...


def rank_agreement(predicted: Sequence[float], truth: Sequence[float], *, seed: int = 0) -> RankAgreement:
    """Compare two orders of the same models.

    Ties count as in tau-b. A perfect (or perfectly reversed) order has no spread to resample; its interval is that of
    the order with its middle two (untied) models exchanged, extended to the perfect end, or [-1, 1] for fewer than 5
    models. If a few models give the bootstrap no acceleration, the interval consists of percentiles.

    Args:
        predicted: one number per model, such as one-shot accuracies.
        truth: true values in the same order, such as stand-alone accuracies.
        seed: of the bootstrap.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    from scipy.stats import kendalltau, spearmanr

    x, y = same_models(predicted=predicted, truth=truth)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankAgreement(math.nan, (math.nan, math.nan), len(x), math.nan, math.nan)
    kendall: Any = kendalltau(x, y)  # scipy's results have no types
    spearman: Any = spearmanr(x, y)
    tau = float(kendall.statistic)
    return RankAgreement(tau, _interval(x, y, tau, seed), len(x), float(kendall.pvalue), float(spearman.statistic))


def kendall_tau(x: np.ndarray, y: np.ndarray) -> float:
    """Tau-b of two lists of equal length; NaN if either is constant."""
    from scipy.stats import kendalltau

    return float(cast(Any, kendalltau(x, y)).statistic)  # scipy's results have no types


def same_models(**lists: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Lists of numbers for the same models, as arrays; names are for messages, the last list is the reference.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in lists.items()}
    *_, (last, truth) = arrays.items()
    for name, values in arrays.items():
        if values.shape != truth.shape or values.ndim != 1:
            raise FairnasError(
                f"{name} has shape {values.shape} and {last} {truth.shape}; give two lists of the same length"
            )
    if len(truth) < 3:
        raise FairnasError(f"{len(truth)} models are too few for a ranking; give 3 or more")
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise FairnasError("an accuracy is NaN or infinite; leave diverged models out, in both lists")
    return tuple(arrays.values())


def _interval(x: np.ndarray, y: np.ndarray, tau: float, seed: int) -> tuple[float, float]:
    def one_tau(drawn: np.ndarray) -> float:
        return float(np.nan_to_num(kendall_tau(x[drawn], y[drawn])))  # 0 for a constant list, as in `Pairs`

    n = len(x)
    if abs(tau) > 1 - 1e-12:  # every resample has the same tau, so a bootstrap would give an interval of width 0
        if n < 5:
            return (-1.0, 1.0)
        order = np.argsort(y)
        # among neighbours that are not tied, the pair nearest to the middle
        place = min(np.flatnonzero(np.diff(y[order])), key=lambda place: abs(place - (n // 2 - 1)))
        x = x.copy()
        x[order[[place, place + 1]]] = x[order[[place + 1, place]]]
        low, high = _interval(x, y, kendall_tau(x, y), seed)
        return (low, 1.0) if tau > 0 else (-1.0, high)
    if n > PAIRWISE_LIMIT:
        return bca_interval(n, one_tau, seed, vectorised=False)
    pairs = Pairs(signs_of(x), signs_of(y))
    return bca_interval(n, lambda drawn: pairs.tau(counts_of(drawn, n)), seed)
