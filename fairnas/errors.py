"""What a user can get wrong, said in one line: what was given, what is allowed, what to do.

Every error a user can cause is a `FairnasError`, a `ValueError`. Our own invariants are `assert`s; the one
invariant that must hold even under `python -O` is strict fairness, which raises `UnfairTraining`.
"""

import difflib
from collections.abc import Iterable

_LONGEST = 2000
_LONGEST_NAME = 100  # what is longer is no slip of the keyboard, and takes long to compare


def one_line(message: str) -> str:
    """A message that can be printed anywhere, whatever it quotes: file names, keys and values may be anybody's.

    What would move a terminal's cursor, change its colours or begin a line is written as its escape. Of a long message
    the middle is left out, because it begins with what is wrong and ends with what to do.
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
    """A name that is not in a list: of spaces, recipes, verbs, strategies, searchers, networks."""

    def __init__(self, kind: str, given: str, allowed: Iterable[str], plural: str = "") -> None:
        self.kind, self.given, self.allowed = kind, given, tuple(allowed)
        small = {name.casefold(): name for name in self.allowed}
        close = difflib.get_close_matches(given[:_LONGEST_NAME].casefold(), small, n=1)
        hint = f"; did you mean {small[close[0]]!r}?" if close else ""
        # A long list would drown the hint, which is what the reader needs.
        names = "" if close and len(self.allowed) > 20 else f" ({plural or kind + 's'}: {', '.join(self.allowed)})"
        super().__init__(f"unknown {kind} {given!r}{hint}{names}")


class ConfigError(FairnasError):
    """A setting with an impossible value, an unknown key in a file, or settings that contradict each other."""


class GenomeError(FairnasError):
    """A genome that does not fit its search space."""


class SpaceError(FairnasError):
    """A search space that cannot be built, or an image size that it cannot take."""


class TooFewNetworksError(FairnasError):
    """A ranking study of fewer networks than were asked for, or than have an order."""


class TooLittleTimeError(FairnasError):
    """`--minutes` below what even the least run takes."""


class DataError(FairnasError):
    """A data set that is absent or unusable; the message names the file."""


class RunDirectoryError(FairnasError):
    """A run directory that belongs to another configuration, is in use, is damaged or cannot be written."""


class CheckpointError(FairnasError):
    """A checkpoint that is truncated, foreign, of another version, or unsafe to load."""


class ExportError(FairnasError):
    """A network that cannot be exported, or an exported file that does not compute what the network computes."""


class ModelFileError(FairnasError):
    """An exported model that is absent, truncated, damaged, foreign, or of another version or genome."""


class UnfairTraining(RuntimeError):
    """A strategy that promises strict fairness left the ledger uneven. Never the user's fault."""


class LostProcessError(RuntimeError):
    """Another process of a group that trains together ended, or cannot be reached."""

    def __init__(self, reason: str) -> None:
        first = reason.splitlines()[0] if reason else "no answer"
        super().__init__(
            f"another process of the group ended ({first}); "
            "run the same command again to go on from the last checkpoint"
        )


class LostWorkersError(RuntimeError):
    """The workers that score genomes or train networks, or the scheduler that knows them, ended."""

    def __init__(self, reason: str, kept: str) -> None:
        """Take what was heard last, and what is kept, in words."""
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
