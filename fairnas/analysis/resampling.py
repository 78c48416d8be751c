"""Bootstrap intervals of statistics over pairs of models.

A resample draws models with repetition, so it is determined by the count of each model. Sums over its pairs are
quadratic forms in these counts, with matrices that are the same for all resamples.
"""

import math
import warnings
from collections.abc import Callable

import numpy as np

RESAMPLES = 4999  # with one more, 2.5 % of them is a whole number
PAIRWISE_LIMIT = 1000
"""Largest number of models for which statistics of all resamples are computed from n x n matrices."""


def signs_of(values: np.ndarray) -> np.ndarray:
    """Order of each pair of models in a list: (n,) to (n, n) of 1, 0 and -1."""
    return np.sign(values[:, None] - values[None, :])


class Pairs:
    """All pairs of models in two orders: which pairs each order distinguishes, and where they agree."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        """Take two orders as `signs_of` returns them."""
        self._agreement, self._untied = a * b, (np.abs(a), np.abs(b))

    @property
    def are_ordered(self) -> bool:
        """True if each order distinguishes at least one pair."""
        return all(bool(matrix.any()) for matrix in self._untied)

    def tau(self, counts: np.ndarray) -> np.ndarray:
        """Tau-b if model i occurs `counts[..., i]` times; 0, no agreement, if a list is constant."""
        x, y = (_form(matrix, counts) for matrix in self._untied)
        untied = np.sqrt(x * y)
        return np.where(untied > 0, _form(self._agreement, counts) / np.maximum(untied, 1), 0.0)


def _form(matrix: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return ((counts @ matrix) * counts).sum(-1)  # exact, because all numbers are whole


def counts_of(drawn: np.ndarray, n: int) -> np.ndarray:
    """Count of each of n models in each row of `drawn` (..., k)."""
    rows = drawn.reshape(-1, drawn.shape[-1])
    places = rows + n * np.arange(len(rows))[:, None]
    counts = np.bincount(places.ravel(), minlength=n * len(rows))
    return counts.reshape(*drawn.shape[:-1], n).astype(float)


def bca_interval(
    n: int,
    statistic: Callable[[np.ndarray], np.ndarray | float],
    seed: int,
    *,
    vectorised: bool = True,
) -> tuple[float, float]:
    """95 % interval over models: bias-corrected and accelerated, or percentiles if there is no acceleration.

    Args:
        n: number of models.
        statistic: function of indices of models (..., k), along the last axis; of one row if not vectorised.
        seed: of the resamples.
        vectorised: True if the statistic takes many rows at once. If not, a fifth of the resamples are drawn.
    """
    from scipy.stats import bootstrap

    def along(drawn: np.ndarray, axis: int = -1) -> np.ndarray | float:
        assert axis in (-1, drawn.ndim - 1)
        return statistic(drawn)

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # warns about resamples whose models are all the same
        warnings.filterwarnings("ignore", message="The BCa confidence interval")
        result = bootstrap(
            (np.arange(n),),
            along if vectorised else statistic,
            vectorized=vectorised,
            n_resamples=RESAMPLES if vectorised else RESAMPLES // 5,  # one by one they take long
            batch=256,  # resamples in memory at a time
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    if math.isnan(low) or math.isnan(high):
        low, high = np.quantile(result.bootstrap_distribution, (0.025, 0.975))
    return float(low), float(high)
