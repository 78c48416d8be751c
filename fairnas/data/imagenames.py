"""Search for the image file that a row of a labels file means. No torch."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from fairnas.data.branch import Branch
from fairnas.data.class_folders import entries, image_size, is_folder
from fairnas.rundir import is_run_directory


@dataclass(frozen=True)
class ListedFolder:
    """Folder that a list such as train.csv describes."""

    name: str
    kind: str


class ImageNames:
    """Image files below a folder, indexed by every name that a row may use."""

    def __init__(self, root: Branch) -> None:
        self.sizes = dict(_image_files(root.path))

    @cached_property
    def _bare(self) -> dict[str, list[str]]:
        """Files by their paths without extension."""
        found: dict[str, list[str]] = {}
        for name in self.sizes:
            found.setdefault(name[: name.rindex(".")], []).append(name)
        return found

    @cached_property
    def _by_end(self) -> dict[str, list[str]]:
        """Files by their names alone, with and without extension, in lower case."""
        found: dict[str, list[str]] = {}
        for name in self.sizes:
            base = name[name.rfind("/") + 1 :].casefold()
            found.setdefault(base, []).append(name)
            found.setdefault(base[: base.rindex(".")], []).append(name)
        return found

    def called(self, file: str, own: ListedFolder | None) -> list[str]:
        """Files that a row may mean; its name may lack folders and extension."""
        whole = f"{own.name}/{file}" if own else file
        if whole in self.sizes:
            return [whole]
        if whole in self._bare:
            return self._bare[whole]
        known = self._by_end.get(file.rpartition("/")[2].casefold(), ())
        inside = [name for name in known if own is None or name.startswith(f"{own.name}/")] or known
        fitting = [(name, _fit(name, file)) for name in inside]
        best = max((fit for _, fit in fitting), default=0)
        return sorted(name for name, fit in fitting if fit == best > 0)


def _fit(name: str, file: str) -> int:
    """Degree to which a file matches a row: 0 not at all, higher by the end of its path, 4 exactly."""
    bare = os.path.splitext(name)[0]
    if name == file:
        return 4
    if name.endswith(f"/{file}"):
        return 3
    if file in (bare, bare.rpartition("/")[2]) or bare.endswith(f"/{file}"):
        return 2
    folded, wanted = f"/{name.casefold()}", f"/{file.casefold()}"
    return int(folded.endswith(wanted) or os.path.splitext(folded)[0].endswith(wanted))


def _image_files(path: str) -> Iterator[tuple[str, int]]:
    """Iterate over the images below a folder, by relative path and size; follows links to folders only at the top."""
    top = Branch(path, "")
    waiting = [("", path)] + [(each.name, each.path) for each in top.folders if os.path.islink(each.path)]
    while waiting:
        name, folder = waiting.pop()
        if name and is_run_directory(folder):
            continue
        for entry in entries(folder):
            inner = f"{name}/{entry.name}" if name else entry.name
            if is_folder(entry):
                if not entry.is_symlink():
                    waiting.append((inner, entry.path))
            elif (size := image_size(entry)) is not None:
                yield inner, size
