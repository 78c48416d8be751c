"""A closed terminal (SIGHUP), the commonest end of a long run over ssh: it saves and stops, as after Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGHUP = getattr(signal, "SIGHUP", None)
"""The signal; None on systems that have none."""


class HungUp(KeyboardInterrupt):
    """The terminal of a command was closed."""


def is_heard() -> bool:
    """Whether a closed terminal should end this command: not under nohup, and not outside the main thread."""
    return (
        SIGHUP is not None
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(SIGHUP) is not signal.SIG_IGN
    )


@contextlib.contextmanager
def hangup_raised() -> Iterator[None]:
    """While this lasts, a closed terminal raises `HungUp`, if it would have ended the process."""
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
        if hung_up:  # whatever was made of it on the way
            raise HungUp from None
        raise
    finally:
        signal.signal(SIGHUP, before)
