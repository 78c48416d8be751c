"""Data set whose images lie in files: choosing, opening and decoding them, and carving out splits."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.config import DataConfig
from fairnas.data.class_folders import SplitFolder
from fairnas.data.dataset import Dataset
from fairnas.data.decode import Header
from fairnas.data.decoding import Decoding
from fairnas.data.duplicates import require_classes_apart
from fairnas.data.finding import Finding
from fairnas.data.folder_layout import Layout
from fairnas.data.folder_scan import cut_findings, found_channels, sample_headers
from fairnas.data.groups import Groups, group_findings, read_groups
from fairnas.data.image_files import Files, Outcome, disguise_finding
from fairnas.data.images import fit_in_memory
from fairnas.data.likeness import SIDE, likeness_ids
from fairnas.data.opening import Opened, checked, decoded, glanced_at
from fairnas.data.orientation import orientation_findings
from fairnas.data.progress import Progress
from fairnas.data.ranges import find_range
from fairnas.data.repeats import Repeats, file_contents, shown_name
from fairnas.data.splits import Carved, Shares, candidates, first_of_each, mixed, ranks
from fairnas.data.statistics import channel_statistics
from fairnas.data.units import Units, candidates_together, carve_together, share_findings
from fairnas.recipes import UNEVEN


@dataclass(frozen=True, eq=False)
class _Listed:
    """Facts that are known before any image is decoded."""

    files: Mapping[str, Files]
    """Files to open, split by split; validation and test only if the data set brings them."""
    sizes: np.ndarray
    """(K,) training images of each class, including those that are not opened."""
    shares: Shares
    groups: Mapping[str, Groups]
    """Groups of the images that are opened."""
    decoding: Decoding
    headers: Sequence[Header]
    findings: tuple[Finding, ...]


def dataset_of_files(
    layout: Layout, config: DataConfig, size: int, channels: int | None, seed: int, progress: Progress
) -> Dataset:
    """Open, split and measure the images of a layout.

    Args:
        layout: the files and their classes.
        config: shares per class, copies and groups, fit, range and augmentation.
        size: side of the images in pixels.
        channels: 1 or 3; None takes 1 if the images are grey and 3 otherwise.
        seed: of the run; determines which images are held out.
        progress: receives the progress.

    Raises:
        DataError: as `load_dataset`.
    """
    classes = layout.train.names
    if config.copies != "none":
        for split in layout.splits:
            require_classes_apart(split, progress)
    listed = _listed(layout, config, size, channels, seed)
    opened, repeats, crowds = _opened(listed, config, classes, progress)
    labels = opened["train"].files.labels
    groups = {split: each.take(opened[split].kept) for split, each in listed.groups.items()}
    rank = ranks(seed, opened["train"].files.members())
    units = Units.of(
        groups["train"].ranks(rank, seed), [groups["train"].ids, *(repeats.in_training if repeats else ())]
    )
    carved = carve_together(rank, labels, classes, listed.shares, units, listed.sizes)
    train = opened["train"].take(carved.train)
    kept = _kept(opened, carved, config, seed)
    used = {split: np.sort(places) for split, places in kept.items()}
    held_out = _held_out(opened, kept, carved, listed, classes, progress)
    mean, std = channel_statistics(train.sample_pixels(listed.decoding))
    is_carved = bool(listed.shares.validation or listed.shares.test)
    return Dataset(
        name=config.name,
        classes=classes,
        image_size=size,
        image_channels=listed.decoding.channels,
        train=train.images(listed.decoding),
        validation=held_out[0].images(listed.decoding),
        test=held_out[1].images(listed.decoding),
        mean=mean,
        std=std,
        augmentation=config.applied,
        findings=(
            *layout.findings,
            *group_findings(
                {split: each.take(used[split]) for split, each in groups.items()},
                {split: part.files.take(used[split]) for split, part in opened.items()},
            ),
            *listed.findings,
            *(finding for part in (*opened.values(), *held_out) for finding in part.findings),
            *crowds,
            *(repeats.take(used).findings(is_carved) if repeats else ()),
            *share_findings(carved, labels, classes, listed.shares, units, listed.sizes),
            *_changed(Outcome.joined([part.outcome for part in opened.values()]), listed.decoding),
            *cut_findings(listed.headers, config.fit),
            *orientation_findings(classes, config),
            *_uneven(classes, listed.sizes, listed.shares),
            *unused_settings(config, listed.shares),
        ),
        fingerprint=fingerprint(classes, [part.files.content() for part in (train, *held_out)], listed.decoding),
        fit=listed.decoding.fit,
        value_range=listed.decoding.value_range,
    )


def _listed(layout: Layout, config: DataConfig, size: int, channels: int | None, seed: int) -> _Listed:
    classes, shares, pool = layout.train.names, shares_of(config, layout), Files.of(layout.train)
    brought = {"validation": layout.validation, "test": layout.test}
    files = {split: _candidates(folder, config, seed) for split, folder in brought.items() if folder is not None}
    sizes, rank = np.bincount(pool.labels, minlength=len(classes)), ranks(seed, pool.members())
    groups = read_groups(config, {"train": pool, **files})
    units = Units.of(groups["train"].ranks(rank, seed), [groups["train"].ids])
    chosen = candidates_together(rank, pool.labels, shares, units)
    pool = pool.take(chosen)
    # the range is estimated before anything is decoded: on the images that train if none is corrupt or a copy
    intended = carve_together(rank[chosen], pool.labels, classes, shares, units.take(chosen), sizes)
    values = find_range(pool.take(intended.train), classes, config.value_range)
    headers = sample_headers(layout.train)
    decoding = Decoding(size, channels or found_channels(headers), config.fit, values.value_range)
    groups["train"] = groups["train"].take(chosen)
    return _Listed({"train": pool, **files}, sizes, shares, groups, decoding, headers, values.findings)


def _opened(
    listed: _Listed, config: DataConfig, classes: Sequence[str], progress: Progress
) -> tuple[dict[str, Opened], Repeats | None, tuple[Finding, ...]]:
    """Usable files of every split, the copies among them, and findings if too many look the same."""
    contents = None if config.copies == "none" else file_contents(listed.files, progress)
    near = config.copies == "near" and listed.decoding.size >= SIDE
    all_fit = fit_in_memory(sum(map(len, listed.files.values())), listed.decoding)
    opened = {
        split: decoded(part, part, classes, listed.decoding, near, progress)
        if all_fit or split != "train"
        else glanced_at(part, part, classes, listed.decoding, progress)
        if near
        else checked(part, part, classes, progress)
        for split, part in listed.files.items()
    }
    return opened, *_repeats_of_files(opened, contents, classes, progress)


def _kept(opened: Mapping[str, Opened], carved: Carved, config: DataConfig, seed: int) -> dict[str, np.ndarray]:
    """Positions of the usable files to keep in each split that the data set brings; more may have been opened."""
    kept = {"train": np.concatenate([carved.train, carved.validation, carved.test])}
    for split, part in opened.items():
        if split != "train":
            rank = ranks(seed, part.files.members())
            kept[split] = mixed(rank, first_of_each(rank, part.files.labels, config.held_out_per_class))
    return kept


def _held_out(
    opened: Mapping[str, Opened],
    kept: Mapping[str, np.ndarray],
    carved: Carved,
    listed: _Listed,
    classes: Sequence[str],
    progress: Progress,
) -> list[Opened]:
    """Validation and test images: those that the data set brings, or those carved out of the training images."""
    found = []
    for split, places in (("validation", carved.validation), ("test", carved.test)):
        if split in opened:
            found.append(opened[split].take(kept[split]))
        elif opened["train"].pixels is not None:
            found.append(opened["train"].take(places))
        else:  # so far only checked for damage; decode them now, because damage found at scoring would end a run late
            files = opened["train"].take(places).files
            found.append(decoded(files, listed.files["train"], classes, listed.decoding, False, progress))
    return found


def shares_of(config: DataConfig, layout: Layout) -> Shares:
    """Numbers of images per class that are carved out of the training images in folders."""
    test = config.test_per_class or config.validation_per_class
    return Shares(
        validation=0 if layout.validation else limited(config.validation_per_class, config),
        test=0 if layout.test else limited(test, config),
        train=config.train_per_class,
    )


def limited(wanted: int, config: DataConfig) -> int:
    """Number of wanted validation or test images per class that may be kept."""
    return wanted if config.held_out_per_class is None else min(wanted, config.held_out_per_class)


def _candidates(folder: SplitFolder, config: DataConfig, seed: int) -> Files:
    """Files that may be kept of a split that the data set brings."""
    files = Files.of(folder)
    wanted = Shares(0, 0, config.held_out_per_class)
    return files.take(candidates(ranks(seed, files.members()), files.labels, wanted))


def _repeats_of_files(
    opened: Mapping[str, Opened], contents: Mapping[str, np.ndarray] | None, classes: Sequence[str], progress: Progress
) -> tuple[Repeats | None, tuple[Finding, ...]]:
    """Copies among the usable files, unless they do not matter; and findings if too many look the same."""
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
    """Findings about classes of very different sizes."""
    low, high = int(sizes.argmin()), int(sizes.argmax())
    if sizes[high] > UNEVEN * sizes[low]:
        yield Finding(
            "class-sizes",
            f"class '{classes[high]}' has {sizes[high]:,} training images, '{classes[low]}' only {sizes[low]:,}: "
            "in top-1, which counts images, small classes hardly count; balanced accuracy counts all classes alike",
        )
    if shares.are_too_large(sizes):
        yield Finding(
            "classes-too-small",
            f"class '{classes[low]}' is too small for the validation and test images wanted per class, "
            "so each class gives a seventh of its images at most",
        )


def unused_settings(config: DataConfig, shares: Shares) -> tuple[Finding, ...]:
    """Findings about settings that have no effect on a data set."""
    if config.test_per_class is None or shares.test:
        return ()
    return (Finding("setting-unused", "test_per_class is not used: the data set brings its test images"),)


def _changed(outcome: Outcome, decoding: Decoding) -> Iterator[Finding]:
    """Findings about images that differ from the sample."""
    if decoding.channels == 1 and outcome.coloured:
        noun = "colour image" if outcome.coloured == 1 else "colour images"
        yield Finding("colour-to-grey", f"{outcome.coloured:,} {noun} turned to grey")
    yield from disguise_finding(outcome)
    if outcome.deep and not decoding.value_range:
        noun = "1 image has" if outcome.deep == 1 else f"{outcome.deep:,} images have"
        yield Finding(
            "deep-mixed",
            f"{noun} more than 8 bits, the others 8: values 0:65535 become 256 levels; give --data.range for others",
        )


def fingerprint(classes: Sequence[str], splits: Iterable[Iterable[bytes]], decoding: Decoding | None = None) -> str:
    """Fingerprint of the files of every split, and of unusual decoding settings."""
    digest = hashlib.sha256("\0".join(classes).encode())
    if decoding and (decoding.fit != "crop" or decoding.value_range):
        digest.update(f"\0{decoding.fit} {decoding.value_range}".encode())
    for split in splits:
        digest.update(b"\0split\0")
        for part in split:
            digest.update(part)
    return digest.hexdigest()[:16]
