"""A quick look at a folder of images, before anything is decided about it. No torch, no decoding."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.data.classfolders import SplitFolder, shown
from fairnas.data.decode import CorruptImageError, Header, look, quiet_pillow
from fairnas.data.layout import read_layout
from fairnas.errors import DataError

_LOOKED_AT = 200  # headers that stand for all of them


@dataclass(frozen=True)
class FolderFacts:
    """A quick look at a folder of images.

    `train`, `validation` and `test` count image files as they lie in the folder, 0 where a split is carved
    out of `train` later; `smallest_class` is the least number of training images in a class; `median_side` is
    the median shorter side in pixels; `image_channels` is 1 if all images looked at are grey, else 3.
    """

    classes: tuple[str, ...]
    train: int
    validation: int
    test: int
    smallest_class: int
    median_side: int
    image_channels: int


def scan_folder(path: Path) -> FolderFacts:
    """Look at a folder: its classes, numbers of images, and the headers of up to 200 training images.

    Raises `DataError` if it does not hold a data set; the message says what to change.
    """
    layout = read_layout(path)
    headers = sample_headers(layout.train)
    counts = [split.count if split else 0 for split in (layout.train, layout.validation, layout.test)]
    return FolderFacts(
        classes=layout.train.names,
        train=counts[0],
        validation=counts[1],
        test=counts[2],
        smallest_class=min(len(member.files) for member in layout.train.classes),
        median_side=round(statistics.median(min(header.width, header.height) for header in headers)),
        image_channels=found_channels(headers),
    )


def sample_headers(split: SplitFolder) -> tuple[Header, ...]:
    """Headers of up to 200 images, evenly spaced over the split, corrupt ones left out.

    Raises `DataError` if all are corrupt.
    """
    files = [file for member in split.classes for file in member.files]
    chosen = [files[place * len(files) // _LOOKED_AT] for place in range(_LOOKED_AT)]
    headers, reason = [], ""
    with quiet_pillow():
        for file in dict.fromkeys(chosen):
            try:
                headers.append(look(str(split.folder / file)))
            except CorruptImageError as error:
                reason = reason or f"{shown(split.folder / file)}: {error}"
    if not headers:
        raise DataError(f"none of the images looked at in {split.folder} can be used ({reason}); replace them")
    return tuple(headers)


def found_channels(headers: Sequence[Header]) -> int:
    """1 if all images are grey, else 3."""
    return 1 if all(header.grey for header in headers) else 3
