"""Groups of images that `data.group` names: videos, patients, bursts. No torch, no decoding.

A group is identified by its key: the match of a regular expression in the name of a file, or a cell of a CSV file.
"""

import contextlib
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairnas.config import DataConfig
from fairnas.config.checks import quoted
from fairnas.data.class_folders import shown
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.grouptable import read_table
from fairnas.data.image_files import Files
from fairnas.data.repeats import KIND
from fairnas.data.splits import ranks
from fairnas.errors import DataError

_SECONDS = 10.0  # seconds of a core; an ordinary pattern takes two for a million names
_SHOWN = 3  # names in a message


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of some files."""

    ids: np.ndarray
    """(N,) integers: indices into `names`; distinct negative numbers for images without a group."""
    names: tuple[str, ...]

    def ranks(self, rank: np.ndarray, seed: int) -> np.ndarray:
        """Ranks (N,) of the images, equal within a group: they depend only on the seed and the group's name."""
        of_groups = ranks(seed, (b"group\0" + os.fsencode(name) for name in self.names))
        found, grouped = rank.copy(), self.ids >= 0
        found[grouped] = of_groups[self.ids[grouped]]
        return found

    def take(self, places: np.ndarray) -> "Groups":
        """Groups of some of the files."""
        return Groups(self.ids[places], self.names)


def read_groups(config: DataConfig, files: Mapping[str, Files]) -> dict[str, Groups]:
    """Find the group of every image.

    Args:
        config: its `group` defines the groups; if it is None, no image has a group.
        files: all files, split by split, including `train`.

    Returns:
        The groups, split by split; a group in several splits has the same number in each.

    Raises:
        RefusedImages: if no image has a group.
        DataError: if the CSV file cannot be used, or the pattern takes too long.
    """
    if config.group is None:
        return {split: Groups(-1 - np.arange(len(each)), ()) for split, each in files.items()}
    names = {split: [_name(file) for file in each.names.tolist()] for split, each in files.items()}
    if (table := config.group_table) is not None:
        cells = read_table(*table)
        keys = _from_table(table[0], cells, {split: (Path(files[split].folder).name, names[split]) for split in files})
    else:
        keys = _from_pattern(config.group, names)
    known = sorted({key for found in keys.values() for key in found if key is not None})
    if not known:
        total = sum(map(len, files.values()))
        message = (
            f"data.group is {quoted(config.group)}, which gives none of {total:,} images a group; it is "
            f"compared with names such as {shown(names['train'][0])}"
        )
        raise RefusedImages(Finding("groups-none", message))
    numbers = {key: number for number, key in enumerate(known)}
    return {
        split: Groups(
            np.array([-1 - place if key is None else numbers[key] for place, key in enumerate(found)], np.int64),
            tuple(known),
        )
        for split, found in keys.items()
    }


def group_findings(groups: Mapping[str, Groups], files: Mapping[str, Files]) -> tuple[Finding, ...]:
    """Findings about the groups of some files: their number, images without a group, groups in several splits.

    Args:
        groups: result of `read_groups` for these files.
        files: the images that are used, split by split; those carved out of `train` count as `train`.
    """
    if not groups["train"].names:
        return ()
    lacking = [
        os.path.join(files[split].folder, _name(bytes(files[split].names[place])))
        for split, each in groups.items()
        for place in np.flatnonzero(each.ids < 0).tolist()
    ]
    return (*_counted(groups), *_without(lacking, sum(map(len, files.values()))), *_divided(groups))


def _counted(groups: Mapping[str, Groups]) -> Iterator[Finding]:
    """Finding with the number of groups, which shows the owner whether they are the intended ones."""
    ids = np.concatenate([each.ids for each in groups.values()])
    found, sizes = np.unique(ids[ids >= 0], return_counts=True)
    if not len(found):
        return
    names = [groups["train"].names[number] for number in found.tolist()]
    largest, total = int(sizes.argmax()), int(sizes.sum())
    if sizes[largest] == 1:
        message = (
            f"data.group gives each of {total:,} images a group of its own ({_first(names)}), so nothing is kept "
            "together; give one that images share"
        )
    else:
        number = "1 group" if len(names) == 1 else f"{len(names):,} groups"
        message = (
            f"{total:,} images lie in {number} by data.group, the largest with {sizes[largest]:,} images "
            f"({shown(names[largest])}); no group is divided among the splits that are carved"
        )
    yield Finding("image-groups", message)


def _without(lacking: Sequence[str], total: int) -> Iterator[Finding]:
    if lacking:
        are = "1 image has" if len(lacking) == 1 else f"{len(lacking):,} of {total:,} images have"
        yield Finding(
            "images-without-group", f"{are} no group by data.group, and may go into any split: {_first(lacking)}"
        )


def _divided(groups: Mapping[str, Groups]) -> Iterator[Finding]:
    """Findings about groups that lie in several of the splits that were brought."""
    splits = list(groups)
    for place, later in enumerate(splits):
        for earlier in splits[:place]:
            shared = np.intersect1d(groups[later].ids[groups[later].ids >= 0], groups[earlier].ids)
            if not len(shared):
                continue
            within = np.isin(groups[later].ids, shared)
            names = _first([groups[later].names[number] for number in shared.tolist()])
            are = "1 group of data.group lies" if len(shared) == 1 else f"{len(shared):,} groups of data.group lie"
            yield Finding(
                "groups-between-splits",
                f"{are} in both {KIND[later]} and {KIND[earlier]} images ({names}), with {within.sum():,} of "
                f"{len(within):,} {KIND[later]} images ({within.mean():.0%}), so accuracy on these is not that on new "
                "groups; move each group into one split",
            )


def _from_pattern(pattern: str, names: Mapping[str, Sequence[str]]) -> dict[str, list[str | None]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns about nested sets
        search = re.compile(pattern).search

    def key(name: str) -> str | None:
        found = search(name)
        if found is None:
            return None
        parts = found.groups() or (found.group(),)
        return None if not any(parts) else "/".join(part or "" for part in parts)

    message = (
        f"data.group is {quoted(pattern)}, which takes more than {_SECONDS:.0f} s over the names of the images; give a "
        "simpler pattern, without one repetition inside another"
    )
    with _within_seconds(_SECONDS, message):
        return {split: [key(name) for name in each] for split, each in names.items()}


@contextlib.contextmanager
def _within_seconds(seconds: float, message: str) -> Iterator[None]:
    """Raise `DataError` if the body takes longer than `seconds` of processor time, on systems that can measure it.

    A pattern such as `(a+)+b` may take years. Matching can be interrupted by signals, which only the main thread
    receives.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise DataError(message)

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _from_table(
    file: str, cells: Mapping[str, str], splits: Mapping[str, tuple[str, Sequence[str]]]
) -> dict[str, list[str | None]]:
    """Groups that a CSV file gives to files, by path below the images or by a name that only one file has."""
    keys: dict[str, list[str | None]] = {}
    taken: dict[str, str] = {}
    for split, (folder, names) in splits.items():
        keys[split] = []
        for name in names:
            base = name.rpartition("/")[2]
            for spelled in (f"{folder}/{name}", name, os.path.splitext(name)[0], base, os.path.splitext(base)[0]):
                if spelled in cells:
                    break
            else:
                keys[split].append(None)
                continue
            other = taken.setdefault(spelled, f"{folder}/{name}")
            if other != f"{folder}/{name}":
                raise DataError(
                    f"'{shown(spelled)}' in {file} may be {shown(other)} or {shown(f'{folder}/{name}')}; "
                    "name the images by their paths below the folder of images"
                )
            keys[split].append(cells[spelled] or None)
    return keys


def _name(file: bytes) -> str:
    return os.fsdecode(file).replace(os.sep, "/")


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
