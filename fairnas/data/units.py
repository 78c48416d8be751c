"""Images that stay together when splits are carved: copies of one image, and groups such as videos or patients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.joining import joined
from fairnas.data.splits import CORRUPT_ALLOWED, Carved, Shares, candidates, carve, mixed, require_enough
from fairnas.errors import DataError

_PARTS = ("training", "validation", "test")
_FAR = 0.5  # deviation from the wanted number per class, as a share, that gives a note
_FEW = 2  # deviation in images that gives no note


@dataclass(frozen=True, eq=False)
class Units:
    """Images that stay together: each unit lies in one split as a whole. Most units are a single image."""

    number: np.ndarray
    """(N,) integers: images of the same number stay together."""
    rank: np.ndarray
    """(N,) uint64: random number of each image's unit; units are assigned to the splits in this order."""

    @staticmethod
    def of(rank: np.ndarray, kept: Sequence[np.ndarray]) -> "Units":
        """Units of images that are joined for any of several reasons.

        Args:
            rank: (N,) uint64 from `splits.ranks`; images of a group may share one, which then identifies the group.
            kept: arrays (N,) of numbers; images with an equal number in any of them stay together.
        """
        number = joined(len(rank), kept)
        # every rank counts once, however many images share it, so that a new image of a group does not move the group
        order = np.lexsort((rank, number))
        sorted_ranks, sorted_numbers = rank[order], number[order]
        new = np.ones(len(rank), bool)
        new[1:] = (sorted_numbers[1:] != sorted_numbers[:-1]) | (sorted_ranks[1:] != sorted_ranks[:-1])
        combined = np.zeros(int(number.max(initial=-1)) + 1, np.uint64)
        np.bitwise_xor.at(combined, sorted_numbers[new], sorted_ranks[new])
        return Units(number, combined[number])

    @property
    def are_single(self) -> bool:
        """True if every image is a unit by itself."""
        return len(np.unique(self.number)) == len(self.number)

    def take(self, places: np.ndarray) -> "Units":
        """Units of some of the images."""
        return Units(self.number[places], self.rank[places])


def candidates_together(rank: np.ndarray, labels: np.ndarray, shares: Shares, units: Units) -> np.ndarray:
    """Same as `splits.candidates` for images in units: positions of those that `carve_together` may need."""
    if shares.most is None or units.are_single:
        return candidates(rank, labels, shares)
    more = 1 / (1 - CORRUPT_ALLOWED)
    wanted = (math.ceil(each * more) for each in (shares.validation, shares.test, shares.train or 0))
    classes = [str(label) for label in range(int(labels.max()) + 1)]
    try:
        carved = carve_together(rank, labels, classes, Shares(*wanted), units)
    except DataError:  # a tenth more is not available
        return np.arange(len(rank))
    return np.sort(np.concatenate([carved.train, carved.validation, carved.test]))


def carve_together(
    rank: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    shares: Shares,
    units: Units,
    sizes: np.ndarray | None = None,
) -> Carved:
    """Same as `splits.carve`, but give each unit to one split as a whole; equal if all units are single images.

    Units are assigned in the order of their ranks, as long as no class gets more images than wanted; then units that
    bring a class closer to the wanted number; and if a class has none, its smallest unit. If there are more training
    images than `shares.train`, single images are left out.

    Args:
        rank: (N,) from `splits.ranks`.
        labels: (N,) integers, indices into `classes`.
        classes: names of all classes.
        shares: images per class and split.
        units: the images that stay together.
        sizes: sizes of the classes, if the images are only a part of them.

    Raises:
        RefusedImages: if a class has too few units.
        DataError: if a class has too few images.
    """
    if units.are_single:
        return carve(rank, labels, classes, shares, sizes)
    counts = np.bincount(labels, minlength=len(classes))
    validation, test = shares.of_classes(counts if sizes is None else sizes)
    require_enough(counts, classes, validation, test)
    filling = _Filling.of(units, labels, len(classes))
    wanted = {part: each for part, each in zip(_PARTS[1:], (validation, test), strict=True) if each.any()}
    _require_units(filling.units_of_class, counts, classes, ("training", *wanted))
    places = {}
    for later, (part, each) in enumerate(wanted.items()):
        places[part] = filling.fill(each, reserve=len(wanted) - later)
    held_out = np.isin(np.arange(len(labels)), np.concatenate([np.empty(0, np.int64), *places.values()]))
    places["training"] = _limited(rank, labels, np.flatnonzero(~held_out), shares.train)
    for part, chosen in places.items():
        lacking = np.flatnonzero(np.bincount(labels[chosen], minlength=len(classes)) == 0)
        if len(lacking):
            message = (
                f"no {part} images are left for class '{classes[lacking[0]]}' when groups and copies are kept "
                "together, because they hold several classes; give a finer data.group, or bring a test set"
            )
            raise RefusedImages(Finding("groups-too-few", message))
    return Carved(
        train=mixed(rank, places["training"]),
        validation=mixed(rank, places.get("validation", np.empty(0, np.int64))),
        test=mixed(rank, places.get("test", np.empty(0, np.int64))),
    )


def _require_units(
    units_of_class: np.ndarray, counts: np.ndarray, classes: Sequence[str], parts: Sequence[str]
) -> None:
    fewest = int(units_of_class.argmin())
    found = int(units_of_class[fewest])
    if found >= len(parts):
        return
    message = (
        f"the {counts[fewest]:,} usable training images of class '{classes[fewest]}' are {found} "
        f"{'group that stays' if found == 1 else 'groups that stay'} together (by data.group, or as copies), and "
        f"{len(parts)} are needed for {', '.join(parts[:-1])} and {parts[-1]} images; add images, or change data.group "
        "or data.copies"
    )
    raise RefusedImages(Finding("groups-too-few", message))


def _limited(rank: np.ndarray, labels: np.ndarray, places: np.ndarray, most: int | None) -> np.ndarray:
    """Up to `most` positions of each class, those with the lowest ranks."""
    if most is None:
        return places
    order = places[np.lexsort((rank[places], labels[places]))]
    within = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
    return order[within < most]


@dataclass(eq=False)
class _Filling:
    """Assignment of units to one split after another."""

    order: list[int]
    """Unassigned units, in the order of their ranks."""
    rows: list[list[tuple[int, int]]]
    """Classes of each unit, with the number of images of each."""
    members: list[np.ndarray]
    """Positions of the images of each unit."""
    left: list[int]
    """Number of unassigned units that contain each class."""

    @staticmethod
    def of(units: Units, labels: np.ndarray, classes: int) -> "_Filling":
        _, number = np.unique(units.number, return_inverse=True)
        by_unit = np.argsort(number, kind="stable")
        members = np.split(by_unit, np.flatnonzero(np.diff(number[by_unit])) + 1)
        pairs, counts = np.unique(number * classes + labels, return_counts=True)
        rows: list[list[tuple[int, int]]] = [[] for _ in members]
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            rows[pair // classes].append((pair % classes, count))
        first = np.array([places[0] for places in members])
        order = np.argsort(units.rank[first], kind="stable").tolist()
        return _Filling(order, rows, members, np.bincount(pairs % classes, minlength=classes).tolist())

    @property
    def units_of_class(self) -> np.ndarray:
        """Number of unassigned units that contain each class."""
        return np.array(self.left)

    def fill(self, wanted: np.ndarray, reserve: int) -> np.ndarray:
        """Assign units to a split, about `wanted` images per class, and leave each class at least `reserve` units."""
        missing, given = wanted.tolist(), set[int]()

        def give(unit: int) -> None:
            given.add(unit)
            for label, count in self.rows[unit]:
                missing[label] -= count
                self.left[label] -= 1

        def may(unit: int) -> bool:
            return all(self.left[label] > reserve for label, _ in self.rows[unit])

        def gain(unit: int) -> int:
            return sum(abs(missing[label]) - abs(missing[label] - count) for label, count in self.rows[unit])

        for unit in self.order:
            if all(count <= missing[label] for label, count in self.rows[unit]) and may(unit):
                give(unit)
        waiting = [unit for unit in self.order if unit not in given] if any(missing) else []
        for unit in sorted((unit for unit in waiting if gain(unit) > 0), key=lambda unit: -gain(unit)):
            if gain(unit) > 0 and may(unit):  # the gain may have become smaller through other assignments
                give(unit)
        for label in np.flatnonzero(wanted).tolist():
            if missing[label] == wanted[label]:
                holding = [unit for unit in waiting if any(row[0] == label for row in self.rows[unit])]
                if possible := [unit for unit in holding if unit not in given and may(unit)]:
                    give(min(possible, key=lambda unit: len(self.members[unit])))
        chosen = [unit for unit in self.order if unit in given]
        self.order = [unit for unit in self.order if unit not in given]
        return np.concatenate([np.empty(0, np.int64), *(self.members[unit] for unit in chosen)])


def share_findings(
    carved: Carved, labels: np.ndarray, classes: Sequence[str], shares: Shares, units: Units, sizes: np.ndarray
) -> tuple[Finding, ...]:
    """Finding if units are so large that a class gets far more or fewer images than wanted."""
    if units.are_single:
        return ()
    told = []
    held_out = (carved.validation, carved.test)
    for part, wanted, places in zip(_PARTS[1:], shares.of_classes(sizes), held_out, strict=True):
        found = np.bincount(labels[places], minlength=len(classes))
        off = np.abs(found - wanted) - np.maximum(_FEW, _FAR * wanted)
        worst = int(off.argmax())
        if off[worst] > 0:
            told.append(f"{found[worst]:,} {part} images of class '{classes[worst]}' instead of {wanted[worst]:,}")
    if not told:
        return ()
    message = f"groups that stay together (by data.group, or as copies) are large, so there are {' and '.join(told)}"
    return (Finding("groups-too-large", message),)
