"""Comparison of two ways of training over the same seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contrast:
    """Difference between two ways of training, seed by seed."""

    difference: float
    """Mean difference over the seeds that both finished, first less second."""
    interval: tuple[float, float] | None
    """95 % interval of that mean (Student's t over the paired differences); None with fewer than two seeds."""
    overlap: bool
    """True if the ranges of the two over the seeds overlap."""
    n: int

    @property
    def certain(self) -> bool:
        """True if a winner may be named: the interval excludes zero, and the ranges do not overlap."""
        if self.interval is None or self.overlap:
            return False
        low, high = self.interval
        return low > 0 or high < 0


def contrast(first: Sequence[float | None], second: Sequence[float | None]) -> Contrast | None:
    """Compare two ways by one value per seed, in the same order; seeds with None (diverged) are left out.

    Returns None if no seed was finished by both.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    differences = [a - b for a, b in pairs]
    mean = statistics.fmean(differences)
    ours, theirs = zip(*pairs, strict=True)
    overlap = min(ours) <= max(theirs) and min(theirs) <= max(ours)
    return Contrast(mean, mean_interval(differences), overlap, len(pairs))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of values (Student's t); None with fewer than two."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit  # importing scipy.stats would take a second longer

    mean = statistics.fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half
