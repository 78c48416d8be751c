"""Errors of users, in one line each: what was given, what is allowed, what to do.

Every error a user can cause is a `FairnasError`, a `ValueError`. Our own invariants are `assert`s; the one
invariant that must hold even under `python -O` is strict fairness, which raises `UnfairTraining`.
"""

import difflib
from collections.abc import Iterable

_LONGEST = 2000  # characters; the middle of a longer message is left out
_LONGEST_NAME = 100  # longer names are no typing errors, and comparing them takes long


def one_line(message: str) -> str:
    """Escape and shorten a message so that it can be printed anywhere, whatever file names, keys and values it quotes.

    Characters that would move a terminal's cursor, change its colours or begin a line are escaped. The middle of a long
    message is left out, because it begins with the fault and ends with the remedy.
    """
    if len(message) > _LONGEST:
        half = _LONGEST // 2
        message = f"{message[:half]} ... {message[-half:]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


class FairnasError(ValueError):
    """Wrong input of any kind. The command line prints its one line and exits with 2."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class UnknownNameError(FairnasError):
    """Name that is not in a list: of spaces, recipes, verbs, strategies, searchers, networks."""

    def __init__(self, kind: str, given: str, allowed: Iterable[str], plural: str = "") -> None:
        self.kind, self.given, self.allowed = kind, given, tuple(allowed)
        small = {name.casefold(): name for name in self.allowed}
        close = difflib.get_close_matches(given[:_LONGEST_NAME].casefold(), small, n=1)
        hint = f"; did you mean {small[close[0]]!r}?" if close else ""
        # A long list would hide the hint, which is what the reader needs.
        names = "" if close and len(self.allowed) > 20 else f" ({plural or kind + 's'}: {', '.join(self.allowed)})"
        super().__init__(f"unknown {kind} {given!r}{hint}{names}")


class ConfigError(FairnasError):
    """A setting with an impossible value, an unknown key in a file, or settings that contradict each other."""


class GenomeError(FairnasError):
    """A genome that does not fit its search space."""


class SpaceError(FairnasError):
    """A search space that cannot be built, or an image size that it cannot take."""


class TooFewNetworksError(FairnasError):
    """Ranking study of fewer networks than requested, or than have an order."""


class TooLittleTimeError(FairnasError):
    """`--minutes` below the time of the smallest possible run."""


class DataError(FairnasError):
    """Data set that is missing or unusable; the message names the file."""


class RunDirectoryError(FairnasError):
    """A run directory that belongs to another configuration, is in use, is damaged or cannot be written."""


class CheckpointError(FairnasError):
    """A checkpoint that is truncated, foreign, of another version, or unsafe to load."""


class ExportError(FairnasError):
    """Network that cannot be exported, or exported file that does not compute the same as the network."""


class ModelFileError(FairnasError):
    """Exported model that is missing, truncated, damaged, foreign, or of another version or genome."""


class UnfairTraining(RuntimeError):
    """Uneven ledger of a strategy that promises strict fairness. Never the user's fault."""


class LostProcessError(RuntimeError):
    """Loss of another process of the group, or of the connection to it."""

    def __init__(self, reason: str) -> None:
        first = reason.splitlines()[0] if reason else "no answer"
        super().__init__(
            f"another process of the group ended ({first}); "
            "run the same command again to go on from the last checkpoint"
        )


class LostWorkersError(RuntimeError):
    """The scheduler, or the workers that score genomes or train networks, ended."""

    def __init__(self, reason: str, kept: str) -> None:
        """Take the last error received, and what is kept of the work, in words."""
        first = reason.splitlines()[0] if reason else "no answer"
        super().__init__(f"the workers are lost ({first}); {kept}, run the same command again to go on")


class LostTrainingError(RuntimeError):
    """One of the processes that train networks side by side was killed."""

    def __init__(self, processes: int) -> None:
        super().__init__(
            f"one of {processes} processes that train networks was killed, usually for want of memory; what was saved "
            "is kept, run the same command again with a smaller --resources.processes to go on"
        )


class ProcessesDisagree(RuntimeError):
    """Processes that train one supernet together no longer hold the same weights."""
