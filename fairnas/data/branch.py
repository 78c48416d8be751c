"""Folder listed lazily, one level at a time and by names only, before its role is known. No torch."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fairnas.data.class_folders import entries, is_folder
from fairnas.data.formats import is_image_name
from fairnas.rundir import is_run_directory

_DEEPEST = 8  # levels that are searched for images; deeper ones belong to no class


@dataclass(frozen=True)
class Branch:
    """Folder whose entries are listed at first use. Hidden entries are left out.

    Listing raises `DataError` if the folder cannot be read.
    """

    path: str
    name: str

    @staticmethod
    def of(path: Path) -> "Branch":
        """Branch of the folder at a path."""
        return Branch(str(path), path.name or str(path))

    @cached_property
    def _listed(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Names of folders, of images and of other files."""
        folders, images, others = [], [], []
        for entry in entries(self.path):
            if is_folder(entry):
                folders.append(entry.name)
            else:
                (images if is_image_name(entry.name) else others).append(entry.name)
        return tuple(folders), tuple(images), tuple(others)

    @cached_property
    def every_folder(self) -> tuple["Branch", ...]:
        """Subfolders, including run directories; without links that lead back up."""
        real = Path(os.path.realpath(self.path))
        inner = (Branch(os.path.join(self.path, name), name) for name in self._listed[0])
        return tuple(
            each
            for each in inner
            if not (os.path.islink(each.path) and real.is_relative_to(os.path.realpath(each.path)))
        )

    @cached_property
    def folders(self) -> tuple["Branch", ...]:
        """Subfolders without run directories."""
        return tuple(each for each in self.every_folder if not is_run_directory(each.path))

    @cached_property
    def own_folders(self) -> tuple["Branch", ...]:
        """Subfolders without run directories and links: those that the walk through a class folder enters."""
        return tuple(each for each in self.folders if not os.path.islink(each.path))

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the image files directly in the folder, recognised by extension."""
        return self._listed[1]

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other files directly in the folder."""
        return self._listed[2]

    @cached_property
    def inner_names(self) -> frozenset[str]:
        """Names of the subfolders, in lower case."""
        return frozenset(each.name.lower() for each in self.own_folders)

    @cached_property
    def holds_images(self) -> bool:
        """True if the folder contains an image at any depth."""
        return any(branch.images for branch in self.walk())

    def walk(self, depth: int = _DEEPEST) -> Iterator["Branch"]:
        """Iterate over this folder and those below, without links and runs."""
        yield self
        if depth:
            for inner in self.own_folders:
                yield from inner.walk(depth - 1)

    def at(self, *names: str) -> str:
        """Path of something below the folder, for messages."""
        return os.path.join(self.path, *names)
