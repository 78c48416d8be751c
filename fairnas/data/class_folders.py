"""Class folders: the walk through one split that lists the images of every class. No torch, no decoding."""

import os
from dataclasses import dataclass
from pathlib import Path

from fairnas.data.formats import is_image_name, no_images
from fairnas.errors import DataError
from fairnas.rundir import is_run_directory

_CLUTTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})  # hidden on the systems that create them


@dataclass(frozen=True)
class ClassFolder:
    """Images of one class in one split: files relative to the split's folder, sorted; sizes in bytes."""

    name: str
    files: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class SplitFolder:
    """One split: its folder, its classes in order of their names, and everything else that lies there."""

    folder: Path
    classes: tuple[ClassFolder, ...]
    others: tuple[str, ...]
    links: tuple[str, ...]
    runs: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(member.name for member in self.classes)

    @property
    def count(self) -> int:
        """Number of image files."""
        return sum(len(member.files) for member in self.classes)


def read_split(folder: Path) -> SplitFolder:
    """List the class folders in a folder and their images.

    Links to folders are followed if they are class folders, unless they lead back up. Inside class folders they are not
    followed, because they may lead anywhere, even into another class. Run directories are left out everywhere, and a
    folder that contains runs but no images is not a class: a run may be written beside its images.

    Raises:
        DataError: if there are no class folders, or one is empty or unreadable.
    """
    classes: list[ClassFolder] = []
    others, links, runs = [], [], []
    real = os.path.realpath(folder)
    for entry in entries(folder):
        if not is_folder(entry):
            others.append(entry.name)
        elif entry.is_symlink() and Path(real).is_relative_to(os.path.realpath(entry.path)):
            links.append(entry.name)  # leads back to a folder that contains this one
        elif found := _read_class(entry, others, links, runs):
            classes.append(found)
    if not classes:
        raise DataError(f"{folder} has no class folders; put the images of each class into its own subfolder")
    return SplitFolder(folder, tuple(classes), tuple(others), tuple(links), tuple(runs))


def _read_class(folder: os.DirEntry[str], others: list[str], links: list[str], runs: list[str]) -> ClassFolder | None:
    """List all images at any depth, or None if there are only runs; appends what is left out to the lists."""
    if shown(folder.name) != folder.name:
        raise DataError(f"the class folder {shown(folder.path)} has a name that is not UTF-8 text; rename it")
    found: list[tuple[str, int]] = []
    waiting, runs_before, others_before = [(folder.path, folder.name)], len(runs), len(others)
    while waiting:
        path, name = waiting.pop()
        if is_run_directory(path):
            runs.append(name)
            continue
        for entry in entries(path):
            inner = f"{name}/{entry.name}"
            if not is_folder(entry):
                size = image_size(entry)
                others.append(inner) if size is None else found.append((inner, size))
            elif entry.is_symlink():
                links.append(inner)
            else:
                waiting.append((entry.path, inner))
    if not found and len(runs) > runs_before:
        return None
    if not found:
        raise DataError(no_images(f"class folder {folder.path}", others[others_before:], "add some or remove it"))
    files, sizes = zip(*sorted(found), strict=True)
    return ClassFolder(folder.name, files, sizes)


def image_size(entry: os.DirEntry[str]) -> int | None:
    """Size in bytes of an image file, 0 for a broken link; None for anything else."""
    if not is_image_name(entry.name):
        return None
    if not entry.is_symlink():
        return entry.stat().st_size if entry.is_file() else None
    if os.path.isfile(entry.path):
        return os.stat(entry.path).st_size
    return None if os.path.exists(entry.path) else 0


def entries(path: Path | str) -> tuple[os.DirEntry[str], ...]:
    """Entries of a folder, sorted by name, without hidden ones."""
    try:
        with os.scandir(path) as listed:
            seen = [entry for entry in listed if not is_clutter(entry.name)]
    except OSError as error:
        raise DataError(f"cannot read the folder {shown(path)}: {error.strerror}; make it readable") from None
    return tuple(sorted(seen, key=lambda entry: entry.name))


def is_clutter(name: str) -> bool:
    """True if a file or folder is hidden, here or on the system that created it."""
    return name.startswith(".") or name in _CLUTTER


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True if an entry is a folder or links to one; False for a link to itself (`DirEntry.is_dir` raises)."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def shown(path: Path | str) -> str:
    """Path as printable text, for any bytes in its name."""
    return os.fsencode(path).decode("utf-8", "replace")
