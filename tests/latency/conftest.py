"""Fixtures of other rooms that this room's tests use, too."""

from tests.search.conftest import tiny_world, world

__all__ = ["tiny_world", "world"]
