"""Supernet accuracy gap (paper 4.5): difference between the ranges of one-shot and stand-alone accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AccuracyGap:
    """Ranges of the same models' accuracies, and the difference of their widths."""

    one_shot: tuple[float, float]
    stand_alone: tuple[float, float]
    gap: float
    """Lambda = | width of the one-shot range - width of the stand-alone range |."""
    n: int


def accuracy_gap(one_shot: Sequence[float], stand_alone: Sequence[float]) -> AccuracyGap:
    """Ranges and lambda over the same models; at least one."""
    assert len(one_shot) == len(stand_alone) > 0
    ranges = [(min(values), max(values)) for values in (one_shot, stand_alone)]
    widths = [high - low for low, high in ranges]
    return AccuracyGap(ranges[0], ranges[1], abs(widths[0] - widths[1]), len(one_shot))
