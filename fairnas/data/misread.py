"""Folders that would be read as classes but are something else: splits, folds, annotations, versions. No torch.

A rule looks at the folders of one level, and at the names one level below. It refuses names with which a network would
learn to distinguish splits or versions, and accepts names that could be classes: `train` beside `bus`, `mask` beside
`no_mask`, `original` beside `forgery`. Every message names the setting that overrules it.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence

from fairnas.data import roles
from fairnas.data.branch import Branch
from fairnas.data.finding import Finding
from fairnas.data.inside import require_no_annotations, require_no_splits, told_inside
from fairnas.data.level import NAMED, Level
from fairnas.data.names import shortened

_LOOKED_AT = 200  # sample of file names per folder


def require_classes(parent: Branch, setting: str) -> tuple[Finding, ...]:
    """Refuse folders that are certainly not classes.

    Args:
        parent: the folder that contains them.
        setting: the value of `data.layout` that makes them classes anyway.

    Returns:
        Findings about folders that are taken for classes.

    Raises:
        RefusedImages: with the layout that was found, and the intended one.
    """
    level = Level.of(parent, setting)
    if len(level.folders) < 2:
        return ()  # a single class is refused elsewhere
    rules = (_parts, _annotations, _splits, _versions, _mirrors, _strays, _crossed)
    for rule in (*rules, require_no_splits, require_no_annotations):
        rule(level)
    taken = [f"{each.path} is taken for a class, not for a split" for each in _split_like(level)]
    return (*(Finding("class-like-a-split", line) for line in taken), *told_inside(level))


def _parts(level: Level) -> None:
    if not roles.are_parts(level.names):
        return
    inner = "and put their class folders together" if level.common else "and sort their images into class folders"
    raise level.refusal(
        "folds-as-classes",
        f"{level.shown()} in {level.parent.path} are numbered parts of one set, not classes",
        f"choose which are train, val and test, {inner} ({os.path.join('train', 'cat')}, ...)",
    )


def _annotations(level: Level) -> None:
    known = [each for each, spoken in zip(level.folders, level.spoken, strict=True) if roles.is_annotations(spoken)]
    whole = (roles.is_annotations, roles.is_images, roles.is_split, roles.is_source)
    if known and len(known) < len(level.folders) and level.all_are(*whole):
        inside = [each for each in level.folders if each not in known and len(each.own_folders) > 1]
        remedy = "fairnas trains classifiers: give a folder with one subfolder of images per class"
        raise level.refusal(
            "annotations-as-classes",
            f"{level.parent.path} has {level.shown()}: {_format(level, known)}, not classes",
            f"{remedy}, such as {inside[0].path} if its subfolders are the classes" if inside else remedy,
        )
    for each in known:
        if not each.holds_images or any(
            len(each.inner_names & other.inner_names) > 1 for other in level.folders if other not in known
        ):
            found = _endings(each)
            raise level.refusal(
                "annotations-as-classes",
                f"{each.path} holds {found}, and looks like annotations beside images, not like a class",
                f"move it out of {level.parent.path}",
            )


def _format(level: Level, known: Sequence[Branch]) -> str:
    """Kind of annotated data set that a level is."""
    endings = {os.path.splitext(name)[1].lower() for each in known for branch in each.walk(2) for name in branch.others}
    every = {word for spoken in level.spoken for word in spoken}
    if {name.lower() for name in level.names} & {"jpegimages", "imagesets", "segmentationclass"}:
        return "a set for detection in Pascal VOC's layout"
    if ".json" in endings:
        return "a set for detection in COCO's layout"
    if ".txt" in endings and {"labels", "label", "lbls", "lbl"} & every:
        return "a set for detection in YOLO's layout"
    if ".xml" in endings:
        return "images with boxes in .xml files"
    return "images with their masks or labels"


def _endings(branch: Branch) -> str:
    """Number of files of the most common extension in a folder, as text."""
    endings = Counter(
        os.path.splitext(name)[1].lower() for inner in branch.walk(2) for name in (*inner.images, *inner.others)
    )
    ending, count = endings.most_common(1)[0]
    return f"{count:,} {ending or 'other'} file{'' if count == 1 else 's'}"


def _splits(level: Level) -> None:
    named = any(roles.is_split(each) for each in (*level.spoken, *level.distinct))
    if not (named and level.all_are(roles.is_split, roles.is_images)) and not _hold_the_same(level):
        return
    if len(level.common) > 1:
        raise level.refusal(
            "splits-as-classes",
            f"{level.shown()} in {level.parent.path} look like splits, not classes",
            "name them train, val and test",
        )
    raise level.refusal(
        "splits-as-classes",
        f"{level.shown()} in {level.parent.path} look like splits without class folders, not like classes"
        f"{_hint(level)}",
        "sort the images of train/, and of val/ and test/ if you know theirs, into one subfolder per class "
        "(train/cat, train/dog, ...), or write their classes into labels.csv beside them (filename,label)",
    )


def _hold_the_same(level: Level) -> bool:
    """True if several folders are named like splits and all contain the same class folders."""
    return len(level.common) > 1 and sum(map(roles.is_split, level.spoken)) > 1


def _hint(level: Level) -> str:
    """Note about files that begin with the names of their classes."""
    for each in level.folders:
        found = [
            re.match(r"([^\W\d_]{2,})[\W\d_]*\d", name) for name in each.images[:: max(1, len(each.images) // 200)]
        ]
        begun = Counter(match[1] for match in found if match)
        if 2 <= len(begun) <= 10 and begun.total() == len(found) and min(begun.values()) > 1:
            return f" (files such as {shortened(each.images[:1], 1)} seem to begin with the name of their class)"
    return ""


def _versions(level: Level) -> None:
    with_classes = len(level.common) > 1
    if not any(
        roles.are_versions(spoken, with_classes=with_classes) for spoken in (level.spoken, level.distinct)
    ) and not (level.all_are(roles.is_version)):
        return
    best = next((each for each in level.folders if roles.is_source(roles.words(each.name))), level.folders[0])
    remedy = (
        f"give one of them, such as folder:{best.path}"
        if with_classes
        else "keep one of them and sort its images into one subfolder per class"
    )
    raise level.refusal(
        "versions-as-classes",
        f"{level.shown()} in {level.parent.path} look like versions of the same images, not like classes",
        remedy,
    )


def _mirrors(level: Level) -> None:
    """Refuse a folder beside classes that contains folders of their names."""
    for each, spoken in zip(level.folders, level.spoken, strict=True):
        others = {name.lower() for name in level.names if name != each.name}
        inner = next((inner for inner in each.walk(2) if len(inner.inner_names & others) > 1), None)
        if inner is None:
            continue
        rest = [other for other in level.folders if other is not each]
        identifier = (
            "split-beside-classes"
            if roles.is_split(spoken)
            else "versions-as-classes"
            if roles.is_version(spoken)
            else "annotations-as-classes"
            if roles.is_annotations(spoken)
            else "classes-inside-class"
        )
        remedy = (
            f"move {level.shown(rest)} into {level.parent.at('train')}"
            if roles.is_split(spoken)
            else f"give folder:{inner.path}, or move it out of {level.parent.path}"
        )
        raise level.refusal(
            identifier, f"{inner.path} holds folders of the same names as those beside {each.name}/", remedy
        )


def _strays(level: Level) -> None:
    """Refuse a split or a version beside folders that are classes."""
    splits = _split_like(level)
    kinds = frozenset[str]().union(*(roles.split_kinds(roles.words(each.name)) for each in splits))
    if splits and (kinds != {"train"} or _named_after_classes(level, splits[0])):
        rest = [each for each in level.folders if each not in splits]
        noun = "a split, not a class" if len(splits) == 1 else "splits, not classes"
        raise level.refusal(
            "split-beside-classes",
            f"{level.parent.path} has {level.shown(splits)} beside class folders ({level.shown(rest)}), "
            f"which looks like {noun}",
            f"move {level.shown(rest)} into {level.parent.at('train')} and give every split the same class folders, "
            f"or move {level.shown(splits)} out of {level.parent.path}",
        )
    for each, spoken in zip(level.folders, level.spoken, strict=True):
        others = [name for name in level.names if name != each.name]
        if roles.is_version(spoken, beside_classes=True) and others and not roles.is_denied(each.name, others):
            raise level.refusal(
                "versions-as-classes",
                f"{each.path} lies beside class folders ({shortened(others, NAMED)}) and looks like a version of "
                "their images, not like a class",
                f"move it out of {level.parent.path}, or its images into the class folders",
            )


def _split_like(level: Level) -> list[Branch]:
    """Folders named like a split beside others that are not, unless another name shows that they are classes."""
    if any(map(roles.is_group, level.spoken)):
        return []
    found = [
        each
        for each, spoken in zip(level.folders, level.spoken, strict=True)
        if roles.is_split(spoken)
        and roles.split_kinds(spoken) != {"other"}
        and not roles.is_denied(each.name, level.names)
    ]
    return found if len(found) < len(level.folders) else []


def _named_after_classes(level: Level, branch: Branch) -> bool:
    """True if most images of a folder are named after the folders beside it, such as cat.1.jpg."""
    others = tuple(name.lower() for name in level.names if name != branch.name and len(name) > 1)
    files = branch.images[:: max(1, len(branch.images) // _LOOKED_AT)]
    return bool(files) and sum(file.lower().startswith(others) for file in files) > len(files) / 2


def _crossed(level: Level) -> None:
    """Refuse names that combine a class and a split, or a class and a version."""
    begun: dict[tuple[str, ...], set[str]] = {}
    for spoken in level.spoken:
        for place in {0, len(spoken) - 1} if len(spoken) > 1 else ():
            for kind in roles.split_kinds(spoken[place : place + 1]):
                begun.setdefault(spoken[:place] + spoken[place + 1 :], set()).add(kind)
    twofold = {base for base, kinds in begun.items() if len(kinds) > 1}
    if twofold and all(any(_without(spoken, place) in twofold for place in (0, -1)) for spoken in level.spoken):
        raise level.refusal(
            "splits-as-classes",
            f"{level.shown()} in {level.parent.path} name a class and a split in one",
            "make train/ and test/ with one subfolder per class (train/cat, test/cat, ...)",
        )
    for each, spoken in zip(level.folders, level.spoken, strict=True):
        base = next((other for other in level.spoken if other and other == spoken[:-1]), None)
        if base is not None and roles.is_version(spoken[-1:], beside_classes=True):
            raise level.refusal(
                "versions-as-classes",
                f"{each.path} looks like a version of the class '{' '.join(base)}', not like a class",
                "move its images into that class, or out of the folder",
            )


def _without(spoken: tuple[str, ...], place: int) -> tuple[str, ...]:
    return spoken[1:] if place == 0 else spoken[:-1]
