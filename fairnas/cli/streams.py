"""Standard output and error that cannot be written: lost results are an error, lost messages are ignored."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from fairnas.errors import FairnasError


class OutputError(FairnasError):
    """Standard output cannot be written, for example because a disk is full."""


class ReaderLeft(Exception):
    """The reader of standard output has closed it, as `head` does when it has seen enough.

    Not a `BrokenPipeError`, because rich ends the process with exit code 1 when it meets one.
    """


class _Stream:
    """A stream with its own handling of write failures."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._failures():
            return self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._failures():
            self._stream.flush()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        raise NotImplementedError

    def _close(self) -> None:
        """Discard what is still in the buffer, or Python would report the failure again when it ends."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a file, as in tests
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Output(_Stream):
    """Standard output: lost results are an error, unless the reader has closed it."""

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._close()
            raise ReaderLeft from None
        except OSError as error:
            self._close()
            raise OutputError(
                f"cannot write to standard output: {error.strerror}; "
                "make room, or send the output to a place that can be written"
            ) from None


class _Error(_Stream):
    """Standard error: a run of hours does not end because its progress cannot be shown."""

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._close()


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Context manager that handles failures of `sys.stdout` and `sys.stderr`, and flushes standard output at the end.

    Raises:
        OutputError: if standard output cannot be written.
        ReaderLeft: if its reader has closed it.
    """
    output: Any = _Output(sys.stdout)
    error: Any = _Error(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        try:
            yield
        finally:
            error.flush()
        output.flush()
