"""Loading of a data set by name: finding it, splitting it, measuring it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fairnas.config import DataConfig
from fairnas.config.checks import quoted
from fairnas.data import cifar10, digits
from fairnas.data.arrays import Arrays
from fairnas.data.dataset import Dataset
from fairnas.data.duplicates import row_ids
from fairnas.data.finding import Finding
from fairnas.data.folder_layout import Layout, read_layout, read_train_and_test
from fairnas.data.from_files import dataset_of_files, fingerprint, limited, unused_settings
from fairnas.data.opening import resident
from fairnas.data.orientation import orientation_findings
from fairnas.data.progress import Progress, silent
from fairnas.data.repeats import Repeats
from fairnas.data.splits import Shares, first_of_each, ranks
from fairnas.data.statistics import channel_statistics
from fairnas.data.units import Units, carve_together
from fairnas.errors import DataError, UnknownNameError

_NAMES = ("digits", "cifar10", "imagenet", "folder:PATH")


def load_dataset(
    config: DataConfig, *, image_size: int, image_channels: int | None, seed: int, progress: Progress = silent
) -> Dataset:
    """Load a data set by name and split it.

    Images become squares as `config.fit` says; by default the shorter side is resized (bilinear, antialiased) and the
    centre cropped. Images in memory are stored as these squares; streamed images are decoded again at every use, so
    only for them can the `inception` augmentation use what lies outside the centre.

    Args:
        config: name, root, shares per class, augmentation; its `image_size` is not used.
        image_size: side of the images in pixels.
        image_channels: 1 or 3; None takes 1 if the images are grey and 3 otherwise.
        seed: the run's seed, which determines the images held out.
        progress: receives the progress.

    Raises:
        DataError: if the data are missing, damaged or too few; the message names the file and the remedy.
    """
    assert image_size >= 1
    if image_channels not in (None, 1, 3):
        raise DataError(f"image_channels is {image_channels}; images have 1 (grey) or 3 (colour)")
    layout = find_layout(config)
    if layout is not None:
        return dataset_of_files(layout, config, image_size, image_channels, seed, progress)
    if config.name == "digits":
        return _from_arrays(digits.read_digits(), digits.CLASSES, config, image_size, image_channels, seed)
    binary = cifar10.find_binary(Path(os.path.expanduser(config.root or "")))
    assert binary is not None
    return _from_arrays(cifar10.read_binary(binary), cifar10.CLASSES, config, image_size, image_channels, seed)


def find_layout(config: DataConfig) -> Layout | None:
    """Files of a data set, or None if it comes as arrays. Raises `DataError` as `load_dataset`."""
    name, _, path = config.name.partition(":")
    if name == "folder" and path:
        return read_layout(Path(path), config.layout, config.labels)
    if config.layout != "auto" or config.labels is not None:
        raise DataError(f"data.layout and data.labels are for folder:PATH, not for '{config.name}'; leave them out")
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
    if config.group is not None:
        raise DataError(f"data.group is {quoted(config.group)}, but {config.name} has no files to group; leave it out")
    pool, test = (part.with_channels(channels or part.pixels.shape[3]) for part in arrays)
    shares = Shares(limited(config.validation_per_class, config), 0, config.train_per_class)
    rank = ranks(seed, pool.members())
    repeats = _repeats_of_arrays({"train": pool, "test": test}, classes, config)
    units = Units.of(rank, repeats.in_training if repeats else ())
    carved = carve_together(rank, pool.labels, classes, shares, units)
    tested = first_of_each(ranks(seed, test.members()), test.labels, config.held_out_per_class)
    if config.held_out_per_class is not None:
        test = test.take(tested)
    trained = np.concatenate([carved.train, carved.validation, carved.test])
    used = {"train": np.sort(trained), "test": np.sort(tested)}
    train, validation = pool.take(carved.train), pool.take(carved.validation)
    mean, std = channel_statistics(train.pixels)
    return Dataset(
        name=config.name,
        classes=classes,
        image_size=size,
        image_channels=len(mean),
        train=resident(train.pixels, train.labels, size),
        validation=resident(validation.pixels, validation.labels, size),
        test=resident(test.pixels, test.labels, size),
        mean=mean,
        std=std,
        augmentation=config.applied,
        findings=(
            *orientation_findings(classes, config),
            *(repeats.take(used).findings(carved=True) if repeats else ()),
            *unused_settings(config, shares),
            *_unused_decoding(config),
        ),
        fingerprint=fingerprint(classes, (train.content(), validation.content(), test.content())),
    )


def _repeats_of_arrays(parts: Mapping[str, Arrays], classes: Sequence[str], config: DataConfig) -> Repeats | None:
    """Exact copies among images that come as arrays, unless they do not matter."""
    if config.copies == "none":
        return None
    contents = np.split(row_ids(*(part.pixels for part in parts.values())), [len(parts["train"])])

    def name(split: str, place: int) -> str:
        return f"{split} image {parts[split].numbers[place]} ({classes[parts[split].labels[place]]})"

    labels = {split: part.labels for split, part in parts.items()}
    return Repeats.of(labels, dict(zip(parts, contents, strict=True)), None, name)


def _unused_decoding(config: DataConfig) -> tuple[Finding, ...]:
    """Findings about settings that apply only to images in files."""
    given = [name for name, value in (("fit", config.fit != "crop"), ("range", config.range is not None)) if value]
    return tuple(
        Finding("setting-unused", f"data.{name} is not used: the images of this data set are squares of 8 bits")
        for name in given
    )
