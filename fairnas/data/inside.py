"""Content of class folders: splits, masks or versions that would be taken for images of the class. No torch."""

from collections.abc import Iterator, Sequence

from fairnas.data import roles
from fairnas.data.branch import Branch
from fairnas.data.finding import Finding
from fairnas.data.level import NAMED, Level
from fairnas.data.names import shortened


def require_no_splits(level: Level) -> None:
    """Refuse class folders that contain train and test images. Raises `RefusedImages`."""
    kinds = {each: _kinds(each) for each in level.folders}
    holders = [each for each in level.folders if kinds[each] & {"val", "test"}]
    if not _is_pattern(level, holders, any(len(kinds[each]) > 1 for each in holders)):
        return
    first = holders[0]
    names = shortened([each.name for each in first.own_folders], NAMED)
    raise level.refusal(
        "splits-inside-classes",
        f"{first.path} has the splits {names} inside a class, which would mix them",
        f"turn the two levels round (train/{first.name}, test/{first.name}, ...)",
    )


def _kinds(branch: Branch) -> set[str]:
    """Kinds of splits among the subfolders of a folder."""
    inner = [each.name for each in branch.own_folders if each.holds_images]
    return {
        kind
        for name in inner
        if roles.is_split(roles.words(name)) and not roles.is_denied(name, inner)
        for kind in roles.split_kinds(roles.words(name))
    }


def require_no_annotations(level: Level) -> None:
    """Refuse class folders that contain masks or labels beside images. Raises `RefusedImages`."""
    holders = [each for each in level.folders if _annotations(each)]
    beside = [any(roles.is_images(roles.words(inner.name)) for inner in each.own_folders) for each in holders]
    if not _is_pattern(level, holders, any(beside)):
        return
    first = holders[0]
    names = shortened([each.name for each in _annotations(first)], NAMED)
    raise level.refusal(
        "annotations-inside-classes",
        f"{first.path} has {names} beside its images, which would be taken for images of the class",
        f"move {names} out of the class folders",
    )


def _annotations(branch: Branch) -> list[Branch]:
    """Subfolders of masks or labels, if a folder contains only these and images."""
    inner = [each for each in branch.own_folders if each.holds_images]
    known = [each for each in inner if roles.is_annotations(roles.words(each.name))]
    plain = [each for each in inner if roles.is_images(roles.words(each.name))]
    return known if len(known) + len(plain) == len(inner) and (plain or branch.images) else []


def _is_pattern(level: Level, holders: Sequence[Branch], sure: bool) -> bool:
    """True if the content of some class folders is a pattern of the whole layout, not a coincidence."""
    return bool(holders) and (sure or len(holders) >= max(2, len(level.folders) // 2))


def told_inside(level: Level) -> Iterator[Finding]:
    """Findings about folders inside class folders."""
    if len(level.common) > 1:
        below = shortened(sorted(level.common), 5)
        yield Finding(
            "same-subfolders",
            f"all class folders in {level.parent.path} hold the same subfolders ({below}), which are taken together; "
            f"the classes are {level.shown()}",
        )
    versions = [each for each in level.folders if _holds_versions(each)]
    if versions:
        first = versions[0]
        names = shortened([each.name for each in first.own_folders], 5)
        yield Finding(
            "versions-inside-classes",
            f"class folders such as {first.path} hold versions of images ({names}): carved validation and test images "
            "may be versions of training images, so accuracies may be too high",
        )


def _holds_versions(branch: Branch) -> bool:
    spoken = [roles.words(each.name) for each in branch.own_folders]
    beside = bool(branch.images) and any(roles.is_version(each, beside_classes=True) for each in spoken)
    return beside or roles.are_versions(spoken, with_classes=False)
