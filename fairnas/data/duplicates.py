"""Exact copies: files, or images of an array, with equal content. No torch, no decoding."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fairnas.data.class_folders import SplitFolder
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.image_files import CORES
from fairnas.data.progress import Progress, silent

_TAIL = 4096
"""Bytes at the end of a file that differ for nearly all files of equal size, while headers are alike."""
_CHUNK = 64  # files per task of a thread
_BLOCK = 1 << 20  # bytes read at a time


def content_ids(paths: Sequence[str], sizes: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """Find files of equal content: equal in size, then in their last bytes, then as a whole.

    Args:
        paths: of N files.
        sizes: (N,) in bytes.
        progress: receives the number of files read.

    Returns:
        A number (N,) per file, shared only by files of equal content. Empty and unreadable files have unique numbers.
    """
    ids = np.arange(len(paths))
    alike = np.flatnonzero(_repeated(sizes) & (sizes > 0))
    tails = _digests(paths, alike, _tail, progress, "comparing files of equal size")
    keys = {place: (int(sizes[place]), digest) for place, digest in tails.items()}
    count = Counter(keys.values())
    longer = [place for place, key in keys.items() if count[key] > 1 and key[0] > _TAIL]
    whole = _digests(paths, np.array(longer, np.int64), _whole, progress, "comparing files that end alike")
    first: dict[tuple[int, bytes], int] = {}
    for place, (size, tail) in keys.items():
        if count[size, tail] > 1 and (content := tail if size <= _TAIL else whole.get(place)):
            ids[place] = first.setdefault((size, content), place)
    return ids


def row_ids(*parts: np.ndarray) -> np.ndarray:
    """Number per image of some arrays (N_i, ...), one array after another, shared only by equal images."""
    rows = (row for part in parts for row in np.ascontiguousarray(part).reshape(len(part), -1))
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.data, digest_size=16).digest() for row in rows)
    return np.array([first.setdefault(digest, place) for place, digest in enumerate(digests)], np.int64)


def require_classes_apart(split: SplitFolder, progress: Progress = silent) -> None:
    """Raise `RefusedImages` if all images of one class also lie in another: no network could separate the two.

    Few files are read: those of classes whose file sizes all occur in another class.
    """
    suspects = _suspects(split)
    if not suspects:
        return
    involved = sorted({place for pair in suspects for place in pair})
    paths = [str(split.folder / file) for place in involved for file in split.classes[place].files]
    ids = content_ids(paths, np.concatenate([split.classes[place].sizes for place in involved]), progress)
    ends = np.cumsum([len(split.classes[place].files) for place in involved])
    contents = {place: set(part.tolist()) for place, part in zip(involved, np.split(ids, ends[:-1]), strict=True)}
    for inner, outer in suspects:
        if contents[inner] <= contents[outer]:
            equal = contents[inner] == contents[outer]
            raise RefusedImages(Finding("class-copied", _copied(split, inner, outer, equal)))


def _suspects(split: SplitFolder) -> list[tuple[int, int]]:
    """Pairs of classes, by position, of which the first may be contained in the second, judging by file sizes."""
    homes: dict[int, set[int]] = {}
    for place, member in enumerate(split.classes):
        for size in set(member.sizes):
            homes.setdefault(size, set()).add(place)
    pairs = []
    for place, member in enumerate(split.classes):
        if len(member.files) < 2 or 0 in member.sizes:  # a single image in two classes gets another finding
            continue
        others = set(range(len(split.classes))) - {place}
        for size in set(member.sizes):
            others &= homes[size]
            if not others:
                break
        pairs += [(place, other) for other in sorted(others)]
    return pairs


def _copied(split: SplitFolder, inner: int, outer: int, equal: bool) -> str:
    first, second = (split.classes[place] for place in sorted((inner, outer)))
    if os.path.realpath(split.folder / first.name) == os.path.realpath(split.folder / second.name):
        names = f"'{first.name}' and '{second.name}'"
        return f"the class folders {names} in {split.folder} are one, by a link; remove the link"
    if equal:
        return (
            f"the classes '{first.name}' and '{second.name}' in {split.folder} hold the same images, so that nothing "
            "tells them apart; remove one of the two, or give it images of its own"
        )
    small, large = split.classes[inner], split.classes[outer]
    return (
        f"every image of class '{small.name}' in {split.folder} lies in class '{large.name}', too, so that nothing "
        f"tells them apart; leave these images in one of the two folders ({len(small.files):,} files)"
    )


def _repeated(values: np.ndarray) -> np.ndarray:
    """Mask of the values that occur more than once."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def _digests(
    paths: Sequence[str], places: np.ndarray, read: Callable[[str], bytes | None], progress: Progress, text: str
) -> dict[int, bytes]:
    """Digest of each file, by its position; unreadable files are left out."""

    def some(start: int) -> list[tuple[int, bytes]]:
        found = [(place, read(paths[place])) for place in map(int, places[start : start + _CHUNK])]
        return [(place, digest) for place, digest in found if digest is not None]

    digests: dict[int, bytes] = {}
    pool = ThreadPoolExecutor(min(8, CORES))
    try:
        for number, part in enumerate(pool.map(some, range(0, len(places), _CHUNK))):
            digests.update(dict(part))
            progress(min((number + 1) * _CHUNK, len(places)), len(places), text)
    finally:
        pool.shutdown(cancel_futures=True)
    return digests


def _tail(path: str) -> bytes | None:
    """Last bytes of a file, or all of a small one."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL))
            return _digest([file.read(_TAIL)])
    except OSError:
        return None  # decoding it reports the reason


def _whole(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return _digest(iter(lambda: file.read(_BLOCK), b""))
    except OSError:
        return None


def _digest(blocks: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for block in blocks:
        digest.update(block)
    return digest.digest()
