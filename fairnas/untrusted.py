"""Parsers of untrusted text: JSON and TOML with bounds on what a few bytes can ask for.

The parsers of the standard library raise several kinds of errors for hostile text: nested deeper than Python can
recurse, or with numbers of thousands of digits, which overflow later when they are used or printed. Here all of them
are a `ValueError` in one line.
"""

import json
import tomllib
from typing import Any

MOST_NESTED = 64
"""Largest depth of nested lists and tables. Files of fairnas have less than ten levels."""
MOST_DIGITS = 30
"""Largest number of digits of a whole number. Files of fairnas have less than twenty."""


class RefusedJsonError(json.JSONDecodeError):
    """JSON that asks for too much; unlike a syntax error, it has no position in the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "", 0)

    def __str__(self) -> str:
        return self.msg


def parse_json(text: str | bytes) -> Any:
    """Parse JSON. Raises `json.JSONDecodeError` for everything that is refused."""
    try:
        content = json.loads(text, parse_int=_whole)
        _require_shallow(content)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise RefusedJsonError("it is nested too deeply") from None
    except ValueError as error:
        raise RefusedJsonError(str(error)) from None
    return content


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `tomllib.TOMLDecodeError` for everything that is refused."""
    try:
        content = tomllib.loads(text)
        _require_shallow(content)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from None
    except (ValueError, OverflowError) as error:  # from numbers and dates
        raise tomllib.TOMLDecodeError(str(error)) from None
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits, {MOST_DIGITS} are read")
    return int(digits)


def _require_shallow(content: Any) -> None:
    """Raise `ValueError` for deep nesting (iterative, because of the depth) or, as TOML has no hook, long numbers."""
    level, depth = [content], 0
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
                raise ValueError(f"it holds a number of more than {MOST_DIGITS} digits")
        level, depth = inner, depth + 1
        if depth > MOST_NESTED:
            raise ValueError(f"it is nested too deeply, {MOST_NESTED} levels are read")
