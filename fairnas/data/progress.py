"""Telling somebody how far the look at many images is."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how many are done, how many there are, and what is being done."""


def silent(done: int, total: int, text: str) -> None:
    """Tell nobody."""
