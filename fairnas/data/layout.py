"""The layout of a folder of images: which splits it brings, and whether they agree. No torch, no decoding.

A data set in a folder is class subfolders of images, directly under it or under `train/` with optional
`val/` (or `valid/`, `validation/`) and `test/`. Folders below a class folder belong to the class. Hidden
files are passed over; other files that are no images are ignored and named in the notes.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.data.classfolders import SplitFolder, entries, image_size, is_folder, read_split, shown
from fairnas.data.finding import Finding, messages
from fairnas.data.formats import by_ending, counted, is_unread_image, remedy
from fairnas.errors import DataError
from fairnas.rundir import is_run_directory

_VALIDATION_NAMES = ("val", "valid", "validation")
_LIKE_A_SPLIT = re.compile(
    r"(train|test|val|dev|eval|hold-?out|fold)(id|idation|uation|ing|set|s)?([^a-z]|$)", re.IGNORECASE
)
"""How names of splits begin; `fold1` and `test_images` are some too."""


@dataclass(frozen=True)
class Layout:
    """The splits that a folder brings; the ones it lacks (None) are carved out of `train`."""

    train: SplitFolder
    validation: SplitFolder | None
    test: SplitFolder | None
    findings: tuple[Finding, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines of the findings."""
        return messages(self.findings)

    @property
    def splits(self) -> tuple[SplitFolder, ...]:
        """The splits that are there."""
        return tuple(split for split in (self.train, self.validation, self.test) if split is not None)


def read_layout(path: Path) -> Layout:
    """Find the splits and classes of `folder:PATH`.

    A validation folder without a test folder is the test set: it is the official one, and validation images
    for the search are carved out of the training set (paper 4.1). With both, each is what its name says.

    Raises:
        DataError: naming the folder, what is wrong with it and what to do.
    """
    path = Path(os.path.expanduser(path))
    every = [entry for entry in entries(_existing(path)) if is_folder(entry)]
    folders = tuple(entry for entry in every if not is_run_directory(entry.path))
    by_name = {entry.name.lower(): entry for entry in folders}
    if not _holds_folders(by_name.get("train")):
        _check_flat(path, folders)
        return _finished(read_split(path), None, None, ())
    present = [name for name in _VALIDATION_NAMES if name in by_name]
    if len(present) > 1:
        raise DataError(f"{path} has both {present[0]}/ and {present[1]}/; keep one of them")
    train, test = read_split(Path(by_name["train"].path)), None
    known = ("train", "test", *_VALIDATION_NAMES)
    unused = [entry.name for entry in folders if entry.name.lower() not in known]
    findings = [Finding("extra-folders", f"folders beside train/ not used: {_first(unused)}")] if unused else []
    if runs := [shown(entry.name) for entry in every if entry not in folders]:
        findings.append(Finding("run-directories", f"run directories left out of {path}: {_first(runs)}"))
    if "test" in by_name:
        if _holds_folders(by_name["test"]) or not _holds_images(by_name["test"]):
            test = read_split(Path(by_name["test"].path))
        else:
            message = "test/ is not used: its images lie in no class folders, so nobody knows their classes"
            findings.append(Finding("test-unlabelled", message))
    if not present:
        return _finished(train, None, test, findings)
    name = present[0]
    held_out = read_split(Path(by_name[name].path))
    if test is None:
        findings.append(Finding("val-is-test", f"{name}/ is the test set; validation images are carved out of train/"))
        return _finished(train, None, held_out, findings)
    message = f"validation images are those of {name}/; validation_per_class is not used"
    return _finished(train, held_out, test, (*findings, Finding("val-is-val", message)))


def read_train_and_test(root: Path, test: str) -> Layout:
    """A layout of `train/` and one other folder, which is the test set. Raises `DataError`."""
    train = read_split(_existing(root / "train"))
    return _finished(train, None, read_split(_existing(root / test)), ())


def _finished(
    train: SplitFolder, validation: SplitFolder | None, test: SplitFolder | None, findings: Sequence[Finding]
) -> Layout:
    layout = Layout(train, validation, test, (*findings, *_ignored((train, validation, test))))
    if len(train.classes) == 1:
        raise DataError(
            f"{train.folder} has one class folder only, '{train.names[0]}'; give two classes or more, "
            f"or {train.folder / train.names[0]} if the classes are in there"
        )
    for split in layout.splits[1:]:
        lacks = sorted(set(train.names) - set(split.names))
        extra = sorted(set(split.names) - set(train.names))
        if lacks or extra:
            difference = [f"{split.folder.name}/ lacks {_first(lacks)}"] if lacks else []
            difference += [f"{train.folder.name}/ lacks {_first(extra)}"] if extra else []
            raise DataError(
                f"the class folders under {train.folder.parent} differ: {'; '.join(difference)}; "
                "give every split the same class folders"
            )
    return layout


def _ignored(splits: Sequence[SplitFolder | None]) -> Iterator[Finding]:
    for split in splits:
        if split and split.others:
            yield from _left_out(split)
        if split and split.runs:
            names = _first([shown(name) for name in split.runs])
            yield Finding("run-directories", f"run directories left out of {split.folder}: {names}")
        if split and split.links:
            names = _first([shown(link) for link in split.links])
            yield Finding("linked-folders", f"linked folders not followed in {split.folder}: {names}")


def _left_out(split: SplitFolder) -> Iterator[Finding]:
    """What to tell about files that are not read, by their endings."""
    unread = [name for name in split.others if is_unread_image(name)]
    if unread:
        noun = "image" if len(unread) == 1 else "images"
        message = f"{len(unread)} {noun} not read in {split.folder}: {counted(by_ending(unread))}; {remedy(unread)}"
        yield Finding("unread-images", message)
    rest = [name for name in split.others if not is_unread_image(name)]
    if rest:
        noun = "file that is no image of a class" if len(rest) == 1 else "files that are no images of a class"
        more = f", ... ({counted(by_ending(rest))})" if len(rest) > 1 else ""
        yield Finding("no-images", f"{len(rest)} {noun} ignored in {split.folder}: {shown(rest[0])}{more}")


def _first(names: Sequence[str]) -> str:
    """The first five names; a thousand would bury the message."""
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def _check_flat(path: Path, folders: Sequence[os.DirEntry[str]]) -> None:
    """Refuse what would be read as classes but is something else. Raises `DataError`."""
    for entry in folders:
        if entry.name.lower() in ("test", *_VALIDATION_NAMES) and _holds_folders(entry) and not _holds_images(entry):
            raise DataError(f"{path} has {entry.name}/ with class folders but no train/ with class folders; add it")
    if len(folders) < 2 or any(_holds_images(entry) for entry in folders):
        return
    below = [frozenset(inner.name for inner in entries(entry.path) if is_folder(inner)) for entry in folders]
    like_splits = sum(bool(_LIKE_A_SPLIT.match(entry.name)) for entry in folders)
    if like_splits > 1 and len(below[0]) > 1 and all(names == below[0] for names in below):
        names = _first([entry.name for entry in folders])
        raise DataError(f"{names} in {path} look like splits, not classes; name them train, val and test")


def _existing(path: Path) -> Path:
    try:
        there = path.exists()
    except PermissionError as error:
        raise DataError(f"cannot read the folder {path}: {error.strerror}; make it accessible to you") from None
    if not there:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"  # a run may be gone on with from elsewhere
        raise DataError(f"{path} does not exist{where}; give a folder with one subfolder of images per class")
    if not path.is_dir():
        raise DataError(f"{path} is a file; give a folder with one subfolder of images per class")
    return path


def _holds_folders(entry: os.DirEntry[str] | None) -> bool:
    return entry is not None and any(is_folder(inner) for inner in entries(entry.path))


def _holds_images(entry: os.DirEntry[str]) -> bool:
    return any(not is_folder(inner) and image_size(inner) is not None for inner in entries(entry.path))
