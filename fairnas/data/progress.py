"""Progress of work on many images."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Callback with the number of items done, their total, and a description of the work."""


def silent(done: int, total: int, text: str) -> None:
    """Report nothing."""
