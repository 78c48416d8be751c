"""Loading a data set by name: find it, split it, measure it."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fairnas.config import DataConfig
from fairnas.data import cifar10, digits
from fairnas.data.arrays import Arrays
from fairnas.data.classfolders import SplitFolder
from fairnas.data.dataset import Dataset
from fairnas.data.decoding import Decoding
from fairnas.data.duplicates import require_classes_apart, row_ids
from fairnas.data.files import Files, Outcome, disguise_finding
from fairnas.data.finding import Finding
from fairnas.data.folder import cut_findings, found_channels, sample_headers
from fairnas.data.groups import read_groups
from fairnas.data.images import fit_in_memory
from fairnas.data.layout import Layout, read_layout, read_train_and_test
from fairnas.data.likeness import SIDE, likeness_ids
from fairnas.data.opening import Opened, checked, decoded, glanced_at, resident
from fairnas.data.orientation import orientation_findings
from fairnas.data.progress import Progress, silent
from fairnas.data.ranges import find_range
from fairnas.data.repeats import Repeats, file_contents, shown_name
from fairnas.data.splits import Shares, candidates, first_of_each, mixed, ranks
from fairnas.data.statistics import channel_statistics
from fairnas.data.units import Units, candidates_together, carve_together, share_findings
from fairnas.errors import DataError, UnknownNameError
from fairnas.recipes import UNEVEN

_NAMES = ("digits", "cifar10", "imagenet", "folder:PATH")


def load_dataset(
    config: DataConfig, *, image_size: int, image_channels: int | None, seed: int, progress: Progress = silent
) -> Dataset:
    """Load a data set by name and split it.

    Images are brought to squares as `config.fit` says: the shorter side resized (bilinear, antialiased), then the
    centre cropped, unless it says otherwise. Held in memory they are stored as these squares; streamed they are
    decoded anew each time, so only there does the `inception` augmentation see what lies outside the centre.

    Args:
        config: name, root, shares per class, augmentation; its `image_size` is not looked at.
        image_size: side of the images in pixels.
        image_channels: 1 or 3; None takes 1 if the images are grey and 3 otherwise.
        seed: the run's seed, which decides who is held out.
        progress: told how far it is.

    Raises:
        DataError: if the data are absent, damaged or too few; the message names the file and the remedy.
    """
    assert image_size >= 1
    if image_channels not in (None, 1, 3):
        raise DataError(f"image_channels is {image_channels}; images have 1 (grey) or 3 (colour)")
    layout = find_layout(config)
    if layout is not None:
        return _from_folders(layout, config, image_size, image_channels, seed, progress)
    if config.name == "digits":
        return _from_arrays(digits.read_digits(), digits.CLASSES, config, image_size, image_channels, seed)
    binary = cifar10.find_binary(Path(os.path.expanduser(config.root or "")))
    assert binary is not None
    return _from_arrays(cifar10.read_binary(binary), cifar10.CLASSES, config, image_size, image_channels, seed)


def find_layout(config: DataConfig) -> Layout | None:
    """The files of a data set, or None for one that lies in arrays. Raises `DataError` as `load_dataset`."""
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
        raise DataError(f"data.group is {config.group!r}, but {config.name} has no files to group; leave it out")
    pool, test = (part.with_channels(channels or part.pixels.shape[3]) for part in arrays)
    shares = Shares(_limited(config.validation_per_class, config), 0, config.train_per_class)
    rank = ranks(seed, pool.members())
    repeats = _repeats_of_arrays({"train": pool, "test": test}, classes, config)
    units = Units.of(rank, repeats.in_training if repeats else ())
    carved = carve_together(rank, pool.labels, classes, shares, units)
    if config.held_out_per_class is not None:
        test = test.take(first_of_each(ranks(seed, test.members()), test.labels, config.held_out_per_class))
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
            *(repeats.findings(carved=True) if repeats else ()),
            *_unused(config, shares),
            *_unused_decoding(config),
        ),
        fingerprint=_fingerprint(classes, (train.content(), validation.content(), test.content())),
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


def _from_folders(
    layout: Layout, config: DataConfig, size: int, channels: int | None, seed: int, progress: Progress
) -> Dataset:
    classes = layout.train.names
    if config.copies != "none":
        for split in layout.splits:
            require_classes_apart(split, progress)
    headers = sample_headers(layout.train)
    shares = shares_of(config, layout)
    every = {"train": Files.of(layout.train)}
    every |= {
        split: _candidates(folder, config, seed)
        for split, folder in (("validation", layout.validation), ("test", layout.test))
        if folder is not None
    }
    sizes = np.bincount(every["train"].labels, minlength=len(classes))
    groups, findings = read_groups(config, every)
    rank = ranks(seed, every["train"].members())
    units = Units.of(groups.ranks(rank, seed), [groups.ids])
    chosen = candidates_together(rank, every["train"].labels, shares, units)
    files = every | {"train": every["train"].take(chosen)}
    # the range is looked for before anything is decoded, so among what trains if no image is corrupt or a copy
    intended = carve_together(rank[chosen], files["train"].labels, classes, shares, units.take(chosen), sizes)
    values = find_range(files["train"].take(intended.train), classes, config.value_range)
    decoding = Decoding(size, channels or found_channels(headers), config.fit, values.value_range)
    contents = None if config.copies == "none" else file_contents(files, progress)
    near = config.copies == "near" and size >= SIDE
    all_fit = fit_in_memory(sum(map(len, files.values())), decoding)
    opened = {
        split: decoded(part, part, classes, decoding, near, progress)
        if all_fit or split != "train"
        else glanced_at(part, part, classes, decoding, progress)
        if near
        else checked(part, part, classes, progress)
        for split, part in files.items()
    }
    rank = {split: ranks(seed, part.files.members()) for split, part in opened.items()}
    labels, groups = opened["train"].files.labels, groups.take(chosen[opened["train"].kept])
    repeats, crowds = _repeats_of_files(opened, contents, classes, progress)
    units = Units.of(groups.ranks(rank["train"], seed), [groups.ids, *(repeats.in_training if repeats else ())])
    carved = carve_together(rank["train"], labels, classes, shares, units, sizes)
    train = opened["train"].take(carved.train)
    held_out = []
    for split, places in (("validation", carved.validation), ("test", carved.test)):
        if split in opened:
            kept = first_of_each(rank[split], opened[split].files.labels, config.held_out_per_class)
            held_out.append(opened[split].take(mixed(rank[split], kept)))
        elif all_fit:
            held_out.append(opened["train"].take(places))
        else:  # only looked at so far, and damage found when they are scored would end a run late
            part = opened["train"].take(places).files
            held_out.append(decoded(part, files["train"], classes, decoding, False, progress))
    mean, std = channel_statistics(train.sample_pixels(decoding))
    findings = [*findings, *(finding for part in (*opened.values(), *held_out) for finding in part.findings)]
    findings += [*crowds, *(repeats.findings(bool(shares.validation or shares.test)) if repeats else ())]
    findings += share_findings(carved, labels, classes, shares, units, sizes)
    outcome = Outcome.joined([part.outcome for part in opened.values()])
    return Dataset(
        name=config.name,
        classes=classes,
        image_size=size,
        image_channels=decoding.channels,
        train=train.images(decoding),
        validation=held_out[0].images(decoding),
        test=held_out[1].images(decoding),
        mean=mean,
        std=std,
        augmentation=config.applied,
        findings=(
            *layout.findings,
            *findings,
            *_changed(outcome, decoding),
            *disguise_finding(outcome),
            *cut_findings(headers, config.fit),
            *values.findings,
            *orientation_findings(classes, config),
            *_uneven(classes, sizes, shares),
            *_unused(config, shares),
        ),
        fingerprint=_fingerprint(classes, [part.files.content() for part in (train, *held_out)], decoding),
        fit=decoding.fit,
        value_range=decoding.value_range,
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


def _repeats_of_files(
    opened: Mapping[str, Opened], contents: Mapping[str, np.ndarray] | None, classes: Sequence[str], progress: Progress
) -> tuple[Repeats | None, tuple[Finding, ...]]:
    """Copies among the usable files, unless they do not matter; and what to tell if too many look the same."""
    if contents is None:
        return None, ()
    small = [part.small for part in opened.values() if part.small is not None]
    near = likeness_ids(np.concatenate(small), progress) if small else None
    files = {split: part.files for split, part in opened.items()}
    repeats = Repeats.of(
        {split: each.labels for split, each in files.items()},
        {split: contents[split][part.kept] for split, part in opened.items()},
        near,
        shown_name(files),
    )
    return repeats.without_crowds(classes)


def _uneven(classes: Sequence[str], sizes: np.ndarray, shares: Shares) -> Iterator[Finding]:
    """What to tell about classes of very different sizes."""
    low, high = int(sizes.argmin()), int(sizes.argmax())
    if sizes[high] > UNEVEN * sizes[low]:
        yield Finding(
            "class-sizes",
            f"class '{classes[high]}' has {sizes[high]:,} training images, '{classes[low]}' only {sizes[low]:,}: "
            "top-1 counts images, so small classes hardly count in it",
        )
    if shares.are_too_large(sizes):
        yield Finding(
            "classes-too-small",
            f"class '{classes[low]}' is too small for the validation and test images wanted per class, "
            "so each class gives a seventh of its images at most",
        )


def _unused(config: DataConfig, shares: Shares) -> tuple[Finding, ...]:
    if config.test_per_class is None or shares.test:
        return ()
    return (Finding("setting-unused", "test_per_class is not used: the data set brings its test images"),)


def _unused_decoding(config: DataConfig) -> tuple[Finding, ...]:
    """What to tell about settings that only images in files have."""
    given = [name for name, value in (("fit", config.fit != "crop"), ("range", config.range is not None)) if value]
    return tuple(
        Finding("setting-unused", f"data.{name} is not used: the images of this data set are squares of 8 bits")
        for name in given
    )


def _changed(outcome: Outcome, decoding: Decoding) -> Iterator[Finding]:
    """What to tell where a few images are unlike those that were looked at."""
    if decoding.channels == 1 and outcome.coloured:
        yield Finding("colour-to-grey", f"{outcome.coloured} colour images turned to grey")
    if outcome.deep and not decoding.value_range:
        noun = "1 image has" if outcome.deep == 1 else f"{outcome.deep:,} images have"
        yield Finding(
            "deep-mixed",
            f"{noun} more than 8 bits, the others 8: values 0:65535 become 256 levels; give --data.range for others",
        )


def _fingerprint(classes: Sequence[str], splits: Iterable[Iterable[bytes]], decoding: Decoding | None = None) -> str:
    """Of the files of every split, and of what they become where that is not what it is for most."""
    digest = hashlib.sha256("\0".join(classes).encode())
    if decoding and (decoding.fit != "crop" or decoding.value_range):
        digest.update(f"\0{decoding.fit} {decoding.value_range}".encode())
    for split in splits:
        digest.update(b"\0split\0")
        for part in split:
            digest.update(part)
    return digest.hexdigest()[:16]
