"""Similarity of the feature maps of a layer's choice blocks, which explains single-path training (paper 5, Figure 2).

A feature map is a vector of its pixels, and two of them are compared by the cosine of their angle: 1 is equal but for a
scale, 0 is unrelated, -1 is opposite. Three comparisons are made in one layer: *same channel of different blocks*
(Figures 2, 9, 13), *different channels of one block* (Figure 12), *different channels of different blocks* (Figure 14).
The latter two are controls for the first, because non-negative maps are similar whatever they show.

A map that is zero everywhere (a dead channel) has no direction. Such maps are counted, and their pairs left out.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fairnas.errors import FairnasError


class FeatureMapsError(FairnasError):
    """Feature maps that cannot be compared."""


@dataclass(frozen=True)
class Spread:
    """Mean and spread of some cosines. NaN if there are none."""

    mean: float
    mean_absolute: float
    """Mean absolute value, because cosines of both signs can cancel in the mean."""
    std: float
    quartiles: tuple[float, float, float]
    lowest: float
    n: int

    @staticmethod
    def of(values: np.ndarray) -> "Spread":
        """Spread of the values that are not NaN."""
        known = values[~np.isnan(values)]
        if not len(known):
            return Spread(np.nan, np.nan, np.nan, (np.nan, np.nan, np.nan), np.nan, 0)
        low, middle, high = np.quantile(known, (0.25, 0.5, 0.75)).tolist()
        return Spread(
            float(known.mean()),
            float(np.abs(known).mean()),
            float(known.std()),
            (low, middle, high),
            float(known.min()),
            len(known),
        )


@dataclass(frozen=True, eq=False)
class LayerSimilarity:
    """Cosines between the feature maps of the m choice blocks of a layer, C channels each."""

    cosines: np.ndarray
    """(m, C, m, C), mean over samples; NaN where one of the two maps is zero in every sample."""
    samples: tuple[float, ...]
    """Mean cosine on the same channel, over pairs of blocks and channels, per sample."""
    dead: tuple[int, ...]
    """Number of maps (of C times samples) that are zero everywhere, per block."""

    @property
    def blocks(self) -> int:
        """Number of blocks, m."""
        return self.cosines.shape[0]

    @property
    def channels(self) -> int:
        """Number of channels, C."""
        return self.cosines.shape[1]

    @property
    def same_channel(self) -> np.ndarray:
        """(C, m, m): cosines between blocks on the same channel (Figure 13)."""
        return np.einsum("acbc->cab", self.cosines)

    @property
    def across_blocks(self) -> np.ndarray:
        """(m, m): mean of these cosines over channels (Figure 2, right)."""
        return _mean_of_known(self.same_channel)

    def within(self, block: int) -> np.ndarray:
        """(C, C): cosines between the channels of one block (Figure 12)."""
        return self.cosines[block, :, block]

    def between(self, first: int, second: int) -> np.ndarray:
        """(C, C): cosines between channels of one block (rows) and those of another (Figure 14)."""
        return self.cosines[first, :, second]

    @property
    def aligned(self) -> Spread:
        """Spread on the same channel of different blocks, over pairs of both; its mean is the key number."""
        return Spread.of(self.same_channel[:, *np.triu_indices(self.blocks, 1)].ravel())

    @property
    def cross_channel(self) -> Spread:
        """Spread over different channels of the same block."""
        upper = np.triu_indices(self.channels, 1)
        return Spread.of(np.concatenate([self.within(block)[upper] for block in range(self.blocks)]))

    @property
    def cross_both(self) -> Spread:
        """Spread over different channels of different blocks."""
        different = ~np.eye(self.channels, dtype=bool)
        pairs = itertools.combinations(range(self.blocks), 2)
        parts = [self.between(first, second)[different] for first, second in pairs]
        return Spread.of(np.concatenate(parts) if parts else np.empty(0))


def layer_similarity(samples: Iterable[np.ndarray]) -> LayerSimilarity:
    """Compare the feature maps of the choice blocks of one layer.

    Args:
        samples: one or more arrays (m, C, H, W): outputs of the m blocks for the same input. Cosines are computed in
            every sample, such as an image or a path up to the layer, and averaged.

    Raises:
        FeatureMapsError: if there is no sample, a map holds a number that is not finite, or shapes differ.
    """
    total = count = dead = None
    means: list[float] = []
    for maps in samples:
        if maps.ndim != 4 or 0 in maps.shape:
            raise FeatureMapsError(f"feature maps have shape {maps.shape}; give (blocks, channels, height, width)")
        if not np.isfinite(maps).all():
            raise FeatureMapsError("feature maps hold numbers that are not finite; look at the weights")
        cosines = _cosines(maps)
        known = ~np.isnan(cosines)
        if total is None or count is None or dead is None:
            total, count = np.zeros_like(cosines), np.zeros(cosines.shape, np.int64)
            dead = np.zeros(maps.shape[0], np.int64)
        elif cosines.shape != total.shape:
            raise FeatureMapsError(f"samples have {total.shape[:2]} and {cosines.shape[:2]} blocks and channels")
        total += np.where(known, cosines, 0)
        count += known
        dead += np.isnan(np.einsum("acac->ac", cosines)).sum(axis=1)
        same = np.einsum("acbc->cab", cosines)[:, *np.triu_indices(len(maps), 1)]
        means.append(Spread.of(same.ravel()).mean)
    if total is None or count is None or dead is None:
        raise FeatureMapsError("there are no feature maps to compare")
    with np.errstate(invalid="ignore"):
        return LayerSimilarity(total / count, tuple(means), tuple(dead.tolist()))


def _cosines(maps: np.ndarray) -> np.ndarray:
    """(m, C, m, C) of one sample; NaN where a map is zero."""
    m, channels = maps.shape[:2]
    vectors = maps.reshape(m * channels, -1).astype(np.float64)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        vectors /= largest  # scaled first, so that no square underflows or overflows
        vectors /= np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.clip(vectors @ vectors.T, -1, 1).reshape(m, channels, m, channels)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of values that are not NaN; NaN if there are none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
