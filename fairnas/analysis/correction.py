"""Order of networks by a supernet, corrected with the help of networks trained from scratch.

The errors of supernets are systematic: they underrate deep networks (docs/results/ranking.md). A weighted sum of
one-shot loss and depth, fitted to a dozen trained networks, corrects this, and orders other networks better than loss
or depth alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.analysis.difference import TauDifference, difference_of
from fairnas.analysis.ranking import same_models
from fairnas.analysis.resampling import PAIRWISE_LIMIT, Pairs, bca_interval, counts_of, signs_of
from fairnas.record import MaybeNan

FEWEST_MODELS = 6
"""Smallest number of models: two are left out, and two weights are fitted to the rest."""
PENALTY = 1.0
"""Penalty on the squared weights of standardised parts: without it a dozen networks would overfit. As in the macro
study.
"""


@dataclass(frozen=True)
class Correction:
    """Weighted sum of the one-shot loss and a cost, and how well it orders networks that it was not fitted to."""

    cost: str
    """Name of the cost that is added to the loss."""
    weights: dict[str, float]
    """Accuracy per unit of `loss` (nats) and of the cost, fitted to all models."""
    intercept: float
    """Intercept: predicted accuracy = intercept + weighted sum."""
    tau: float
    """Tau-b with the truth; each pair of models is ordered by a sum that was fitted to all others."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval: BCa bootstrap over models, without refitting; for a perfect order, that of the order with its
    middle two models exchanged, extended to the perfect end.
    """
    n: int
    """Number of models."""
    difference: TauDifference
    """Tau of the one-shot accuracies less this tau."""

    def predicted(self, loss: float, cost: float) -> float:
        """Predicted accuracy of a network, by the sum that was fitted to all models."""
        return self.intercept + self.weights["loss"] * loss + self.weights[self.cost] * cost


def fitted_correction(
    loss: Sequence[float],
    cost: tuple[str, Sequence[float]],
    one_shot: Sequence[float],
    truth: Sequence[float],
    *,
    seed: int = 0,
) -> Correction | None:
    """Fit the sum, and evaluate it on models left out, two at a time.

    Leaving out one model would bias the order: the better a model, the lower the mean of the others. Two models that
    are left out together are ordered by the same fit (Airola and others, Neurocomputing 2009, for ROC areas).

    Args:
        loss: one-shot cross-entropy per model.
        cost: name and values of the cost.
        one_shot: accuracies, for comparison.
        truth: stand-alone accuracies.
        seed: of the bootstrap.

    Returns:
        None for fewer than `FEWEST_MODELS`, for more than `PAIRWISE_LIMIT`, or if the truth or all predictors are
        constant.

    Raises:
        FairnasError: for lists of different lengths, fewer than 3 models, or values that are not finite.
    """
    name, values = cost
    x, c, own, y = same_models(loss=loss, **{name: values}, one_shot=one_shot, truth=truth)
    n = len(y)
    if not FEWEST_MODELS <= n <= PAIRWISE_LIMIT or np.ptp(y) == 0:
        return None
    parts = np.column_stack([x, c])
    scale = np.where(np.ptp(parts, axis=0) > 0, parts.std(axis=0), 1.0)
    weights = fitted_weights(parts / scale, y) / scale
    order = left_out_order(parts / scale, y)
    pairs = Pairs(order, signs_of(y))
    if not pairs.are_ordered:
        return None
    tau = float(pairs.tau(np.ones(n)))
    resampled = pairs
    # a perfect order cannot be resampled: as in `rank_agreement`, its middle two models are exchanged
    if abs(tau) > 1 - 1e-12:
        resampled = Pairs(_middle_exchanged(order, y), signs_of(y))
    low, high = bca_interval(n, lambda drawn: resampled.tau(counts_of(drawn, n)), seed)
    return Correction(
        cost=name,
        weights={"loss": float(weights[0]), name: float(weights[1])},
        intercept=float(y.mean() - parts.mean(axis=0) @ weights),
        tau=tau,
        interval=(min(low, tau), max(high, tau)),
        n=n,
        difference=(
            difference_of(Pairs(signs_of(own), signs_of(y)), pairs, n, seed)
            if np.ptp(own)
            else TauDifference(math.nan, (math.nan, math.nan), n, None)
        ),
    )


def _middle_exchanged(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Order with two models exchanged: the middle pair among true neighbours that are not tied."""
    ranks = np.argsort(y)
    place = min(np.flatnonzero(np.diff(y[ranks])), key=lambda place: abs(place - (len(y) // 2 - 1)))
    i, j = ranks[[place, place + 1]]
    changed = order.copy()
    changed[i, j], changed[j, i] = order[j, i], order[i, j]
    return changed


def fitted_weights(parts: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares with an intercept and the penalty.

    Args:
        parts: (n, k), in the units of the penalty.
        y: (n,), target.

    Returns:
        (k,), a weight per part.
    """
    centred = parts - parts.mean(axis=0)
    return np.linalg.solve(centred.T @ centred + PENALTY * np.eye(parts.shape[1]), centred.T @ (y - y.mean()))


def left_out_order(parts: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Order of models i and j by a sum fitted to all but these two: (n, n) of 1, 0 and -1.

    Args:
        parts: (n, k), in the units of the penalty.
        y: (n,), target.
    """
    n, count = parts.shape
    rows = np.column_stack([parts, y])
    rows = rows - rows.mean(axis=0)  # centred, so that sums of squares lose no digits
    squares = rows[:, :, None] * rows[:, None, :]
    total, total_squares, left = rows.sum(axis=0), squares.sum(axis=0), n - 2
    order = np.zeros((n, n))
    for i in range(n):  # sums over all models but i and j, for every j at once
        sums = total - rows[i] - rows
        moments = total_squares - squares[i] - squares - sums[:, :, None] * sums[:, None, :] / left
        moments[i] = 0  # the pair (i, i) does not exist
        inputs, targets = moments[:, :count, :count], moments[:, :count, count:]
        weights = np.linalg.solve(inputs + PENALTY * np.eye(count), targets)[..., 0]
        order[i] = np.sign(((rows[i] - rows)[:, :count] * weights).sum(axis=1))
    np.fill_diagonal(order, 0)
    return order
