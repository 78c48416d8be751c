"""Comparison of two predictors of the same models: their difference in tau, and the number of models to show it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fairnas.analysis.ranking import same_models
from fairnas.analysis.resampling import PAIRWISE_LIMIT, Pairs, bca_interval, counts_of, signs_of
from fairnas.record import MaybeNan

AGREED_WIDTH = 0.2
"""Width of a tau interval for `models_for_width`: tau is then known to about 0.1."""


@dataclass(frozen=True)
class TauDifference:
    """Difference between the taus of two predictors on the same models."""

    difference: MaybeNan
    """Tau-b of the first with the truth less that of the second; NaN if a list is constant."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval: BCa bootstrap over models, both taus from the same resamples. NaN if a list is constant."""
    n: int
    """Number of models."""
    models_needed: int | None
    """Estimated number of models with which the interval would exclude 0 if the difference stayed the same: widths
    shrink with the root of n. None if the difference is 0 or undefined. At most n if it excludes 0 now.
    """

    @property
    def certain(self) -> bool:
        """True if the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0


def paired_difference(
    first: Sequence[float], second: Sequence[float], truth: Sequence[float], *, seed: int = 0
) -> TauDifference:
    """Compare two predictors of the same models, such as the one-shot accuracies of two supernets.

    Two predictors that order all models alike differ by 0 in every resample; then the interval is [0, 0].

    Args:
        first: one number per model; more is better.
        second: the same for the other predictor.
        truth: true values in the same order, such as stand-alone accuracies.
        seed: of the bootstrap.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    a, b, y = same_models(first=first, second=second, truth=truth)
    n = len(y)
    if not (np.ptp(a) and np.ptp(b) and np.ptp(y)):
        return TauDifference(math.nan, (math.nan, math.nan), n, None)
    if n <= PAIRWISE_LIMIT:
        first_order, second_order, true = signs_of(a), signs_of(b), signs_of(y)
        return difference_of(Pairs(first_order, true), Pairs(second_order, true), n, seed)
    found = _tau(a, y) - _tau(b, y)
    interval = bca_interval(
        n, lambda drawn: _tau(a[drawn], y[drawn]) - _tau(b[drawn], y[drawn]), seed, vectorised=False
    )
    return TauDifference(found, interval, n, _models_needed(found, interval, n))


def difference_of(first: Pairs, second: Pairs, n: int, seed: int) -> TauDifference:
    """Difference from the pairs of each predictor with the truth; neither may be constant."""

    def differences(drawn: np.ndarray) -> np.ndarray:
        counts = counts_of(drawn, n)
        return first.tau(counts) - second.tau(counts)

    found = float(differences(np.arange(n)))
    interval = bca_interval(n, differences, seed)
    return TauDifference(found, interval, n, _models_needed(found, interval, n))


def _tau(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import kendalltau

    return float(np.nan_to_num(cast(Any, kendalltau(x, y)).statistic))


def _models_needed(difference: float, interval: tuple[float, float], n: int) -> int | None:
    if abs(difference) < 1e-12:  # 0, up to rounding
        return None
    low, high = interval
    reach = difference - low if difference > 0 else high - difference  # half-width of the interval towards 0
    return max(3, math.floor(n * (reach / difference) ** 2) + 1)


def models_for_width(interval: tuple[float, float], n: int, width: float = AGREED_WIDTH) -> int:
    """Estimated number of models with which an interval of tau has a given width."""
    low, high = interval
    return max(3, math.ceil(n * ((high - low) / width) ** 2))
