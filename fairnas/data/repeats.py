"""Copies among the images of a set, and the findings about them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.data.class_folders import shown
from fairnas.data.duplicates import content_ids
from fairnas.data.finding import Finding
from fairnas.data.image_files import Files
from fairnas.data.joining import joined
from fairnas.data.progress import Progress, silent

KIND = {"train": "training", "validation": "validation", "test": "test"}
"""Adjective for the images of a split, for messages."""

_MOST = 0.5
"""Share of a class above which images that look the same are not copies but pictures of one place."""
_SHOWN = 3  # pairs in a message
_SEEN = {
    ("validation", "train"): "accuracy on them says nothing about new images",
    ("test", "train"): "accuracy on them says nothing about new images",
    ("test", "validation"): "networks are chosen by them and judged by them",
}


def file_contents(files: Mapping[str, Files], progress: Progress = silent) -> dict[str, np.ndarray]:
    """Number per file, split by split, shared only by files of equal content."""
    paths = [each.path(place) for each in files.values() for place in range(len(each))]
    ids = content_ids(paths, np.concatenate([each.sizes for each in files.values()]), progress)
    parts = np.split(ids, np.cumsum([len(each) for each in files.values()])[:-1])
    return dict(zip(files, parts, strict=True))


@dataclass(frozen=True, eq=False)
class Repeats:
    """All images of a set, split after split, with numbers that copies share."""

    splits: tuple[str, ...]
    """Names of the splits: `train`, then those that the set brings."""
    split: np.ndarray
    """(N,) indices into `splits`."""
    labels: np.ndarray
    """(N,)"""
    exact: np.ndarray
    """(N,) numbers, shared by images of equal content."""
    near: np.ndarray
    """(N,) numbers, shared by images that look the same, including those of equal content."""
    name: Callable[[int], str]
    """Name of an image, given its position."""

    @staticmethod
    def of(
        labels: Mapping[str, np.ndarray],
        exact: Mapping[str, np.ndarray],
        near: np.ndarray | None,
        name: Callable[[str, int], str],
    ) -> "Repeats":
        """Gather the splits of a set.

        Args:
            labels: (N_i,) by split.
            exact: (N_i,) by split: numbers that images of equal content share.
            near: (N,) for the splits one after another: numbers shared by images that look the same.
            name: returns the name of an image, given its split and its position there.
        """
        splits, sizes = tuple(labels), [len(each) for each in labels.values()]
        starts = np.cumsum([0, *sizes[:-1]])
        contents = np.concatenate([exact[split] for split in splits])

        def named(place: int) -> str:
            own = int(np.searchsorted(starts, place, side="right")) - 1
            return name(splits[own], place - int(starts[own]))

        return Repeats(
            splits=splits,
            split=np.repeat(np.arange(len(splits)), sizes),
            labels=np.concatenate(list(labels.values())),
            exact=contents,
            near=contents if near is None else joined(len(contents), [contents, near]),
            name=named,
        )

    @property
    def in_training(self) -> tuple[np.ndarray, np.ndarray]:
        """`exact` and `near` of the training images."""
        return self.exact[self.split == 0], self.near[self.split == 0]

    def without_crowds(self, classes: Sequence[str]) -> tuple["Repeats", tuple[Finding, ...]]:
        """Same images, without near copies in classes of which most images look the same; and findings about those."""
        if np.array_equal(self.near, self.exact):
            return self, ()
        own = np.flatnonzero(self.split == 0)
        keys = np.stack([self.labels[own], self.near[own]])
        pairs, counts = np.unique(keys, axis=1, return_counts=True)
        alone = np.unique(np.stack([self.labels[own], self.near[own], self.exact[own]]), axis=1)
        contents = np.unique(alone[:2], axis=1, return_counts=True)[1]  # of each pair of class and number
        crowded = np.flatnonzero((counts > _MOST * np.bincount(self.labels[own])[pairs[0]]) & (contents > 1))
        if not len(crowded):
            return self, ()
        near = self.near.copy()
        members = np.isin(near, pairs[1][crowded])
        near[members] = int(near.max()) + 1 + self.exact[members]
        largest = crowded[counts[crowded].argmax()]
        label, count = int(pairs[0][largest]), int(counts[largest])
        message = (
            f"{count:,} of {np.sum(self.labels[own] == label):,} images of class '{classes[label]}' look the same, as "
            "pictures of one place do, so they do not count as copies of each other; where some belong together, "
            "data.group can say so"
        )
        return Repeats(self.splits, self.split, self.labels, self.exact, near, self.name), (
            Finding("near-copies-too-many", message),
        )

    def take(self, kept: Mapping[str, np.ndarray]) -> "Repeats":
        """Subset of the images, given the positions kept in each split."""
        starts = {split: int(np.argmax(self.split == number)) for number, split in enumerate(self.splits)}
        places = np.concatenate([starts[split] + kept[split] for split in self.splits])
        split, labels, exact, near = (each[places] for each in (self.split, self.labels, self.exact, self.near))
        return Repeats(self.splits, split, labels, exact, near, lambda place: self.name(int(places[place])))

    def findings(self, carved: bool) -> Iterator[Finding]:
        """Findings about copies; `carved` is True if images are held out of the training images."""
        if len(np.unique(self.near)) == len(self.near):
            return
        stay = "; they stay in one split" if carved else ""
        exact, near = (self._again(ids) for ids in (self.exact, self.near))
        if exact.any():
            yield Finding(
                "copies-within-class",
                f"{_images(exact)} of another image of the same class: {self._pairs(exact, self.exact)}{stay}",
            )
        if (only := near & ~exact).any():
            yield Finding(
                "near-copies-within-class",
                f"{_images(only, 'looks', 'look')} the same as another image of the same class, as after encoding or "
                f"resizing: {self._pairs(only, self.near)}{stay}",
            )
        yield from self._between_classes()
        for later in range(len(self.splits)):
            for earlier in range(later):
                yield from self._between_splits(later, earlier)

    def _again(self, ids: np.ndarray) -> np.ndarray:
        """Mask of the images that follow another of the same number, class and split."""
        keys = np.stack([self.split, self.labels, ids])
        _, first = np.unique(keys, axis=1, return_index=True)
        again = np.ones(len(ids), bool)
        again[first] = False
        return again

    def _between_classes(self) -> Iterator[Finding]:
        exact, near = (_in_several(ids, self.labels) for ids in (self.exact, self.near))
        if exact.any():
            yield Finding(
                "copies-between-classes",
                f"{_images(exact, 'lies', 'lie')} in several classes, so that labels contradict each other: "
                f"{self._pairs(exact, self.exact, self.labels)}; remove those with the wrong label",
            )
        if (only := near & ~exact).any():
            yield Finding(
                "near-copies-between-classes",
                f"{_images(only, 'looks', 'look')} the same as an image of another class: "
                f"{self._pairs(only, self.near, self.labels)}; see which label is right",
            )

    def _between_splits(self, later: int, earlier: int) -> Iterator[Finding]:
        own = self.split == later
        exact, near = (own & np.isin(ids, ids[self.split == earlier]) for ids in (self.exact, self.near))
        one, other = self.splits[later], self.splits[earlier]
        where = (self.split == earlier) | own
        said, total = False, int(own.sum())
        for id_, ids, found, word in (
            ("copies-between-splits", self.exact, exact, "are copies of"),
            ("near-copies-between-splits", self.near, near & ~exact, "look the same as"),
        ):
            if not found.any():
                continue
            count = int(found.sum())
            most = near.sum() > total / 2 and not said
            said = said or most
            pairs = self._pairs(found, ids, np.where(where, self.split, later))
            remedy = (
                f", {_SEEN[one, other]}; give other {KIND[one]} images ({pairs})"
                if most
                else f": {pairs}; remove them from one of the two"
            )
            part = f"{count:,} of {total:,} {KIND[one]} images ({_percent(count / total)})"
            yield Finding(id_, f"{part} {word} {KIND[other]} images{remedy}")

    def _pairs(self, found: np.ndarray, ids: np.ndarray, differ: np.ndarray | None = None) -> str:
        """Examples among the images found, each with another of its number, with another value of `differ` if given."""
        told: list[str] = []
        numbers: set[int] = set()
        for place in np.flatnonzero(found).tolist():
            if len(told) == _SHOWN:
                return ", ".join(told) + ", ..."
            if ids[place] in numbers:
                continue
            numbers.add(ids[place])
            others = ids == ids[place]
            if differ is None:
                others &= (self.labels == self.labels[place]) & (self.split == self.split[place])
                others[place] = False
            else:
                others &= differ != differ[place]
            told.append(f"{self.name(place)} = {self.name(int(others.argmax()))}")
        return ", ".join(told)


def shown_name(files: Mapping[str, Files]) -> Callable[[str, int], str]:
    """Function that names images in findings: with the folder of their split if there are several."""

    def name(split: str, place: int) -> str:
        file = os.fsdecode(bytes(files[split].names[place]))
        return shown(file if len(files) == 1 else os.path.join(os.path.basename(files[split].folder), file))

    return name


def _in_several(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mask of the places whose number occurs with several values."""
    pairs = np.unique(np.stack([ids, values]), axis=1)[0]
    numbers, counts = np.unique(pairs, return_counts=True)
    return np.isin(ids, numbers[counts > 1])


def _images(found: np.ndarray, one: str = "is a copy", many: str = "are copies") -> str:
    count = int(found.sum())
    return f"1 image {one}" if count == 1 else f"{count:,} images {many}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share * 100:.2g}%"
