"""Images whose classes are in a labels file: matching rows with files, and rows that do not fit. No torch."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairnas.data import roles
from fairnas.data.branch import Branch
from fairnas.data.class_folders import ClassFolder, SplitFolder
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.imagenames import ImageNames, ListedFolder
from fairnas.data.labels import LabelsFile, Row, is_labels_file, read_labels, unreadable
from fairnas.data.names import quoted, shortened, visible
from fairnas.data.splits import CORRUPT_ALLOWED

_MAIN = ("labels", "label", "train", "train_labels", "train-labels", "trainlabels")
_ENDINGS = (".csv", ".tsv")
_MANY_CLASSES = 20
"""Number of labels above which labels with less than two images each are not classes."""


@dataclass(frozen=True)
class Listed:
    """Splits of a labels file, by kind (`train`, `val`, `test`), and findings."""

    splits: Mapping[str, SplitFolder]
    findings: tuple[Finding, ...]


def find_labels(root: Branch) -> Path | None:
    """Labels file beside images: labels.csv, train.csv or the only table whose header reads like one."""
    tables = {name.lower(): name for name in root.others if name.lower().endswith(_ENDINGS)}
    for name in (stem + ending for stem in _MAIN for ending in _ENDINGS):
        if name in tables:
            return Path(root.at(tables[name]))
    # labels in a sample submission are dummies
    paths = [Path(root.at(name)) for low, name in tables.items() if "submission" not in low]
    found = [path for path in paths if is_labels_file(path)]
    return found[0] if len(found) == 1 else None


def read_listed(root: Branch, file: Path) -> Listed:
    """Read the images below a folder that a labels file lists; lists of other splits lie beside it.

    Without a column for the split, it is given by the folder of each image (`train/`, `val/`, `test/`), if the rows use
    several of them.

    Raises:
        RefusedImages: if rows contradict each other, lead out of the folder or mean several files, or if more than
            a tenth of them have no image.
    """
    images = ImageNames(root)
    own = _folder_of_list(root, file)
    found = _matched(images, read_labels(file), own)
    lists = {"train": found} if own is not None and own.kind == "train" else {}
    for kind, further in _further(root, file) if lists else ():
        lists[kind] = _matched(images, read_labels(further), _folder_of_list(root, further))
    members = _by_split(found, lists)
    if "train" not in members:
        raise unreadable(file, "lists no training images", "give split the value train in some rows")
    _require_classes(file, found)
    splits = {kind: _split_folder(root, rows, images) for kind, rows in members.items()}
    told = [finding for each in (lists.values() or [found]) for finding in each.findings]
    _require_apart(members, file)
    used = {name for rows in members.values() for name in rows}
    return Listed(splits, (*told, *_unlisted(images, used, file)))


def listed_split(root: Branch, split: Branch) -> Listed | None:
    """Read the images of one split whose classes are in a list in its folder or beside it; None without a list.

    Examples are `val/val_annotations.txt` with `val/images/`, and `val.csv`.
    """
    stems = (f"{split.name}_annotations", f"{split.name}_labels", split.name)
    places = [(split, stem) for stem in (*stems, "labels")] + [(root, stem) for stem in stems]
    for branch, name in [(branch, stem + ending) for branch, stem in places for ending in (*_ENDINGS, ".txt")]:
        if name in branch.others and is_labels_file(Path(branch.at(name))):
            images = ImageNames(split)
            found = _matched(images, read_labels(Path(branch.at(name))), None)
            told = (*found.findings, *_unlisted(images, found.rows.keys(), found.file.path))
            return Listed({split.name: _split_folder(split, found.labels, images)}, told)
    return None


@dataclass
class _Matched:
    """Rows with the files that they mean."""

    file: LabelsFile
    rows: dict[str, Row] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {name: row.label for name, row in self.rows.items()}


def _matched(images: ImageNames, listing: LabelsFile, own: ListedFolder | None) -> _Matched:
    result, repeated, lost = _Matched(listing), 0, []
    for row in listing.rows:
        called = images.called(_inside(listing.path, row), own)
        if len(called) > 1:
            raise unreadable(
                listing.path,
                f"means several images by {quoted(row.file)} in line {row.line:,}: {shortened(called, 3)}",
                "write their paths",
            )
        if not called:
            lost.append(row)
            continue
        before = result.rows.setdefault(called[0], row)
        if before is row:
            continue
        if (before.label, before.split) != (row.label, row.split):
            one, two = ((each.label, each.split or "") for each in (before, row))
            apart = (one[0], two[0]) if one[0] != two[0] else (one[1], two[1])
            raise RefusedImages(
                Finding(
                    "labels-contradict",
                    f"{listing.path} says two things about {called[0]}: {quoted(apart[0])} in line {before.line:,} and "
                    f"{quoted(apart[1])} in line {row.line:,}; keep one of the lines",
                )
            )
        repeated += 1
    _require_most(listing, lost)
    classes = {row.label for row in result.rows.values()}
    columns = " and ".join(quoted(name) for name in listing.columns[:2])
    result.findings.append(
        Finding(
            "labels-file",
            f"labels of {len(result.rows):,} images in {len(classes):,} classes come from {listing.path} ({columns})",
        )
    )
    if lost:
        first = f"{quoted(lost[0].file)} in line {lost[0].line:,}"
        result.findings.append(
            Finding(
                "labels-no-image",
                f"{len(lost):,} of {len(listing.rows):,} rows of {listing.path} have no image: {first}",
            )
        )
    if repeated:
        rows, stand = ("row", "stands") if repeated == 1 else ("rows", "stand")
        result.findings.append(
            Finding("labels-repeated", f"{repeated:,} {rows} of {listing.path} {stand} there more than once")
        )
    return result


def _inside(path: Path, row: Row) -> str:
    """File of a row as a path below the folder. Raises `RefusedImages` if it leads elsewhere."""
    file = row.file.replace("\\", "/")
    parts = [part for part in file.split("/") if part not in ("", ".")]
    if file.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")) or not parts:
        raise unreadable(
            path,
            f"leads out of the folder with {quoted(row.file[:200])} in line {row.line:,}",
            "give paths below the folder of images",
        )
    return "/".join(parts)


def _require_most(listing: LabelsFile, lost: Sequence[Row]) -> None:
    if len(lost) <= CORRUPT_ALLOWED * len(listing.rows):
        return
    found = f"{len(lost):,} of {len(listing.rows):,} rows of {listing.path} have no image"
    first = f"{quoted(lost[0].file[:200])} in line {lost[0].line:,}"
    raise RefusedImages(
        Finding(
            "labels-no-image",
            f"{found}, and at most {CORRUPT_ALLOWED:.0%} may have none; the first is {first}; put the images beside "
            "the file, or correct the names",
        )
    )


def _require_classes(file: Path, found: _Matched) -> None:
    counts = Counter(found.labels.values())
    if len(counts) > _MANY_CLASSES and len(counts) > len(found.rows) / 2:
        some = ", ".join(quoted(label) for label in list(counts)[:3])
        message = f"{file} has {len(counts):,} different labels for {len(found.rows):,} images ({some}, ...)"
        remedy = "so they are no classes; give a column with the names of classes"
        raise RefusedImages(Finding("labels-no-classes", f"{message}, {remedy}"))


def _by_split(found: _Matched, lists: Mapping[str, _Matched]) -> dict[str, dict[str, str]]:
    """Files with their labels, by kind of split."""
    members: dict[str, dict[str, str]] = {}
    if lists:
        for kind, each in lists.items():
            members.setdefault(kind, {}).update(each.labels)
        return members
    rows = found.rows
    kinds = {name: _kind(name.partition("/")[0]) for name in rows}
    by_folder = len(set(kinds.values()) - {None}) > 1
    for name, row in rows.items():
        kind = row.split or (kinds[name] if by_folder else None) or "train"
        members.setdefault(kind, {})[name] = row.label
    return members


def _kind(folder: str) -> str | None:
    """Kind of split that a folder's name means."""
    spoken = roles.words(folder)
    kinds = roles.split_kinds(spoken) & {"train", "val", "test"} if roles.is_split(spoken) else frozenset()
    return next(iter(kinds)) if len(kinds) == 1 else None


def _folder_of_list(root: Branch, file: Path) -> ListedFolder | None:
    """Folder that train.csv or test_labels.csv describes, if there is one of that name."""
    stem = file.stem.lower().replace("-", "_").removesuffix("_labels").removesuffix("labels")
    for each in root.folders:
        kind = _kind(each.name)
        if kind is not None and stem == each.name.lower():
            return ListedFolder(each.name, kind)
    return None


def _further(root: Branch, main: Path) -> Iterator[tuple[str, Path]]:
    """Lists of the other splits beside the list of the training images."""
    for name in root.others:
        path = Path(root.at(name))
        place = _folder_of_list(root, path) if name.lower().endswith(_ENDINGS) and path != main else None
        if place is not None and place.kind != "train" and is_labels_file(path):
            yield place.kind, path


def _split_folder(root: Branch, labels: Mapping[str, str], images: ImageNames) -> SplitFolder:
    classes: dict[str, list[str]] = {}
    for name, label in labels.items():
        classes.setdefault(label, []).append(name)
    return SplitFolder(
        Path(root.path),
        tuple(
            ClassFolder(label, tuple(sorted(names)), tuple(images.sizes[name] for name in sorted(names)))
            for label, names in sorted(classes.items())
        ),
        others=(),
        links=(),
        runs=(),
    )


def _require_apart(members: Mapping[str, Mapping[str, str]], file: Path) -> None:
    """Raise `RefusedImages` if an image is in two splits."""
    seen: dict[str, str] = {}
    for kind, rows in members.items():
        for name in rows:
            if name in seen:
                message = f"{name} is listed for {seen[name]} and for {kind}, by {file} and the lists beside it"
                raise RefusedImages(Finding("labels-contradict", f"{message}; keep one of the rows"))
            seen[name] = kind


def _unlisted(images: ImageNames, used: Iterable[str], file: Path) -> Iterator[Finding]:
    """Findings about images without a row."""
    used = set(used)
    rest = sorted(images.sizes.keys() - used)
    begun = {name.partition("/")[0] for name in used}
    tests = Counter(name.partition("/")[0] for name in rest if _kind(name.partition("/")[0]) == "test")
    for folder, count in tests.items():
        if folder not in begun:
            message = f"{folder}/ is not used: its {count:,} images have no row in {file}"
            yield Finding("test-unlabelled", f"{message}, so nobody knows their classes")
            rest = [name for name in rest if not name.startswith(f"{folder}/")]
    if rest:
        noun, verb = ("image has", "is") if len(rest) == 1 else ("images have", "are")
        message = f"{len(rest):,} {noun} no row in {file} and {verb} not used: {visible(rest[0])}"
        yield Finding("labels-unlisted", f"{message}{', ...' if len(rest) > 1 else ''}")
