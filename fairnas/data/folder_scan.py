"""Quick scan of a folder of images, before any settings are chosen. No torch, no decoding."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.config import Fit, FolderReading
from fairnas.data.class_folders import SplitFolder, shown
from fairnas.data.decode import Header, look, quiet_pillow
from fairnas.data.finding import Finding
from fairnas.data.folder_layout import read_layout
from fairnas.data.formats import CorruptImageError
from fairnas.errors import DataError

_LOOKED_AT = 200  # number of headers in the sample


@dataclass(frozen=True)
class FolderFacts:
    """Facts from a quick scan of a folder of images.

    `train`, `validation` and `test` count image files as they lie in the folder, 0 where a split is carved
    out of `train` later; `smallest_class` and `largest_class` are numbers of training images; `median_side` is
    the median shorter side in pixels; `image_channels` is 1 if all images looked at are grey, else 3.
    """

    classes: tuple[str, ...]
    train: int
    validation: int
    test: int
    smallest_class: int
    largest_class: int
    median_side: int
    image_channels: int


def scan_folder(path: Path, reading: FolderReading = "auto", labels: str | None = None) -> FolderFacts:
    """Scan a folder: its classes, numbers of images, and the headers of up to 200 training images.

    Args:
        path: the folder.
        reading: as `data.layout`, the meaning of its subfolders.
        labels: as `data.labels`, a file with the classes of its images.

    Raises:
        DataError: if it does not contain a data set; the message says what to change.
    """
    layout = read_layout(path, reading, labels)
    headers = sample_headers(layout.train)
    sizes = [len(member.files) for member in layout.train.classes]
    counts = [split.count if split else 0 for split in (layout.train, layout.validation, layout.test)]
    return FolderFacts(
        classes=layout.train.names,
        train=counts[0],
        validation=counts[1],
        test=counts[2],
        smallest_class=min(sizes),
        largest_class=max(sizes),
        median_side=round(statistics.median(min(header.width, header.height) for header in headers)),
        image_channels=found_channels(headers),
    )


def sample_headers(split: SplitFolder) -> tuple[Header, ...]:
    """Headers of up to 200 images, evenly spaced over the split, corrupt ones left out.

    Raises `DataError` if all are corrupt.
    """
    headers, reason = [], ""
    with quiet_pillow():
        for file in _spread(split, _LOOKED_AT):
            try:
                headers.append(look(str(split.folder / file)))
            except CorruptImageError as error:
                reason = reason or f"{shown(split.folder / file)}: {error}"
    if not headers:
        raise DataError(f"none of the images looked at in {split.folder} can be used ({reason}); replace them")
    return tuple(headers)


def cut_findings(headers: Sequence[Header], fit: Fit) -> tuple[Finding, ...]:
    """Finding if the centre crop removes more than a third of the typical image."""
    by_shape = sorted(headers, key=lambda header: max(header.width, header.height) / min(header.width, header.height))
    typical = by_shape[len(by_shape) // 2]
    short, long = sorted((typical.width, typical.height))
    if fit != "crop" or 3 * (long - short) <= long:
        return ()
    message = (
        f"the square in the middle leaves out {1 - short / long:.0%} of the typical image ({typical.width} x "
        f"{typical.height} pixels); --data.fit pad keeps all of it between black bars, --data.fit squash squeezes it"
    )
    return (Finding("cut-away", message),)


def _spread(split: SplitFolder, count: int) -> Iterable[str]:
    """Up to `count` files, evenly spaced over the split."""
    files = [file for member in split.classes for file in member.files]
    return dict.fromkeys(files[place * len(files) // count] for place in range(count))


def found_channels(headers: Sequence[Header]) -> int:
    """Number of channels: 1 if all images are grey, else 3."""
    return 1 if all(header.grey for header in headers) else 3
