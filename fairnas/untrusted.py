"""Text that anybody may have written, as plain data: JSON and TOML with bounds on what a few bytes can ask for.

The readers of the standard library raise several kinds of errors over text that is merely hostile: nested deeper than
Python can recurse, or numbers of thousands of digits, which later overflow wherever they are used or printed. Here all
of it is a `ValueError` in one line.
"""

import json
import tomllib
from typing import Any

MOST_NESTED = 64
"""Lists and tables within each other. What fairnas writes has less than ten."""
MOST_DIGITS = 30
"""Of a whole number. What fairnas writes has less than twenty."""


class RefusedJsonError(json.JSONDecodeError):
    """JSON that asks for too much; it has no place in the text, as syntax errors have."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "", 0)

    def __str__(self) -> str:
        return self.msg


def parse_json(text: str | bytes) -> Any:
    """Read JSON. Raises `json.JSONDecodeError` for everything that it does not take."""
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
    """Read TOML. Raises `tomllib.TOMLDecodeError` for everything that it does not take."""
    try:
        content = tomllib.loads(text)
        _require_shallow(content)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from None
    except (ValueError, OverflowError) as error:  # of numbers and of dates
        raise tomllib.TOMLDecodeError(str(error)) from None
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits, {MOST_DIGITS} are read")
    return int(digits)


def _require_shallow(content: Any) -> None:
    """Without recursion, because depth is what is wrong. TOML's numbers have no hook, so they are looked at here."""
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
