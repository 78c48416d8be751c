"""Held-out images: validation and test images carved out of the training set, n per class (paper 4.1).

An image's split depends only on the seed, its class and its own name, so new files do not move other images.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.errors import DataError

_PARTS = 7
"""Divisor for small classes: one of this many parts is for validation, and one for test."""
CORRUPT_ALLOWED = 0.1
"""Largest share of a class's images that may be corrupt."""


@dataclass(frozen=True)
class Shares:
    """Images per class that are carved out for validation and test (0: the data set brings its own).

    `train` limits what remains for training; None keeps all.
    """

    validation: int
    test: int
    train: int | None

    @property
    def most(self) -> int | None:
        """Number of usable images of a class beyond which no more are needed; None for no bound."""
        return None if self.train is None else self.validation + self.test + self.train

    def are_too_large(self, sizes: np.ndarray) -> bool:
        """True if the smallest class cannot give the wanted number, but a seventh of the largest class can."""
        wanted = max(self.validation, self.test)
        return bool(sizes.min() <= self.validation + self.test and sizes.max() // _PARTS >= wanted > 0)

    def of_classes(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of validation and of test images of each class, given the sizes of the classes.

        The wanted numbers; but if small classes cannot give them, at most a seventh of each class, and at least one.
        """
        validation, test = (np.full(len(sizes), wanted) for wanted in (self.validation, self.test))
        if not self.are_too_large(sizes):
            return validation, test
        most = np.maximum(1, sizes // _PARTS)
        return np.minimum(validation, most), np.minimum(test, most)


@dataclass(frozen=True)
class Carved:
    """Positions of the images of each split, disjoint, in an order that mixes the classes."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def ranks(seed: int, members: Iterable[bytes]) -> np.ndarray:
    """Reproducible random number (uint64) per image, a function of the seed and its name with its class."""
    start = hashlib.blake2b(f"split {seed}\0".encode(), digest_size=8)
    numbers = []
    for member in members:
        digest = start.copy()
        digest.update(member)
        numbers.append(int.from_bytes(digest.digest(), "little"))
    return np.array(numbers, dtype=np.uint64)


def candidates(rank: np.ndarray, labels: np.ndarray, shares: Shares) -> np.ndarray:
    """Positions of the images that `carve` may need, so that no others have to be opened.

    Includes a tenth more than needed, because that many may be corrupt.
    """
    if shares.most is None:
        return np.arange(len(rank))
    order, place = _within_class(rank, labels)
    return np.sort(order[place < math.ceil(shares.most / (1 - CORRUPT_ALLOWED))])


def first_of_each(rank: np.ndarray, labels: np.ndarray, most: int | None) -> np.ndarray:
    """Positions of the first `most` images of every class by rank, in ascending order; None: of all images."""
    order, place = _within_class(rank, labels)
    return np.sort(order if most is None else order[place < most])


def carve(
    rank: np.ndarray, labels: np.ndarray, classes: Sequence[str], shares: Shares, sizes: np.ndarray | None = None
) -> Carved:
    """Assign each image to one split: the lowest ranks of every class to validation, the next to test.

    Args:
        rank: (N,) from `ranks`.
        labels: (N,) integers, indices into `classes`.
        classes: names of all classes.
        shares: images per class and split.
        sizes: sizes of the classes, if the images are only a part of them.

    Raises:
        DataError: if a class has too few images to leave one for training, with the largest possible value.
    """
    counts = np.bincount(labels, minlength=len(classes))
    validation, test = shares.of_classes(counts if sizes is None else sizes)
    require_enough(counts, classes, validation, test)
    order, place = _within_class(rank, labels)
    first, held_out = validation[labels[order]], (validation + test)[labels[order]]
    end = np.inf if shares.train is None else held_out + shares.train

    def among(chosen: np.ndarray) -> np.ndarray:
        return mixed(rank, order[chosen])

    return Carved(
        train=among((place >= held_out) & (place < end)),
        validation=among(place < first),
        test=among((place >= first) & (place < held_out)),
    )


def mixed(rank: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Chosen positions in a fixed random order, so that every stretch contains images of many classes."""
    # Sort by the reversed bytes of the ranks: sorting by the ranks themselves would group those chosen for low ranks by
    # class, largest class first.
    return chosen[np.argsort(rank[chosen].byteswap(), kind="stable")]


def _within_class(rank: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions ordered by class and rank, and the index 0, 1, ... of each within its class."""
    order = np.lexsort((rank, labels))
    grouped = labels[order]
    starts = np.searchsorted(grouped, grouped, side="left")
    return order, np.arange(len(order)) - starts


def require_enough(counts: np.ndarray, classes: Sequence[str], validation: np.ndarray, test: np.ndarray) -> None:
    """Raise `DataError` if carving leaves the smallest class no training image; arguments per class."""
    smallest = int(counts.argmin())
    fewest, name = int(counts[smallest]), classes[smallest]
    shares = Shares(int(validation[smallest]), int(test[smallest]), None)
    taken = shares.validation + shares.test
    if fewest > taken:
        return
    have = f"class '{name}' has {fewest} usable training images"
    if not taken:
        raise DataError(f"{have}; add some")
    wanted = f"{shares.validation} for validation" if shares.validation else ""
    wanted += f"{' and ' if wanted else ''}{shares.test} for test" if shares.test else ""
    raise DataError(f"{have}, which leaves none for training after {wanted}; {_remedy(fewest, shares)}")


def _remedy(fewest: int, shares: Shares) -> str:
    """Largest values that leave one training image in the smallest class, as text."""
    validation = "validation_per_class" if shares.validation else ""
    test = "test_per_class" if shares.test else ""
    if not (validation and test):
        if fewest < 2:
            return f"add images, so that {validation or test} can be 1"
        return f"give {validation or test} {fewest - 1} or less, or add images"
    if fewest < 3:
        return "add images: three per class are the least"
    if shares.test < fewest - 1:
        return f"with test_per_class {shares.test}, give validation_per_class {fewest - 1 - shares.test} or less"
    return f"give validation_per_class and test_per_class {(fewest - 1) // 2} or less each, or add images"
