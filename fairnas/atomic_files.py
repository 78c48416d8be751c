"""Files that are written as a whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fairnas.directory_lock import require_in_place
from fairnas.errors import RunDirectoryError

TEMPORARY = ".tmp"
"""Extension of files that are being written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole or not at all. A full disk raises `RunDirectoryError`; the old file survives.

    Also raises `RunDirectoryError` if the file is in a directory that this process holds and that was moved away.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        require_in_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunDirectoryError(
            f"cannot write {path}: {error.strerror}; what was there before is untouched, "
            "make room or permission and run the same command again"
        ) from error
    _flush_folder(path.parent)


def is_leftover(path: Path) -> bool:
    """True if this file was left by a kill during an atomic write."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


def _flush_folder(folder: Path) -> None:
    """Make a rename durable, on systems that can flush a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def temporary_folder(prefix: str, octets: int = 0) -> Iterator[Path]:
    """Temporary folder, deleted afterwards.

    Args:
        prefix: of its name.
        octets: free space to require, for writers that would not notice a full disk.

    Raises:
        RunDirectoryError: if it cannot be created, or the disk is full.
    """
    made = False
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            made = True
            if shutil.disk_usage(folder).free < octets:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield Path(folder)
    except OSError as error:
        if made and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # otherwise the reason names all folders that were tried
        where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""
        raise RunDirectoryError(
            f"cannot write temporary files{where}: {error.strerror}; make room there, or set TMPDIR to another folder, "
            "and run the same command again"
        ) from error
