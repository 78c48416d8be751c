"""Agreement of the splits of a folder in their classes, and class names that are hard to tell apart. No torch."""

import os
from collections.abc import Iterator

from fairnas.data.branch import Branch
from fairnas.data.class_folders import SplitFolder
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.names import alike, counterpart, quoted, shortened

_NAMED = 5  # names in a message; a thousand would bury it


def require_agreement(train: SplitFolder, validation: SplitFolder | None, test: SplitFolder | None) -> None:
    """Raise `RefusedImages` unless there are at least two classes, the same ones in every split."""
    if len(train.classes) == 1:
        raise _one_class(train)
    for split, kind in ((validation, "validation"), (test, "test")):
        if split is not None and split.names != train.names:
            raise _differing(train, split, kind)


def _one_class(train: SplitFolder) -> RefusedImages:
    name, folder = train.names[0], train.folder / train.names[0]
    if not train.classes[0].files[0].startswith(f"{name}/"):  # the classes come from a labels file
        message = f"{train.folder} has images of one class only, {quoted(name)}; give two classes or more"
        return RefusedImages(Finding("one-class", message))
    return one_class(Branch.of(folder))


def one_class(folder: Branch) -> RefusedImages:
    """Refusal of a single class folder, with the path of what lies further inside."""
    inner = folder
    while len(inner.own_folders) == 1 and not inner.images:
        inner = inner.own_folders[0]
    parent, deepest = os.path.dirname(folder.path), inner if inner.own_folders else folder
    return RefusedImages(
        Finding(
            "one-class",
            f"{parent} has one class folder only, {quoted(folder.name)}; give two classes or more, or {deepest.path} "
            "if the classes are in there",
        )
    )


def _differing(train: SplitFolder, split: SplitFolder, kind: str) -> RefusedImages:
    """Refusal of splits with different classes, with what to rename if names differ only slightly."""
    lacks = sorted(set(train.names) - set(split.names))
    extra = sorted(set(split.names) - set(train.names))
    listed = split.folder == train.folder  # both come from a labels file
    ours, theirs = ("training", kind) if listed else (f"{train.folder.name}/", f"{split.folder.name}/")
    difference = "; ".join(
        f"{name} lacks {shortened(names, _NAMED)}" for name, names in ((theirs, lacks), (ours, extra)) if names
    )
    pairs = [pair for name in extra if (pair := counterpart(name, lacks))]
    remedy = "give every split the same classes" if listed else "give every split the same class folders"
    if pairs:
        renamed = [f"{quoted(pair.one)} in {theirs} to {quoted(pair.other)} ({pair.difference})" for pair in pairs[:3]]
        rest = f", and {remedy}" if len(pairs) < max(len(lacks), len(extra)) else ""
        remedy = f"rename {', '.join(renamed)}{', ...' if len(pairs) > 3 else ''}{rest}"
    if listed:
        message = f"the classes of images in {train.folder} differ between splits: {difference}; {remedy}"
        return RefusedImages(Finding("classes-differ", message))
    return RefusedImages(
        Finding("classes-differ", f"the class folders under {train.folder.parent} differ: {difference}; {remedy}")
    )


def alike_names(train: SplitFolder) -> Iterator[Finding]:
    """Note about classes with names that are easily mistaken for each other."""
    pairs = alike(train.names)
    if pairs:
        told = ", ".join(str(pair) for pair in pairs[:_NAMED])
        told += f", ... ({len(pairs)})" if len(pairs) > _NAMED else ""
        yield Finding(
            "names-alike",
            f"classes in {train.folder} with names that are easily taken for one: {told}; if they are one class, "
            "put their images together",
        )
