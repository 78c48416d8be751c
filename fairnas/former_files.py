"""Former files of a stage that runs again: kept under second names until it ends, and put back if it fails."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairnas.directory_lock import require_in_place
from fairnas.errors import RunDirectoryError

_FOLDER = ".former"


@dataclass(frozen=True)
class FormerFiles:
    """Second names of files in a folder."""

    folder: Path
    copies: Mapping[str, Path]
    """Second name by name in the folder."""

    def put_back(self) -> None:
        """Restore the former files. Raises `RunDirectoryError` if the folder was moved away."""
        require_in_place(self.folder / _FOLDER)
        for name, copy in self.copies.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(copy, self.folder / name)


@contextlib.contextmanager
def kept_aside(folder: Path, names: Iterable[str]) -> Iterator[FormerFiles]:
    """Keep files under second names (hard links): a process that replaces a file leaves the former one there.

    Raises:
        RunDirectoryError: if the folder cannot be written.
    """
    try:
        yield FormerFiles(folder, _second_names(folder, names))
    finally:
        forget_former(folder)


def is_kept_aside(folder: Path, name: str) -> bool:
    """True if the stage that wrote this file is running again."""
    return _second_name(folder, name).exists()


def _second_name(folder: Path, name: str) -> Path:
    return folder / _FOLDER / hashlib.sha256(name.encode()).hexdigest()


def forget_former(folder: Path) -> None:
    """Remove former files, including those of a process that was killed."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def _second_names(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    kept: dict[str, Path] = {}
    try:
        for name in names:
            if (folder / name).is_file():
                (folder / _FOLDER).mkdir(exist_ok=True)
                copy = _second_name(folder, name)
                try:
                    os.link(folder / name, copy)
                except OSError:  # a file system without hard links
                    shutil.copy2(folder / name, copy)
                kept[name] = copy
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {folder / _FOLDER}: {error.strerror}; make room or permission and run it again"
        ) from error
    return kept
