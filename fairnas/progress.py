"""Reports of progress: what a run tells its user while it works."""

from typing import Protocol


class Narrator(Protocol):
    """Who tells the user how far a run is."""

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """A stage begins; `upcoming` is the title of the next one, or empty."""
        ...

    def progress(self, done: int, total: int, text: str) -> None:
        """The stage has done so much."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line."""
        ...


class SilentNarrator:
    """Tells nothing."""

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, text: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
