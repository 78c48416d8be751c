"""A closed terminal (SIGHUP), the most common end of a long run over ssh: save and stop, as after Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGHUP = getattr(signal, "SIGHUP", None)
"""Number of the signal; None on systems without it."""


class HungUp(KeyboardInterrupt):
    """The terminal of a command was closed."""


def is_heard() -> bool:
    """True if a closed terminal should end this command: not under nohup, and not outside the main thread."""
    return (
        SIGHUP is not None
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(SIGHUP) is not signal.SIG_IGN
    )


@contextlib.contextmanager
def hangup_raised() -> Iterator[None]:
    """Context manager in which a closed terminal raises `HungUp`, if it would end the process otherwise."""
    if not is_heard():
        yield
        return
    assert SIGHUP is not None
    hung_up = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal hung_up
        if not hung_up:  # both the system and the shell may send it
            hung_up = True
            raise HungUp

    before = signal.signal(SIGHUP, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if hung_up:  # even if another exception took its place on the way
            raise HungUp from None
        raise
    finally:
        signal.signal(SIGHUP, before)
