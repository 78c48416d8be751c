"""Quantities with a unit or a suffix, such as 330M or 20ms."""

import math
import re

from fairnas.errors import ConfigError

_EXPONENTS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9}  # of ten, by suffix
_MILLISECONDS = {"us": -3, "ms": 0, "s": 3}  # powers of ten, by unit


def parse_quantity(text: str) -> float:
    """Read `330M`, `4.5M`, `1.2G`, `900k` or a plain number. Raises `ConfigError` for anything else."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)(?:([kKMG]?)|([eE]\+?\d+))\s*", text, re.ASCII)
    if match is None:
        raise ConfigError(f"'{text}' is not a quantity; write a number above 0 with k, M or G, such as 330M")
    number, suffix, exponent = match.groups()
    # the suffix becomes an exponent of the text, because a product would not be the nearest float
    value = float(number + (exponent or f"e{_EXPONENTS[suffix or '']}"))
    if not 0 < value < math.inf:
        raise ConfigError(f"'{text}' is not a quantity above 0; write a number with k, M or G, such as 330M")
    return value


def parse_milliseconds(text: str) -> float:
    """Read `20ms`, `850us` or `0.02s` as milliseconds. Raises `ConfigError` for anything else; the unit is needed."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)(us|ms|s)\s*", text, re.ASCII)
    value = float(f"{match[1]}e{_MILLISECONDS[match[2]]}") if match else 0.0
    if not 0 < value < math.inf:
        raise ConfigError(f"'{text}' is not a time; write a number above 0 with us, ms or s, such as 20ms")
    return value
