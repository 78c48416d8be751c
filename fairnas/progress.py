"""Progress reports of a run to its user."""

from typing import Protocol


class Narrator(Protocol):
    """Receiver of progress reports."""

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Announce a stage; `upcoming` is the title of the next one, or empty."""
        ...

    def progress(self, done: int, total: int, text: str) -> None:
        """Report `done` of `total` units of the stage."""
        ...

    def say(self, text: str) -> None:
        """Report something in a line."""
        ...


class SilentNarrator:
    """Narrator that prints nothing."""

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Do nothing."""

    def progress(self, done: int, total: int, text: str) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""
