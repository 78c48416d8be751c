"""Two predictors of the same models: whether one orders them better, and how many models would tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fairnas.analysis.ranking import same_models
from fairnas.analysis.resampling import PAIRWISE_LIMIT, Pairs, bca_interval, counts_of, signs_of
from fairnas.record import MaybeNan

AGREED_WIDTH = 0.2
"""Width of an interval of tau that `models_for_width` is usually asked for: tau is known to about 0.1."""


@dataclass(frozen=True)
class TauDifference:
    """How much better one predictor orders models than another does, on the same models."""

    difference: MaybeNan
    """Tau-b of the first with the truth less that of the second; NaN if a list is constant."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval: BCa bootstrap over models, both taus from the same resamples. NaN if a list is constant."""
    n: int
    """Models."""
    models_needed: int | None
    """An estimate of how many models such an interval needs to exclude 0, if the difference stays what it is: widths
    shrink as one over the root of n. None if the difference is 0 or not defined. At most n if it excludes 0 now."""

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0


def paired_difference(
    first: Sequence[float], second: Sequence[float], truth: Sequence[float], *, seed: int = 0
) -> TauDifference:
    """Compare two predictors of the same models, such as the one-shot accuracies of two supernets.

    Two predictors that order all models alike differ by 0 in every resample; then the interval is [0, 0].

    Args:
        first: a number per model; more is better.
        second: the same of the other predictor.
        truth: such as stand-alone accuracies, in the same order.
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
    """The same from the pairs of each predictor with the truth; neither may be constant."""

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
    if abs(difference) < 1e-12:
        return None
    low, high = interval
    reach = difference - low if difference > 0 else high - difference  # of the interval towards 0
    return max(3, math.floor(n * (reach / difference) ** 2) + 1)


def models_for_width(interval: tuple[float, float], n: int, width: float = AGREED_WIDTH) -> int:
    """An estimate of how many models an interval of tau needs to be so narrow."""
    low, high = interval
    return max(3, math.ceil(n * ((high - low) / width) ** 2))
