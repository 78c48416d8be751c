"""Layout of a folder of images: its splits and classes, and their agreement. No torch, no decoding.

A data set in a folder is class subfolders of images, directly under it or under `train/` with optional
`val/` (or `valid/`, `validation/`) and `test/`; or images whose classes are in a labels file. Folders below a class
folder belong to the class. Hidden files are skipped; other files that are no images are ignored and named in the notes.
Folders that look like splits, annotations or versions are refused (`misread`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.config import FolderReading
from fairnas.data import roles
from fairnas.data.agreement import alike_names, one_class, require_agreement
from fairnas.data.branch import Branch
from fairnas.data.class_folders import SplitFolder, read_split, shown
from fairnas.data.finding import Finding, RefusedImages, messages
from fairnas.data.formats import by_ending, counted, is_unread_image, remedy
from fairnas.data.listed import Listed, find_labels, listed_split, read_listed
from fairnas.data.misread import require_classes
from fairnas.data.splitnames import (
    VALIDATION_NAMES,
    holds_classes,
    is_split_layout,
    require_single,
    splits_by_name,
    told_beside,
)
from fairnas.errors import DataError

_NAMED = 5  # names in a message; a thousand would bury it
_LABELS_MAY_TELL = frozenset(
    {
        "annotations-as-classes",
        "folds-as-classes",
        "no-classes",
        "one-class",
        "splits-as-classes",
        "versions-as-classes",
    }
)
"""Refusals that do not apply if a labels file gives the classes."""


@dataclass(frozen=True)
class Layout:
    """Splits of a folder; missing ones (None) are carved out of `train`."""

    train: SplitFolder
    validation: SplitFolder | None
    test: SplitFolder | None
    findings: tuple[Finding, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines of the findings."""
        return messages(self.findings)

    @property
    def splits(self) -> tuple[SplitFolder, ...]:
        """Splits that exist."""
        return tuple(split for split in (self.train, self.validation, self.test) if split is not None)


def read_layout(path: Path, reading: FolderReading = "auto", labels: str | None = None) -> Layout:
    """Find the splits and classes of `folder:PATH`.

    A validation folder without a test folder is the test set, as for ImageNet: validation images for the search are
    carved out of the training set (paper 4.1). With both folders, each is what its name says.

    Args:
        path: the folder.
        reading: `classes` treats every folder in it as a class, `splits` every folder in `train/`, whatever its name;
            `auto` decides by names and content.
        labels: file with the classes of the images, in the folder or by an absolute path; default: search for one
            if there are no class folders.

    Raises:
        DataError: with the folder, the fault and the remedy; a `RefusedImages` with its finding if the folder would
            have been misread.
    """
    path = Path(os.path.expanduser(path))
    root = Branch.of(_existing(path))
    if labels is not None:
        if reading != "auto":
            raise DataError(f"data.labels gives the classes, but data.layout is '{reading}'; leave one of them out")
        return _from_list(read_listed(root, _labels_path(path, labels)))
    try:
        return _by_folders(root, reading)
    except RefusedImages as refusal:
        file = find_labels(root) if reading == "auto" and refusal.finding.id in _LABELS_MAY_TELL else None
        if file is None:
            raise
        try:
            return _from_list(read_listed(root, file))
        except RefusedImages:
            if any(each.own_folders for each in root.folders):
                raise refusal from None  # it may be a list of something else
            raise


def _labels_path(folder: Path, labels: str) -> Path:
    """Path of a given labels file. Raises `DataError` if it does not exist."""
    path = folder / os.path.expanduser(labels)  # joining with an absolute path gives that path
    if path.exists():
        return path
    elsewhere = f", or {Path(labels).absolute()}" if Path(labels).exists() else ""
    raise DataError(
        f"{path} does not exist; data.labels is the path of a file in {folder}, or an absolute path{elsewhere}"
    )


def _from_list(listed: Listed) -> Layout:
    """Layout of images whose classes are in a file."""
    train, validation, test = (listed.splits.get(kind) for kind in ("train", "val", "test"))
    assert train is not None
    findings = listed.findings
    if validation and not test:
        message = "the validation images are the test set; validation images are carved out of the training images"
        return _finished(train, None, validation, (*findings, Finding("val-is-test", message)))
    return _finished(train, validation, test, findings)


def _by_folders(root: Branch, reading: FolderReading) -> Layout:
    by_name = splits_by_name(root)
    train = by_name.get("train", ())
    if reading == "classes" or not is_split_layout(root, train, reading):
        if reading == "splits":
            where = f"{root.path} has no train/ with class folders"
            raise DataError(f"{where}, but data.layout is 'splits'; add it, or leave the setting out")
        findings = () if reading == "classes" else _require_flat(root)
        return _finished(read_split(Path(root.path)), None, None, findings)
    require_single(root, by_name)
    present = [name for name in VALIDATION_NAMES if name in by_name]
    findings = () if reading == "splits" else require_classes(train[0], "splits")
    return _of_splits(root, train[0], [by_name[name][0] for name in present], by_name.get("test", ()), findings)


def _of_splits(
    root: Branch,
    train_folder: Branch,
    validation_folders: Sequence[Branch],
    test_folders: Sequence[Branch],
    found: Sequence[Finding],
) -> Layout:
    """Layout of `train/` and the folders beside it."""
    train = read_split(Path(train_folder.path))
    findings = [*told_beside(root), *found]
    test = None
    for folder in test_folders:
        test = _held_out(root, folder, findings)
        if test is None:
            message = f"{folder.name}/ is not used: its images lie in no class folders, so nobody knows their classes"
            findings.append(Finding("test-unlabelled", message))
    if not validation_folders:
        return _finished(train, None, test, findings)
    folder = validation_folders[0]
    held_out = _held_out(root, folder, findings)
    if held_out is None:
        raise RefusedImages(
            Finding(
                "split-without-classes",
                f"{folder.path} has no class folders; give it those of {train_folder.name}/, write the classes of its "
                f"images into {folder.at('labels.csv')} (filename,label), or move it away",
            )
        )
    name = folder.name.lower()
    if test is None:
        findings.append(Finding("val-is-test", f"{name}/ is the test set; validation images are carved out of train/"))
        return _finished(train, None, held_out, findings)
    message = f"validation images are those of {name}/; validation_per_class is not used"
    return _finished(train, held_out, test, (*findings, Finding("val-is-val", message)))


def _held_out(root: Branch, folder: Branch, findings: list[Finding]) -> SplitFolder | None:
    """Images of a split beside `train/`; None if their classes are unknown. Appends to the findings."""
    if holds_classes(folder) or not folder.holds_images:
        return read_split(Path(folder.path))
    listed = listed_split(root, folder)
    if listed is None:
        return None
    findings.extend(listed.findings)
    return listed.splits[folder.name]


def read_train_and_test(root: Path, test: str) -> Layout:
    """Layout of `train/` and one other folder, which is the test set. Raises `DataError`."""
    train = read_split(_existing(root / "train"))
    return _finished(train, None, read_split(_existing(root / test)), ())


def _finished(
    train: SplitFolder, validation: SplitFolder | None, test: SplitFolder | None, findings: Sequence[Finding]
) -> Layout:
    require_agreement(train, validation, test)
    told = (*findings, *alike_names(train), *_ignored((train, validation, test)))
    return Layout(train, validation, test, told)


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
    """Findings about files that are not read, by extension."""
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
    """First five names; a thousand would bury the message."""
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def _require_flat(root: Branch) -> tuple[Finding, ...]:
    """Refuse folders that would be read as classes but are something else. Raises `RefusedImages`."""
    beside = [each for each in root.folders if each.holds_images]
    for each in beside:
        known = each.name.lower() in ("test", *VALIDATION_NAMES)
        alone = all(roles.is_split(roles.words(other.name)) for other in beside)
        if known and alone and holds_classes(each) and not each.images:
            raise RefusedImages(
                Finding(
                    "splits-as-classes",
                    f"{root.path} has {each.name}/ with class folders but no train/ with class folders; add it",
                )
            )
    if not root.folders and root.images:
        raise RefusedImages(
            Finding(
                "no-classes",
                f"{root.path} has no class folders; put the images of each class into its own subfolder, or write "
                f"their classes into {root.at('labels.csv')} (filename,label)",
            )
        )
    if len(root.folders) == len(beside) == 1:
        raise one_class(beside[0])  # before its files are listed, because a labels file may give their classes
    return require_classes(root, "classes")


def _existing(path: Path) -> Path:
    try:
        there = path.exists()
    except PermissionError as error:
        raise DataError(f"cannot read the folder {path}: {error.strerror}; make it accessible to you") from None
    if not there:
        # a run may be continued from another working directory
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise DataError(f"{path} does not exist{where}; give a folder with one subfolder of images per class")
    if not path.is_dir():
        raise DataError(f"{path} is a file; give a folder with one subfolder of images per class")
    return path
