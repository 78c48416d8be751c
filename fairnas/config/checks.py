"""Checks of settings. Each error names the setting, the value given and the values allowed."""

import re
import warnings
from typing import Any

from fairnas.errors import ConfigError, UnknownNameError

LARGEST_COUNT = 2**53
"""Largest whole number that a setting accepts: every whole number up to it is also exact as a float."""


def at_least(name: str, value: float | None, low: float, most: int = LARGEST_COUNT) -> None:
    """Raise `ConfigError` unless the value is None or a finite number of at least `low`.

    Args:
        name: name of the setting, for the message.
        value: the value given.
        low: smallest value allowed.
        most: largest value allowed, for whole numbers.
    """
    if value is None:
        return
    if isinstance(value, int) and value > most:
        raise ConfigError(f"{name} is {as_text(value)}; give {most:,} or less")
    if not low <= value < float("inf"):
        raise ConfigError(f"{name} is {as_text(value)}; give {low} or more")


def above_zero(name: str, value: float | None) -> None:
    """Raise `ConfigError` unless the value is None, or a finite number above 0."""
    if isinstance(value, int) and value > LARGEST_COUNT:
        raise ConfigError(f"{name} is {as_text(value)}; give {LARGEST_COUNT:,} or less")
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{name} is {as_text(value)}; give a number above 0")


def in_range(name: str, value: float, low: float, high: float) -> None:
    """Raise `ConfigError` unless the value is from `low` to `high`."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {as_text(value)}; give a number from {low} to {high}")


def as_text(value: float) -> str:
    """Return a number as text, also one with more digits than Python agrees to print."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number of about {int(value.bit_length() * 0.30103):,} digits"
    return str(value)


def one_of(name: str, value: str, literal: Any) -> None:
    """Raise a `ConfigError` with the nearest allowed value unless the value is one of a `Literal`."""
    allowed = literal.__args__
    if value not in allowed:
        raise ConfigError(f"{name}: {UnknownNameError('value', value, allowed)}")


def quoted(pattern: str) -> str:
    """Return a pattern in quotes on one line, without doubling its backslashes."""
    return repr(pattern).replace("\\\\", "\\")


def pattern(name: str, value: str) -> None:
    """Raise `ConfigError` unless the value is a valid regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a FutureWarning about nested sets is no error
            re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"{name} is {quoted(value)}, which is no regular expression ({error}); "
            r"give one with a group, such as 'video_(\d+)', or FILE.csv:COLUMN"
        ) from None
