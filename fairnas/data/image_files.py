"""Collections of image files: names in little memory, checked or decoded by several threads. No torch."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from fairnas.data.class_folders import SplitFolder, shown
from fairnas.data.decode import Header, check, quiet_pillow, read_image
from fairnas.data.decoding import Decoding
from fairnas.data.finding import Finding
from fairnas.data.formats import CorruptImageError, unlike_its_ending
from fairnas.data.progress import Progress, silent
from fairnas.data.splits import CORRUPT_ALLOWED
from fairnas.errors import DataError

# Cores that this process may use: a container may have fewer than the machine.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

_CHUNK = 64  # files per task of a thread


@dataclass(frozen=True, eq=False)
class Files:
    """Labelled image files below one folder.

    Names are one array of bytes, because worker processes share an array but would each copy a list of strings.
    """

    folder: str
    names: np.ndarray  # (N,) bytes, relative to the folder
    sizes: np.ndarray  # (N,) int64, bytes
    labels: np.ndarray  # (N,) int64

    @staticmethod
    def of(split: SplitFolder) -> "Files":
        """Files of one split; labels are indices of the class names in their order."""
        names = [os.fsencode(file) for member in split.classes for file in member.files]
        sizes = [size for member in split.classes for size in member.sizes]
        counts = [len(member.files) for member in split.classes]
        labels = np.repeat(np.arange(len(counts)), counts)
        return Files(str(split.folder), np.array(names), np.array(sizes, np.int64), labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.names)

    def path(self, place: int) -> str:
        """Path of one file."""
        return os.path.join(self.folder, os.fsdecode(bytes(self.names[place])))

    def take(self, places: np.ndarray) -> "Files":
        """Some of the files, in the given order."""
        return Files(self.folder, self.names[places], self.sizes[places], self.labels[places])

    def members(self) -> Iterator[bytes]:
        """Name of each image, for `splits.ranks`."""
        return iter(self.names.tolist())

    def content(self) -> Iterator[bytes]:
        """Content of the fingerprint: names, sizes and labels, independent of the folder's name."""
        rows = zip(self.names.tolist(), self.sizes.tolist(), self.labels.tolist(), strict=True)
        for name, size, label in sorted(rows):
            yield name + f"\0{size}\0{label}\0".encode()


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of opening files."""

    corrupt: Mapping[int, str]
    """Reasons that files cannot be decoded, by position."""
    coloured: int = 0
    """Number of files with colours."""
    deep: int = 0
    """Number of files with more than 8 bits per channel."""
    disguised: Counter[str] = field(default_factory=Counter)
    """Numbers of files whose format differs from their extension, by description."""

    @staticmethod
    def joined(parts: Sequence["Outcome"]) -> "Outcome":
        """Combined outcome of several parts of the files."""
        return Outcome(
            {place: reason for part in parts for place, reason in part.corrupt.items()},
            sum(part.coloured for part in parts),
            sum(part.deep for part in parts),
            sum((part.disguised for part in parts), Counter()),
        )


def check_all(files: Files, progress: Progress = silent) -> Outcome:
    """Check header and end of every file, without decoding (see `decode.check`)."""
    return _in_threads(files, lambda place: check(files.path(place)), progress, "looking at files")


def decode_all(
    files: Files, decoding: Decoding, progress: Progress = silent, sides: np.ndarray | None = None
) -> tuple[np.ndarray, Outcome]:
    """Decode every file to a square.

    Args:
        files: the files to decode.
        decoding: the settings.
        progress: receives the number of files decoded.
        sides: (N, 2) integers; receives width and height of every upright image, unchanged for corrupt files.

    Returns:
        Pixels (N, S, S, C), uint8, undefined for corrupt files; and the outcome.
    """
    pixels = np.empty((len(files), *decoding.shape), np.uint8)

    def decode(place: int) -> Header:
        pixels[place], header = read_image(files.path(place), decoding)
        if sides is not None:
            sides[place] = header.width, header.height
        return header

    return pixels, _in_threads(files, decode, progress, "decoding images")


def try_all(files: Files, decoding: Decoding, progress: Progress = silent) -> Outcome:
    """Decode every file as `decode_all` does, but only for the outcome: for sets that do not fit into memory."""
    return _in_threads(files, lambda place: read_image(files.path(place), decoding)[1], progress, "decoding images")


def usable(files: Files, outcome: Outcome, classes: Sequence[str], among: Files) -> np.ndarray:
    """Positions of the usable files, in order.

    Raises:
        DataError: if more than a tenth of a class is corrupt, which suggests another fault. The size of the class is
            taken from `among`, which the files were chosen from.
    """
    corrupt = np.array(sorted(outcome.corrupt), dtype=np.int64)
    bad = np.bincount(files.labels[corrupt], minlength=len(classes))
    total = np.bincount(among.labels, minlength=len(classes))
    for label in np.flatnonzero(bad > CORRUPT_ALLOWED * total).tolist():
        first = next(place for place in corrupt.tolist() if files.labels[place] == label)
        raise DataError(
            f"{bad[label]} of {total[label]} images of class '{classes[label]}' are corrupt, at most "
            f"{CORRUPT_ALLOWED:.0%} may be; the first is {shown(files.path(first))} ({outcome.corrupt[first]}); "
            "replace or remove them"
        )
    return np.setdiff1d(np.arange(len(files)), corrupt, assume_unique=True)


def corrupt_finding(files: Files, outcome: Outcome) -> tuple[Finding, ...]:
    """Finding about files that are left out: nothing, or one line with the first five names."""
    places = sorted(outcome.corrupt)
    if not places:
        return ()
    names = ", ".join(shown(os.fsdecode(bytes(files.names[place]))) for place in places[:5])
    noun = "corrupt file" if len(places) == 1 else "corrupt files"
    message = f"{len(places)} {noun} left out of {files.folder}: {names}{', ...' if len(places) > 5 else ''}"
    return (Finding("corrupt-files", message),)


def disguise_finding(outcome: Outcome) -> tuple[Finding, ...]:
    """Finding about images whose format differs from their extension: nothing, or one line."""
    line = disguise_line(outcome.disguised)
    return (Finding("other-format", line),) if line else ()


def disguise_line(disguised: Counter[str]) -> str:
    """Line about images whose format differs from their extension, by description; empty if there are none."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in disguised.most_common(5))
    return f"{kinds}; they are used as what they are" if kinds else ""


def _in_threads(files: Files, work: Callable[[int], Header], progress: Progress, text: str) -> Outcome:
    """Do the work for every file; it returns the file's header, or raises `CorruptImageError`."""

    def some(start: int) -> Outcome:
        corrupt, headers = {}, dict[int, Header]()
        for place in range(start, min(start + _CHUNK, len(files))):
            try:
                headers[place] = work(place)
            except CorruptImageError as error:
                corrupt[place] = str(error)
        names = (unlike_its_ending(files.path(place), header.form) for place, header in headers.items())
        return Outcome(
            corrupt,
            coloured=sum(not header.grey for header in headers.values()),
            deep=sum(header.deep for header in headers.values()),
            disguised=Counter(name for name in names if name),
        )

    with quiet_pillow():
        pool = ThreadPoolExecutor(min(8, CORES))
        try:
            parts = []
            for part in pool.map(some, range(0, len(files), _CHUNK)):
                parts.append(part)
                progress(min(len(parts) * _CHUNK, len(files)), len(files), text)
        finally:
            pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for a million files
    return Outcome.joined(parts)
