"""Fixtures of other rooms that this room's tests use, too."""

from tests.pipeline.conftest import trained_run

__all__ = ["trained_run"]
