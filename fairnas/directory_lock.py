"""One process at a time in a directory, by the kernel's lock (`flock`), which vanishes with its process.

The directory itself is locked and a file in it, before anything is looked at; neither is ever renamed. Each of the two
guards what the other cannot: the file may be deleted under its holder, and network file systems lock files only. A
process that is forked from the holder has no part in the lock: it neither keeps it nor gives it back.
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
"""The file that is locked. It names the process that holds it, and is empty if there is none."""
_ATTEMPTS = 100
"""To hold a directory that others make and remove meanwhile."""
_PATIENCE_S = 0.2
"""How long a holder may take to write its name."""


class _Held:
    """A directory that this process holds, as two open files."""

    def __init__(self, folder: Path, directory: int, file: int) -> None:
        self.folder = folder
        self.path = Path(os.path.abspath(folder))
        self.directory, self.file = directory, file

    def is_in_place(self) -> bool:
        """Whether its path still leads to what is locked."""
        return _leads_to(self.path, self.directory)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.file)
        os.close(self.directory)


_all_held: list[_Held] = []


def _forget_all() -> None:
    """In a process that was just forked: close its copies, which would keep the lock after the holder's end."""
    for each in _all_held:
        each.close()
    _all_held.clear()


if hasattr(os, "register_at_fork"):  # absent on Windows
    os.register_at_fork(after_in_child=_forget_all)


@contextlib.contextmanager
def held(folder: Path, is_begun: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold a directory for this process.

    Args:
        folder: of the directory.
        is_begun: if given, the directory is made where there is none. It is asked in the end whether there is anything
            to keep; if not, what was made is removed again.

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
        if mine in _all_held:  # not so in a process that was forked meanwhile
            if is_begun is not None and mine.is_in_place() and not is_begun():
                _remove(folder, missing, had_lock)
            _all_held.remove(mine)
            with contextlib.suppress(OSError):
                os.ftruncate(mine.file, 0)  # nobody is to be told of a process that is gone
            mine.close()


def require_in_place(path: Path) -> None:
    """Raise `RunDirectoryError` if a file belongs into a directory that this process holds, and that was moved away.

    Whoever writes there would begin another directory, without what was done before.
    """
    if _all_held and (parents := Path(os.path.abspath(path)).parents):
        for each in _all_held:
            if each.path in parents and not each.is_in_place():
                raise RunDirectoryError(
                    f"{each.folder} was moved or removed while this command worked in it; "
                    "put it back and run the same command again"
                )


def _take(folder: Path, make: bool) -> _Held:
    """Open and lock the directory and its file, again and again while others remove what was opened."""
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
    except FileNotFoundError:  # another process removes it again just now
        raise
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {folder}: {error.strerror}; make room or permission and run the same command again"
        ) from error


def _lock_directory(handle: int) -> None:
    """Lock a directory, where that can be done: network file systems lock nothing that is not open for writing."""
    import fcntl  # absent on Windows, where exported networks can be used all the same

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
    except PermissionError as error:  # what some network file systems say of a file that is locked
        raise BlockingIOError(*error.args) from None
    except BlockingIOError:
        raise
    except OSError as error:
        raise RunDirectoryError(
            f"cannot lock {folder / LOCK}: {error.strerror}; give a directory on a file system that has file locks"
        ) from error


def _leads_to(path: Path, handle: int) -> bool:
    """Whether a path is that of an open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=path.name != LOCK), os.fstat(handle))
    except OSError:
        return False


def _sign(handle: int) -> None:
    """Write down who holds the lock, for whoever is refused; on a full disk that stays unknown."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {platform.node()}\n".encode(errors="replace"), 0)


def _holder(folder: Path) -> str:
    """The process that holds a lock, in words: it may be about to write its number, or be on another machine."""
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
    """Take away what was made for a lock. Directories that hold something by now stay."""
    with contextlib.suppress(OSError):
        if not had_lock:
            (folder / LOCK).unlink()
        for each in missing:
            each.rmdir()


def has_locks() -> bool:
    """Whether the system has the file locks that runs are held with. Windows does not."""
    return importlib.util.find_spec("fcntl") is not None


def require_locks() -> None:
    """Raise `RunDirectoryError` on a system without them, before anything is read or written."""
    if not has_locks():
        raise RunDirectoryError(
            f"runs and latency tables need file locks as Linux and macOS have them, and {platform.system()} does not; "
            "on Windows, use WSL"
        )
