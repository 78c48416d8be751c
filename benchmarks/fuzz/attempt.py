"""One input for one reader: accepted, refused in one line, or a finding."""

import contextlib
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.fuzz.mutations import Bend
from fairnas.data.formats import CorruptImageError
from fairnas.errors import FairnasError

ALLOWED = (FairnasError, CorruptImageError)
"""Exceptions that a reader may raise: the command line prints them in one line, folders of images skip the file."""
SECONDS = 10
"""Limit of computing time for one input in seconds. The limit on the clock is six times as long, for busy machines."""
_PATIENCE = 6
MEGABYTES = 700
"""More memory than this for one small input is a finding."""
_LONGEST = 4000  # characters of a message


@dataclass(frozen=True)
class Target:
    """A reader, and what it reads."""

    name: str
    valid: Callable[[], tuple[bytes, ...]]
    """Examples that it must accept."""
    bend: Bend
    read: Callable[[Path, bytes], object]
    """Reader, called with an empty folder and the input."""
    share: float = 10
    """Share of the inputs in a long run, relative to the other targets."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one input; `finding` is empty unless something is wrong."""

    accepted: bool
    finding: str = ""


class TooSlowError(BaseException):
    """Not an `Exception`, so that no reader takes it for damage."""


def input_of(target: Target, examples: tuple[bytes, ...], seed: int, number: int) -> bytes:
    """An input: a function of the target, the seed and the number alone."""
    rng = Random(f"{target.name} {seed} {number}")
    return target.bend(rng, rng.choice(examples))


def attempt(target: Target, folder: Path, content: bytes, seconds: float = SECONDS) -> Outcome:
    """Let the target read. Raises nothing."""
    before = _peak_megabytes()
    try:
        with _alarm(seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder, content)
    except ALLOWED as error:
        outcome = Outcome(False, _fault_of(str(error)))
    except TooSlowError:
        outcome = Outcome(False, f"it took more than {seconds:g} s")
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if "/fairnas/" in frame.filename] or list(where)
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        outcome = Outcome(False, f"{type(error).__name__} at {place}: {str(error)[:200]!r}")
    else:
        outcome = Outcome(True)
    grown = _peak_megabytes() - before
    if grown > MEGABYTES and not outcome.finding:
        return Outcome(outcome.accepted, f"it took {grown:,.0f} MB")
    return outcome


def _fault_of(message: str) -> str:
    """Describe the fault in an error's message, if any."""
    if not message.strip():
        return "its message is empty"
    if not message.isprintable():
        odd = next(character for character in message if not character.isprintable())
        return f"its message holds {odd!r}: {message[:200]!r}"
    return f"its message has {len(message):,} characters" if len(message) > _LONGEST else ""


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: object) -> None:
        raise TooSlowError

    clocks = (
        (signal.ITIMER_PROF, signal.SIGPROF, seconds),  # of computing
        (signal.ITIMER_REAL, signal.SIGALRM, _PATIENCE * seconds),  # of waiting, such as for a pipe
    )
    before = [signal.signal(number, ring) for _, number, _ in clocks]
    for clock, _, limit in clocks:
        signal.setitimer(clock, limit)
    try:
        yield
    finally:
        for (clock, number, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(number, handler)
