"""Finite numbers out of plain data that a file held."""

import math
from typing import Any


def number(value: Any) -> float | None:
    """A finite number, or None: JSON has null or NaN for what could not be measured."""
    return float(value) if value is not None and math.isfinite(value) else None


def finite(value: Any) -> float:
    """A finite number. Raises `ValueError` for any other, and `TypeError` for what is none."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value} is not a finite number")
    return found
