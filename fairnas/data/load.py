"""Loading a data set by name: find it, split it, measure it."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fairnas.config import DataConfig
from fairnas.data import cifar10, digits
from fairnas.data.arrays import Arrays
from fairnas.data.classfolders import SplitFolder, shown
from fairnas.data.dataset import Dataset
from fairnas.data.files import Files, Outcome, check_all, corrupt_note, decode_all, try_all, usable
from fairnas.data.folder import found_channels, narrow_notes, sample_headers
from fairnas.data.images import Images, ResidentImages, StreamedImages, fit_in_memory
from fairnas.data.layout import Layout, read_layout, read_train_and_test
from fairnas.data.splits import Shares, candidates, carve, first_of_each, mixed, ranks
from fairnas.data.statistics import channel_statistics
from fairnas.errors import DataError, UnknownNameError

_MEASURED = 2048  # streamed training images that mean and deviation are taken from
_UNEVEN = 10  # so many times the smallest class is worth a note
_NAMES = ("digits", "cifar10", "imagenet", "folder:PATH")


def load_dataset(config: DataConfig, *, image_size: int, image_channels: int | None, seed: int) -> Dataset:
    """Load a data set by name and split it.

    Images are brought to squares: the shorter side resized (bilinear, antialiased), then the centre cropped.
    Held in memory they are stored as these squares; streamed they are decoded anew each time, so only there
    does the `inception` augmentation see what lies outside the centre.

    Args:
        config: name, root, shares per class, augmentation; its `image_size` is not looked at.
        image_size: side of the images in pixels.
        image_channels: 1 or 3; None takes 1 if the images are grey and 3 otherwise.
        seed: the run's seed, which decides who is held out.

    Raises:
        DataError: if the data are absent, damaged or too few; the message names the file and the remedy.
    """
    assert image_size >= 1
    if image_channels not in (None, 1, 3):
        raise DataError(f"image_channels is {image_channels}; images have 1 (grey) or 3 (colour)")
    layout = find_layout(config)
    if layout is not None:
        return _from_folders(layout, config, image_size, image_channels, seed)
    if config.name == "digits":
        return _from_arrays(digits.read_digits(), digits.CLASSES, config, image_size, image_channels, seed)
    binary = cifar10.find_binary(Path(os.path.expanduser(config.root or "")))
    assert binary is not None
    return _from_arrays(cifar10.read_binary(binary), cifar10.CLASSES, config, image_size, image_channels, seed)


def find_layout(config: DataConfig) -> Layout | None:
    """The files of a data set, or None for one that lies in arrays. Raises `DataError` as `load_dataset`."""
    name, _, path = config.name.partition(":")
    if name == "folder" and path:
        return read_layout(Path(path))
    if config.name == "digits":
        return None
    if config.name == "cifar10":
        root = Path(os.path.expanduser(config.root)) if config.root else None
        if root and cifar10.find_binary(root):
            return None
        if not root or not ((root / "train").is_dir() and (root / "test").is_dir()):
            raise cifar10.absent(config.root)
        layout = read_train_and_test(root, "test")
        if len(layout.train.classes) != len(cifar10.CLASSES):
            raise DataError(
                f"{root} has {len(layout.train.classes)} class folders, CIFAR-10 has 10; "
                f"complete it, or give it as folder:{root}"
            )
        return layout
    if config.name == "imagenet":
        if not config.root:
            raise DataError("imagenet needs data.root, a folder with train/<wnid>/ and val/<wnid>/ in it")
        return read_train_and_test(Path(os.path.expanduser(config.root)), "val")
    raise DataError(f"data.name: {UnknownNameError('data set', config.name, _NAMES)}")


def _from_arrays(
    arrays: tuple[Arrays, Arrays],
    classes: tuple[str, ...],
    config: DataConfig,
    size: int,
    channels: int | None,
    seed: int,
) -> Dataset:
    pool, test = (part.with_channels(channels or part.pixels.shape[3]) for part in arrays)
    shares = Shares(_limited(config.validation_per_class, config), 0, config.train_per_class)
    carved = carve(ranks(seed, pool.members()), pool.labels, classes, shares)
    if config.held_out_per_class is not None:
        test = test.take(first_of_each(ranks(seed, test.members()), test.labels, config.held_out_per_class))
    train, validation = pool.take(carved.train), pool.take(carved.validation)
    mean, std = channel_statistics(train.pixels)
    return Dataset(
        name=config.name,
        classes=classes,
        image_size=size,
        image_channels=len(mean),
        train=_resident(train.pixels, train.labels, size),
        validation=_resident(validation.pixels, validation.labels, size),
        test=_resident(test.pixels, test.labels, size),
        mean=mean,
        std=std,
        augmentation=config.augmentation,
        notes=_unused(config, shares),
        fingerprint=_fingerprint(classes, (train.content(), validation.content(), test.content())),
    )


def _from_folders(layout: Layout, config: DataConfig, size: int, channels: int | None, seed: int) -> Dataset:
    classes = layout.train.names
    channels = channels or found_channels(sample_headers(layout.train))
    shares = shares_of(config, layout)
    pool = Files.of(layout.train)
    sizes = np.bincount(pool.labels, minlength=len(classes))
    pool = pool.take(candidates(ranks(seed, pool.members()), pool.labels, shares))
    brought = {"validation": layout.validation, "test": layout.test}
    files = {"train": pool} | {split: _candidates(folder, config, seed) for split, folder in brought.items() if folder}
    resident = fit_in_memory(sum(map(len, files.values())), size, channels)
    opened = {
        split: _decoded(part, part, classes, size, channels)
        if resident or split != "train"
        else _opened(part, part, classes, None, check_all(part))
        for split, part in files.items()
    }
    rank = {split: ranks(seed, part.files.members()) for split, part in opened.items()}
    carved = carve(rank["train"], opened["train"].files.labels, classes, shares, sizes)
    train = opened["train"].take(carved.train)
    held_out = []
    for split, places in (("validation", carved.validation), ("test", carved.test)):
        if split in opened:
            kept = first_of_each(rank[split], opened[split].files.labels, config.held_out_per_class)
            held_out.append(opened[split].take(mixed(rank[split], kept)))
        elif resident:
            held_out.append(opened["train"].take(places))
        else:  # only looked at so far, and damage found when they are scored would end a run late
            held_out.append(_decoded(opened["train"].take(places).files, pool, classes, size, channels))
    mean, std = channel_statistics(train.sample_pixels(size, channels))
    notes = [note for part in (*opened.values(), *held_out) for note in part.notes]
    coloured = sum(part.coloured for part in opened.values())
    if channels == 1 and coloured:
        notes.append(f"{coloured} colour images turned to grey")
    return Dataset(
        name=config.name,
        classes=classes,
        image_size=size,
        image_channels=channels,
        train=train.images(size, channels),
        validation=held_out[0].images(size, channels),
        test=held_out[1].images(size, channels),
        mean=mean,
        std=std,
        augmentation=config.augmentation,
        notes=(
            *layout.notes,
            *notes,
            *narrow_notes(layout.train),
            *_uneven(classes, sizes, shares),
            *_unused(config, shares),
        ),
        fingerprint=_fingerprint(classes, [part.files.content() for part in (train, *held_out)]),
    )


def shares_of(config: DataConfig, layout: Layout) -> Shares:
    """What of each class is carved out of the training images that lie in folders."""
    test = config.test_per_class or config.validation_per_class
    return Shares(
        validation=0 if layout.validation else _limited(config.validation_per_class, config),
        test=0 if layout.test else _limited(test, config),
        train=config.train_per_class,
    )


def _limited(wanted: int, config: DataConfig) -> int:
    return wanted if config.held_out_per_class is None else min(wanted, config.held_out_per_class)


def _candidates(folder: SplitFolder, config: DataConfig, seed: int) -> Files:
    """Files of a split that the data set brings, as far as they may be kept."""
    files = Files.of(folder)
    wanted = Shares(0, 0, config.held_out_per_class)
    return files.take(candidates(ranks(seed, files.members()), files.labels, wanted))


@dataclass(frozen=True, eq=False)
class _Opened:
    """Usable files, with their pixels if they are to be held in memory."""

    files: Files
    pixels: np.ndarray | None
    notes: tuple[str, ...]
    coloured: int

    def take(self, places: np.ndarray) -> "_Opened":
        pixels = None if self.pixels is None else self.pixels[places]
        return _Opened(self.files.take(places), pixels, (), 0)

    def images(self, size: int, channels: int) -> Images:
        if self.pixels is not None:
            return _resident(self.pixels, self.files.labels, size)
        return StreamedImages(self.files, size, channels, torch.from_numpy(self.files.labels))

    def sample_pixels(self, size: int, channels: int) -> np.ndarray:
        """Pixels to measure: all that are in memory, else of up to 2,048 files."""
        if self.pixels is not None:
            return self.pixels
        # the order mixes the classes, so the first ones stand for all
        some = self.files.take(np.arange(min(len(self.files), _MEASURED)))
        pixels, outcome = decode_all(some, size, channels)
        for place, reason in outcome.corrupt.items():
            raise DataError(f"{shown(some.path(place))} cannot be decoded: {reason}; replace or remove it")
        return pixels


def _decoded(files: Files, among: Files, classes: Sequence[str], size: int, channels: int) -> _Opened:
    """Those of the files that can be decoded; their pixels are kept if they fit into memory."""
    if fit_in_memory(len(files), size, channels):
        return _opened(files, among, classes, *decode_all(files, size, channels))
    return _opened(files, among, classes, None, try_all(files, size, channels))


def _opened(files: Files, among: Files, classes: Sequence[str], pixels: np.ndarray | None, outcome: Outcome) -> _Opened:
    kept = usable(files, outcome, classes, among)
    whole = _Opened(files, pixels, (), 0)
    part = whole if len(kept) == len(files) else whole.take(kept)
    return dataclasses.replace(part, notes=corrupt_note(files, outcome), coloured=outcome.coloured)


def _resident(pixels: np.ndarray, labels: np.ndarray, size: int) -> ResidentImages:
    return ResidentImages(torch.from_numpy(pixels), torch.from_numpy(labels), size)


def _uneven(classes: Sequence[str], sizes: np.ndarray, shares: Shares) -> Iterator[str]:
    """What to tell about classes of very different sizes."""
    low, high = int(sizes.argmin()), int(sizes.argmax())
    if sizes[high] > _UNEVEN * sizes[low]:
        yield (
            f"class '{classes[high]}' has {sizes[high]:,} training images, '{classes[low]}' only {sizes[low]:,}: "
            "accuracy counts images, so small classes hardly count"
        )
    if shares.are_too_large(sizes):
        yield (
            f"class '{classes[low]}' is too small for the validation and test images wanted per class, "
            "so each class gives a seventh of its images at most"
        )


def _unused(config: DataConfig, shares: Shares) -> tuple[str, ...]:
    if config.test_per_class is None or shares.test:
        return ()
    return ("test_per_class is not used: the data set brings its test images",)


def _fingerprint(classes: Sequence[str], splits: Iterable[Iterable[bytes]]) -> str:
    digest = hashlib.sha256("\0".join(classes).encode())
    for split in splits:
        digest.update(b"\0split\0")
        for part in split:
            digest.update(part)
    return digest.hexdigest()[:16]
