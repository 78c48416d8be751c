"""Settings of stage one: the images, and the training of the supernet."""

import dataclasses
import os
import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fairnas.config.augmentation import PRESETS, Augmentation, AugmentationPreset, CropSetting, FlipSetting, Rotation
from fairnas.config.checks import above_zero, as_text, at_least, in_range, one_of, pattern
from fairnas.config.settings import Advanced, Common, Flag, Short
from fairnas.errors import ConfigError

FolderReading = Literal["auto", "classes", "splits"]
Fit = Literal["crop", "pad", "squash"]
SharedGradient = Literal["sum", "mean"]
IdleBlocks = Literal["rest", "momentum", "decay", "both"]
Copies = Literal["near", "exact", "none"]
Precision = Literal["float32", "bfloat16"]
Balance = Literal["none", "sampling", "weights"]


@dataclass(frozen=True)
class DataConfig:
    """Choice of the images, their splits and their augmentation."""

    name: Annotated[str, Flag("common", Short("data"))] = "digits"
    """`digits`, `cifar10`, `imagenet`, or `folder:PATH` with one subfolder per class."""
    root: Common[str | None] = None
    """Folder that holds `cifar10` or `imagenet`; not used by `digits` and `folder:PATH`."""
    layout: Advanced[FolderReading] = "auto"
    """Meaning of the folders in `folder:PATH`, whatever their names look like: `classes` or `splits` (train/, with val/
    and test/); `auto` works it out, and refuses doubtful folders.
    """
    labels: Common[str | None] = None
    """CSV file with the classes of the images in `folder:PATH` (columns filename and label, optionally split), as a
    path in that folder or an absolute one; default: labels.csv or train.csv, if there are no class folders.
    """
    image_size: Common[int | None] = None
    """Side of the square images in pixels; default: the space's own."""
    validation_per_class: Common[int] = 50
    """Images per class taken from the training set to validate networks during the search (paper 4.1: 50); if some
    classes are far smaller than others, at most a seventh of each class.
    """
    train_per_class: Advanced[int | None] = None
    """Keep at most this many training images per class; default: all."""
    test_per_class: Advanced[int | None] = None
    """Images per class to set aside for testing, for a data set without test images; default: `validation_per_class`.
    """
    held_out_per_class: Advanced[int | None] = None
    """Keep at most this many validation images, and as many test images, per class, including those that come with the
    data set; default: all.
    """
    group: Common[str | None] = None
    """Groups of images that must stay in one split, such as the frames of a video: a regular expression whose group, in
    the file name below the folder, names them (`video_(\\d+)`), or FILE.csv:COLUMN (also a file in that folder).
    """
    copies: Advanced[Copies] = "near"
    """Copies to find, report and keep in one split: `near` (the same picture, encoded or resized again), `exact` (the
    same file under another name), or `none`.
    """
    fit: Common[Fit] = "crop"
    """Squaring of images: `crop` cuts out the middle, `pad` adds black bars, `squash` distorts them."""
    range: Advanced[str | None] = None
    """LOW:HIGH, the pixel values that become black and white in images of more than 8 bits, such as 29000:33000;
    default: chosen from the training images.
    """
    augmentation: Common[AugmentationPreset] = "inception"
    """`shift` (by about a pixel, for digits), `crop_flip` (CIFAR), `inception` (random area crop and flip), `none`.
    `crop`, `flip`, `rotate` and `colour` change single parts of it.
    """
    crop: Advanced[CropSetting] = "auto"
    """`shift`, `padded` (RandomCrop with padding), `resized` (RandomResizedCrop) or `none`; `auto`: as in
    `augmentation`.
    """
    flip: Common[FlipSetting] = "auto"
    """Mirror half of the training images: `horizontal` (left to right), `vertical`, `both`, `none`; `auto`: as in
    `augmentation`. Give `none` where left and right matter, `both` for microscopy and aerial images.
    """
    rotate: Advanced[Rotation] = "none"
    """`quarter` turns training images by 0, 90, 180 or 270 degrees."""
    colour: Advanced[float] = 0.0
    """Strength from 0 to 1 of random brightness, contrast and saturation (ColorJitter); 0: none."""

    def __post_init__(self) -> None:
        at_least("data.validation_per_class", self.validation_per_class, 1)
        at_least("data.image_size", self.image_size, 1)
        at_least("data.train_per_class", self.train_per_class, 1)
        at_least("data.test_per_class", self.test_per_class, 1)
        at_least("data.held_out_per_class", self.held_out_per_class, 1)
        one_of("data.layout", self.layout, FolderReading)
        one_of("data.copies", self.copies, Copies)
        if self.group is not None and self.group_table is None:
            pattern("data.group", self.group)
        one_of("data.fit", self.fit, Fit)
        assert self.value_range is None or self.range is not None
        one_of("data.augmentation", self.augmentation, AugmentationPreset)
        one_of("data.crop", self.crop, CropSetting)
        one_of("data.flip", self.flip, FlipSetting)
        _ = self.applied  # run its checks now, rather than at first use

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The two numbers of `range`, or None. Raises `ConfigError` for any other text."""
        return None if self.range is None else _value_range(self.range)

    @property
    def applied(self) -> Augmentation:
        """Augmentation in effect: the preset, with its parts replaced by single settings."""
        preset = PRESETS[self.augmentation]
        return Augmentation(
            crop=preset.crop if self.crop == "auto" else self.crop,
            flip=preset.flip if self.flip == "auto" else self.flip,
            rotate=self.rotate,
            colour=self.colour,
        )

    @property
    def kind(self) -> str:
        """Kind of data set: `digits`, `cifar10`, `imagenet` or `folder`."""
        return self.name.partition(":")[0]

    @property
    def group_table(self) -> tuple[str, str] | None:
        """File and column named by `group`; None where it is a pattern.

        A file that is not found from the working directory may lie in the folder of `folder:PATH`.
        """
        found = re.fullmatch(r"(.+\.[ct]sv):(.*)", self.group or "", re.IGNORECASE | re.DOTALL)
        if not found:
            return None
        file, folder = os.path.expanduser(found[1]), os.path.expanduser(self.name.removeprefix("folder:"))
        inside = os.path.join(folder, file)
        among_images = self.kind == "folder" and not os.path.exists(file) and os.path.exists(inside)
        return (inside if among_images else found[1], found[2])

    def absolute(self) -> "DataConfig":
        """The same images, with absolute paths."""
        _, colon, path = self.name.partition(":")
        name = f"{self.kind}:{_absolute(path)}" if colon and path else self.name
        placed = self.at(name, self.root and _absolute(self.root))
        if (table := self.group_table) is None:
            return placed
        return dataclasses.replace(placed, group=f"{_absolute(table[0])}:{table[1]}")

    def at(self, name: str, root: str | None) -> "DataConfig":
        """Return the same settings for images at another place."""
        return dataclasses.replace(self, name=name, root=root)

    def where(self, other: "DataConfig") -> "DataConfig":
        """Return the same settings with the places of another configuration's images and table of groups."""
        ours, theirs = self.group_table, other.group_table
        moved = ours is not None and theirs is not None and ours[1] == theirs[1]
        placed = self.at(other.name, other.root)
        return dataclasses.replace(placed, group=other.group) if moved else placed


def _value_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"data.range is {text!r}; give two numbers, LOW:HIGH, such as 29000:33000") from None
    if not 0 < high - low < float("inf"):
        raise ConfigError(f"data.range is {text!r}; give LOW:HIGH of which LOW is the smaller, both finite")
    return low, high


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


@dataclass(frozen=True)
class ArchitectureConfig:
    """Training of the architecture, in strategies that learn one. Defaults are the published values of each."""

    share: Advanced[float | None] = None
    """Share of the training images used to train the architecture instead of the weights."""
    lr: Advanced[float | None] = None
    """Learning rate of the architecture's optimiser."""
    warm_up: Advanced[float | None] = None
    """Share of the training in which only the weights learn."""
    cost_weight: Advanced[float | None] = None
    """Weight, in the loss, of the network's expected cost; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError(f"train.architecture.share is {as_text(self.share)}; give a number between 0 and 1")
        above_zero("train.architecture.lr", self.lr)
        if self.warm_up is not None:
            in_range("train.architecture.warm_up", self.warm_up, 0, 1)
        at_least("train.architecture.cost_weight", self.cost_weight, 0)


@dataclass(frozen=True)
class TrainConfig:
    """Stage one: how the supernet is trained (paper 3.1 and 4.1)."""

    strategy: Common[str] = "strict"
    """Rule that chooses the paths trained at a supernet step; `fairnas strategies` lists them. Your own: FILE.py:NAME.
    """
    epochs: Common[int] = 150
    """Passes over the training images."""
    batch_size: Common[int] = 256
    """Images per mini-batch; all paths of a strict step share one mini-batch."""
    lr: Common[float] = 0.045
    """Initial learning rate of the cosine decay to zero."""
    lr_scale: Advanced[float] = 1.0
    """Factor on the supernet's learning rate; 1/6 makes the paper's second baseline (4.3.1 b)."""
    momentum: Advanced[float] = 0.9
    """Momentum of SGD."""
    weight_decay: Advanced[float] = 4e-5
    """L2 weight decay, on every parameter."""
    shared_gradient: Advanced[SharedGradient] = "sum"
    """Gradient of tensors shared by all paths: the sum over the paths (Algorithm 1 as printed), or the mean."""
    balance: Common[Balance] = "none"
    """Treatment of classes of unequal size, in the supernet and in every network trained by itself: `sampling` draws
    every class equally often, `weights` gives images of smaller classes more weight in the loss (docs/training.md).
    """
    idle_blocks: Advanced[IdleBlocks] = "rest"
    """Forces that move choice blocks not trained by an update: none (`rest`), momentum, weight decay, or both."""
    k: Advanced[int | None] = None
    """Passes over the one path of a `uniform_k` step (paper 4.3.1); default: the largest number of choices of a layer.
    """
    accumulate: Advanced[bool] = False
    """For `uniform_k`: make one update with the sum of the k gradients, instead of k updates."""
    path_dropout: Advanced[float | None] = None
    """For `one_shot`: final probability, rising from 0, that a layer loses all its blocks; default: 0.05 (Bender et
    al.).
    """
    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    """Settings of strategies that learn an architecture beside the weights."""
    bn_affine: Advanced[bool] = True
    """Give BN in the supernet a learned scale and shift; stand-alone networks always have them."""
    bn_momentum: Advanced[float] = 0.1
    """Share of a new mini-batch in the supernet's running BN statistics."""
    clip_norm: Advanced[float | None] = None
    """Largest norm of all gradients together; larger gradients are scaled down to it. Default: no limit."""
    precision: Common[Precision] = "float32"
    """`bfloat16` computes convolutions in half the bits (autocast); weights, BN statistics and updates stay float32."""

    def __post_init__(self) -> None:
        at_least("train.epochs", self.epochs, 1)
        at_least("train.batch_size", self.batch_size, 2)
        above_zero("train.lr", self.lr)
        above_zero("train.lr_scale", self.lr_scale)
        in_range("train.momentum", self.momentum, 0, 1)
        at_least("train.weight_decay", self.weight_decay, 0)
        one_of("train.shared_gradient", self.shared_gradient, SharedGradient)
        one_of("train.balance", self.balance, Balance)
        one_of("train.idle_blocks", self.idle_blocks, IdleBlocks)
        at_least("train.k", self.k, 1)
        if self.path_dropout is not None:
            in_range("train.path_dropout", self.path_dropout, 0, 1)
        in_range("train.bn_momentum", self.bn_momentum, 0, 1)
        above_zero("train.clip_norm", self.clip_norm)
        one_of("train.precision", self.precision, Precision)
