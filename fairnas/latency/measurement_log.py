"""File of single measurements beside a latency table: one JSON line each, on the disk before the next begins.

The first line describes what was measured, and on which machine. A line that a kill cut short is measured again.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fairnas.directory_lock import require_locks
from fairnas.errors import RunDirectoryError
from fairnas.untrusted import parse_json


class Records:
    """Measurements in an open file; made by `open_records`, for one process at a time."""

    def __init__(self, path: Path, file: IO[bytes], lines: Sequence[Any]) -> None:
        self.path, self._file, self.lines = path, file, list(lines)

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one measurement. Raises `RunDirectoryError` if the disk is full."""
        try:
            self._file.write((json.dumps(line) + "\n").encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write {self.path}: {error.strerror}; make room and run it again"
            ) from error
        self.lines.append(json.loads(json.dumps(line)))


@contextlib.contextmanager
def open_records(path: Path, header: Mapping[str, str]) -> Iterator[Records]:
    """Open the measurements of a file to continue them, or create the file.

    Raises:
        RunDirectoryError: if the file is of another measurement (the message says which), not ours, in use, or
            cannot be written.
    """
    require_locks()
    import fcntl

    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(open(path, "a+b"))
        except OSError as error:
            raise RunDirectoryError(f"cannot write {path}: {error.strerror}; give another file") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunDirectoryError(f"{path} is in use by another process; wait for it, or give another file") from None
        file.seek(0)
        content = file.read()
        whole, torn = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
        if torn:
            file.truncate(len(whole))
        found = [_parsed(line) for line in whole.splitlines()]
        records = Records(path, file, [line for line in found[1:] if line is not None])
        if not found:
            records.append(header)
            records.lines.clear()
        elif found[0] != dict(header):
            table = path.with_suffix(".json").name  # the table, which is not overwritten without its measurements
            raise RunDirectoryError(
                f"{path} {_differing(found[0], header)}; give another file, or delete this one and {table} "
                "to measure again"
            )
        yield records


def _parsed(line: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return parse_json(line)
    return None


def _differing(found: Any, header: Mapping[str, str]) -> str:
    if not isinstance(found, dict) or not found.keys() >= header.keys():
        return "holds no measurements of ours"
    key = next((key for key in header if found[key] != header[key]), "")
    if not key:
        return f"was measured with {', '.join(sorted(found.keys() - header.keys()))} beside what is measured now"
    return f"was measured with {key} '{found[key]}', now it is '{header[key]}'"
