"""One process at a time in a directory, by the kernel's lock (`flock`), which is released when its process ends.

The directory and a file in it are both locked before anything in it is read; neither is ever renamed. Each covers for
the other: the file may be deleted under its holder, and network file systems lock only files. A process forked from the
holder has no part in the lock: it neither keeps nor releases it.
"""

import contextlib
import importlib.util
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fairnas.errors import RunDirectoryError

LOCK = ".lock"
"""Name of the locked file. It holds the number of the process that has the lock, and is empty if none has."""
_ATTEMPTS = 100
"""Attempts to lock a directory that other processes make and remove at the same time."""
_PATIENCE_S = 0.2
"""Seconds to wait for a holder to write its number."""


class _Held:
    """A directory held by this process, as two open files."""

    def __init__(self, folder: Path, directory: int, file: int) -> None:
        self.folder = folder
        self.path = Path(os.path.abspath(folder))
        self.directory, self.file = directory, file

    def is_in_place(self) -> bool:
        """True if the path still leads to the directory and file that are locked."""
        return _leads_to(self.path, self.directory)

    def close(self) -> None:
        """Release the lock."""
        os.close(self.file)
        os.close(self.directory)


_all_held: list[_Held] = []


def _forget_all() -> None:
    """Close the copies of open locks in a newly forked process: they would keep the locks after the holder's end."""
    for each in _all_held:
        each.close()
    _all_held.clear()


if hasattr(os, "register_at_fork"):  # absent on Windows
    os.register_at_fork(after_in_child=_forget_all)


@contextlib.contextmanager
def held(folder: Path, is_begun: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold a directory for this process.

    Args:
        folder: path of the directory.
        is_begun: if given, a directory that is absent is made. Called at the end: if it returns False, what was made is
            removed again.

    Raises:
        RunDirectoryError: at once, if another process holds the directory; if it is not there or cannot be written; or
            if its file system has no locks.
    """
    require_locks()
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    had_lock = os.path.lexists(folder / LOCK)
    mine = _take(folder, make=is_begun is not None)
    _all_held.append(mine)
    try:
        yield
    finally:
        if mine in _all_held:  # false in a process that was forked meanwhile
            if is_begun is not None and mine.is_in_place() and not is_begun():
                _remove(folder, missing, had_lock)
            _all_held.remove(mine)
            with contextlib.suppress(OSError):
                os.ftruncate(mine.file, 0)  # so that messages do not name a process that has ended
            mine.close()


def require_in_place(path: Path) -> None:
    """Raise `RunDirectoryError` if a file belongs in a directory that this process holds but that was moved away.

    Writing there would begin a new directory, without the earlier files.
    """
    if _all_held and (parents := Path(os.path.abspath(path)).parents):
        for each in _all_held:
            if each.path in parents and not each.is_in_place():
                raise RunDirectoryError(
                    f"{each.folder} was moved or removed while this command worked in it; "
                    "put it back and run the same command again"
                )


def _take(folder: Path, make: bool) -> _Held:
    """Open and lock the directory and its file; try again if others remove them meanwhile."""
    for attempt in range(_ATTEMPTS):
        opened: list[int] = []
        try:
            if make:
                _make(folder)
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            _lock_directory(opened[0])
            opened.append(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644))
            _lock_file(opened[1], folder)
            if _leads_to(folder, opened[0]) and _leads_to(folder / LOCK, opened[1]):
                taken = _Held(folder, *opened)
                opened.clear()
                _sign(taken.file)
                return taken
        except BlockingIOError:
            raise RunDirectoryError(
                f"{folder} is in use by {_holder(folder)}; wait for it, or give another directory"
            ) from None
        except OSError as error:
            if not (make and isinstance(error, FileNotFoundError) and attempt + 1 < _ATTEMPTS):
                raise RunDirectoryError(
                    f"cannot write in {folder}: {error.strerror}; make it writable, or give a copy of the run"
                ) from error
        finally:
            for handle in opened:
                os.close(handle)
    raise RunDirectoryError(f"{folder} is in use by other processes; wait for them, or give another directory")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # another process is just removing it
        raise
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {folder}: {error.strerror}; make room or permission and run the same command again"
        ) from error


def _lock_directory(handle: int) -> None:
    """Lock a directory, if its file system can: network file systems lock only files that are open for writing."""
    import fcntl  # absent on Windows, where exported networks still work

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


def _lock_file(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # raised for a locked file by some network file systems
        raise BlockingIOError(*error.args) from None
    except BlockingIOError:
        raise
    except OSError as error:
        raise RunDirectoryError(
            f"cannot lock {folder / LOCK}: {error.strerror}; give a directory on a file system that has file locks"
        ) from error


def _leads_to(path: Path, handle: int) -> bool:
    """True if a path leads to this open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=path.name != LOCK), os.fstat(handle))
    except OSError:
        return False


def _sign(handle: int) -> None:
    """Write the number of this process into the lock file, for the message to others; does nothing on a full disk."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {platform.node()}\n".encode(errors="replace"), 0)


def _holder(folder: Path) -> str:
    """Describe the process that holds the lock; it may not have written its number yet, or run on another machine."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        with contextlib.suppress(OSError):
            if found := re.fullmatch(rb"(\d{1,9})(?: ([\w.-]{1,255}))?\n", (folder / LOCK).read_bytes()[:300]):
                number, host = int(found[1]), (found[2] or b"").decode()
                if host not in ("", platform.node()):
                    return f"process {number} on {host}"
                if _is_alive(number):
                    return f"process {number}"
        if time.monotonic() > end:
            return "another process"
        time.sleep(0.005)


def _is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(folder: Path, missing: list[Path], had_lock: bool) -> None:
    """Remove directories that were made for a lock, unless they hold something by now."""
    with contextlib.suppress(OSError):
        if not had_lock:
            (folder / LOCK).unlink()
        for each in missing:
            each.rmdir()


def has_locks() -> bool:
    """True if the system has the file locks by which runs are held. Windows has none."""
    return importlib.util.find_spec("fcntl") is not None


def require_locks() -> None:
    """Raise `RunDirectoryError` on a system without file locks, before anything is read or written."""
    if not has_locks():
        raise RunDirectoryError(
            f"runs and latency tables need file locks as Linux and macOS have them, and {platform.system()} does not; "
            "on Windows, use WSL"
        )
