"""A supernet's order of networks, corrected by those that were trained from scratch.

Supernets err alike in what holds for whole kinds of networks: they give depth too little credit (docs/ranking.md). A
weighted sum of one-shot loss and depth that is fitted to a dozen trained networks puts that right, and orders those it
was not fitted to better than either.
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
"""To leave two out and fit two weights to what is left."""
PENALTY = 1.0
"""On the squared weights of parts in standard deviations: a dozen networks would overfit without. The macro study's."""


@dataclass(frozen=True)
class Correction:
    """A weighted sum of the one-shot loss and a cost, and how well it orders networks that it was not fitted to."""

    cost: str
    """What is summed with the loss."""
    weights: dict[str, float]
    """Accuracy per unit of `loss` (nats) and of the cost, fitted to all models."""
    intercept: float
    """So predicted accuracy = intercept + the weighted sum."""
    tau: float
    """Tau-b with the truth; each pair of models is ordered by a sum fitted to all others."""
    interval: tuple[MaybeNan, MaybeNan]
    """95 % interval: BCa bootstrap over models, with the fits as they are; for a perfect order, that of one with its
    middle two exchanged, widened to the perfect end."""
    n: int
    """Models."""
    difference: TauDifference
    """Tau of the one-shot accuracies less this tau."""

    def predicted(self, loss: float, cost: float) -> float:
        """The accuracy of a network by the sum that is fitted to all models."""
        return self.intercept + self.weights["loss"] * loss + self.weights[self.cost] * cost


def fitted_correction(
    loss: Sequence[float],
    cost: tuple[str, Sequence[float]],
    one_shot: Sequence[float],
    truth: Sequence[float],
    *,
    seed: int = 0,
) -> Correction | None:
    """Fit the sum, and judge it on models left out, two at a time.

    Leaving one out would not do: the mean of the others is lower the better the one is, which bends the order; two that
    are left out are ordered by one and the same fit (Airola and others, Neurocomputing 2009, for ROC areas).

    Args:
        loss: one-shot cross-entropy per model.
        cost: name and values of what is summed with it.
        one_shot: accuracies, to compare with.
        truth: stand-alone accuracies.
        seed: of the bootstrap.

    Returns:
        None for fewer than `FEWEST_MODELS`, for more than `PAIRWISE_LIMIT`, or if the truth or all else is constant.

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
    if abs(tau) > 1 - 1e-12:  # nothing to resample: as in `rank_agreement`, its middle two are exchanged
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
    """An order with two models the other way round: of the true neighbours that are not tied, those in the middle."""
    ranks = np.argsort(y)
    place = min(np.flatnonzero(np.diff(y[ranks])), key=lambda place: abs(place - (len(y) // 2 - 1)))
    i, j = ranks[[place, place + 1]]
    changed = order.copy()
    changed[i, j], changed[j, i] = order[j, i], order[i, j]
    return changed


def fitted_weights(parts: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares with an intercept and the penalty.

    Args:
        parts: (n, k), in units in which the penalty is meant.
        y: (n,), what is fitted to.

    Returns:
        (k,), a weight per part.
    """
    centred = parts - parts.mean(axis=0)
    return np.linalg.solve(centred.T @ centred + PENALTY * np.eye(parts.shape[1]), centred.T @ (y - y.mean()))


def left_out_order(parts: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether model i comes before or after j by a sum that is fitted to all but these two: (n, n) of 1, 0 and -1.

    Args:
        parts: (n, k), in units in which the penalty is meant.
        y: (n,), what is fitted to.
    """
    n, count = parts.shape
    rows = np.column_stack([parts, y])
    rows = rows - rows.mean(axis=0)  # sums of squares of small numbers lose no digits
    squares = rows[:, :, None] * rows[:, None, :]
    total, total_squares, left = rows.sum(axis=0), squares.sum(axis=0), n - 2
    order = np.zeros((n, n))
    for i in range(n):  # sums over all but i and j, for every j at once
        sums = total - rows[i] - rows
        moments = total_squares - squares[i] - squares - sums[:, :, None] * sums[:, None, :] / left
        moments[i] = 0  # i and i: no pair
        inputs, targets = moments[:, :count, :count], moments[:, :count, count:]
        weights = np.linalg.solve(inputs + PENALTY * np.eye(count), targets)[..., 0]
        order[i] = np.sign(((rows[i] - rows)[:, :count] * weights).sum(axis=1))
    np.fill_diagonal(order, 0)
    return order
