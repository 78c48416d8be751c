"""Folders that are splits by their names: `train/` and the folders beside it. No torch."""

from collections.abc import Iterator, Mapping, Sequence

from fairnas.config import FolderReading
from fairnas.data import roles
from fairnas.data.branch import Branch
from fairnas.data.class_folders import shown
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.names import shortened, visible

VALIDATION_NAMES = ("val", "valid", "validation")
_NAMED = 5  # names in a message; a thousand would bury it


def splits_by_name(root: Branch) -> dict[str, tuple[Branch, ...]]:
    """Folders that are splits by their names, ignoring case and invisible characters."""
    found: dict[str, tuple[Branch, ...]] = {}
    for each in root.folders:
        name = next((known for known in ("train", "test", *VALIDATION_NAMES) if _is_called(each.name, known)), None)
        if name is not None:
            found[name] = (*found.get(name, ()), each)
    return found


def _is_called(name: str, known: str) -> bool:
    """True if a name is the known one, or differs only in case, spaces and invisible characters."""
    letters = [character for character in name if character.isalnum()]
    rest = [character for character in name if not character.isalnum()]
    return "".join(letters).lower() == known and not any(c.isascii() and not c.isspace() for c in rest)


def is_split_layout(root: Branch, train: Sequence[Branch], reading: FolderReading) -> bool:
    """True if `train/` contains class folders and is not itself a class, as it is beside `bus/`.

    Raises:
        RefusedImages: if it could be either.
    """
    holding = [each for each in train if holds_classes(each)]
    if not holding or reading == "splits":
        return bool(holding)
    folder, names = holding[0], {name for name in splits_by_name(root) if name != "train"}
    beside = [
        each
        for each in root.folders
        if each not in train and not roles.is_leftover(roles.words(each.name)) and each.holds_images
    ]
    if names or not beside or any(each.name.lower() in folder.inner_names for each in beside):
        return True
    if folder.images or all(each.inner_names == folder.inner_names for each in beside):
        return False
    rest, inner = (shortened([each.name for each in some], _NAMED) for some in (beside, folder.folders))
    raise RefusedImages(
        Finding(
            "split-beside-classes",
            f"{folder.path} holds the folders {inner}, and {rest} lies beside it, so it may be a split or a class; "
            f"give --data.layout splits if {inner} are the classes ({rest} is then not used), or --data.layout classes "
            f"if {folder.name} is a class like {rest}",
        )
    )


def require_single(root: Branch, by_name: Mapping[str, Sequence[Branch]]) -> None:
    """Raise `RefusedImages` if two folders have names that differ only in overlooked details, or the same meaning."""
    for name, folders in by_name.items():
        if len(folders) > 1:
            _refuse_twice(root, folders, f"put their content together in {name}/")
    present = [folders[0] for name, folders in by_name.items() if name in VALIDATION_NAMES]
    if len(present) > 1:
        _refuse_twice(root, present, "keep one of them")


def _refuse_twice(root: Branch, folders: Sequence[Branch], remedy: str) -> None:
    names = " and ".join(f"{visible(each.name)}/" for each in folders)
    raise RefusedImages(Finding("split-twice", f"{root.path} has both {names}; {remedy}"))


def told_beside(root: Branch) -> Iterator[Finding]:
    """Findings about folders beside `train/` that are not splits."""
    known = {each.path for folders in splits_by_name(root).values() for each in folders}
    if unused := [each.name for each in root.folders if each.path not in known]:
        yield Finding("extra-folders", f"folders beside train/ not used: {shortened(unused, _NAMED)}")
    if runs := [shown(each.name) for each in root.every_folder if each not in root.folders]:
        yield Finding("run-directories", f"run directories left out of {root.path}: {shortened(runs, _NAMED)}")


def holds_classes(branch: Branch) -> bool:
    """True if a split contains class folders: any folders, except a single one for images as such."""
    folders = branch.folders
    return bool(folders) and not (len(folders) == 1 and roles.is_images(roles.words(folders[0].name)))
