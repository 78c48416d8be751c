"""Parsers of `metrics.jsonl` and `versions.json`; other files of a run are records of their own rooms.

Content that fairnas does not write raises `KeyError`, `TypeError`, `AttributeError`, `IndexError` or `ValueError`; the
caller, which opened the file, adds its name.
"""

import math
from dataclasses import dataclass
from typing import Any

from fairnas.config import Measure


@dataclass(frozen=True)
class Epoch:
    """One epoch of supernet training; accuracies (0 to 1, by the run's measure) are None if they were not measured."""

    epoch: int
    loss: float
    accuracy_mean: float | None
    accuracy_std: float | None


def parse_epochs(rows: Any, measure: Measure = "top1") -> tuple[Epoch, ...]:
    """Read the training rows of `metrics.jsonl`."""
    return tuple(
        Epoch(
            epoch=int(row["epoch"]),
            loss=float(row["loss"]),
            accuracy_mean=number(row.get(f"one_shot_{measure}_mean")),
            accuracy_std=number(row.get(f"one_shot_{measure}_std")),
        )
        for row in rows
    )


def parse_versions(plain: Any) -> dict[str, str]:
    """Read `versions.json`: a version per package."""
    return {str(name): str(version) for name, version in plain.items()}


def number(value: Any) -> float | None:
    """Return a finite number or None; JSON has null or NaN for values that could not be measured."""
    return float(value) if value is not None and math.isfinite(value) else None
