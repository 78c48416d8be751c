"""Stage one: the images, and how the supernet learns from them."""

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
    """Which images, and how they are split and augmented."""

    name: Annotated[str, Flag("common", Short("data"))] = "digits"
    """`digits`, `cifar10`, `imagenet`, or `folder:PATH` with one subfolder per class."""
    root: Common[str | None] = None
    """Folder that holds `cifar10` or `imagenet`; not used by `digits` and `folder:PATH`."""
    layout: Advanced[FolderReading] = "auto"
    """What the folders in `folder:PATH` are: `classes` or `splits` (train/, with val/ and test/) whatever their names
    look like; `auto` finds out, and refuses what may be something else."""
    labels: Common[str | None] = None
    """CSV file with the classes of the images in `folder:PATH` (columns filename and label, and split if you like), by
    its path in that folder or an absolute one; default: labels.csv or train.csv, where no class folders are."""
    image_size: Common[int | None] = None
    """Side of the square images in pixels; default: the space's own."""
    validation_per_class: Common[int] = 50
    """Images per class carved out of the training set for search (paper 4.1: 50); where classes are too small for it
    beside far larger ones, a seventh of each at most."""
    train_per_class: Advanced[int | None] = None
    """Keep at most this many training images per class; default: all."""
    test_per_class: Advanced[int | None] = None
    """Where a data set brings no test images: how many per class to carve out; default: as validation."""
    held_out_per_class: Advanced[int | None] = None
    """Keep at most this many validation images, and as many test images, per class, also of those that a data set
    brings; default: all."""
    group: Common[str | None] = None
    """Images that stay in one split, such as those of a video: a regular expression whose group in the file's name
    below the folder says which they are (`video_(\\d+)`), or FILE.csv:COLUMN (also of a file in that folder)."""
    copies: Advanced[Copies] = "near"
    """Copies that are looked for, told and kept in one split: `near` (the same picture, encoded or resized again),
    `exact` (the same file under another name), or `none`."""
    fit: Common[Fit] = "crop"
    """How images become squares: `crop` cuts out the middle, `pad` puts the whole image between black bars, `squash`
    squeezes it."""
    range: Advanced[str | None] = None
    """LOW:HIGH, the values that become black and white, of images of more than 8 bits, such as 29000:33000; default:
    chosen from the training images."""
    augmentation: Common[AugmentationPreset] = "inception"
    """`shift` (one pixel or so, for digits), `crop_flip` (CIFAR), `inception` (random area crop and flip), `none`.
    `crop`, `flip`, `rotate` and `colour` change single parts of it."""
    crop: Advanced[CropSetting] = "auto"
    """`shift`, `padded` (RandomCrop with padding), `resized` (RandomResizedCrop) or `none`; `auto`: the
    augmentation's."""
    flip: Common[FlipSetting] = "auto"
    """Mirror half of the training images: `horizontal` (left to right), `vertical`, `both`, `none`; `auto`: the
    augmentation's. Give `none` where left and right matter, `both` for microscopy and aerial images."""
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
        _ = self.applied  # whose checks are those of the other settings

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The two numbers of `range`. Raises `ConfigError` if it has other content."""
        return None if self.range is None else _value_range(self.range)

    @property
    def applied(self) -> Augmentation:
        """What training images go through: the preset, with the single settings in place of its parts."""
        preset = PRESETS[self.augmentation]
        return Augmentation(
            crop=preset.crop if self.crop == "auto" else self.crop,
            flip=preset.flip if self.flip == "auto" else self.flip,
            rotate=self.rotate,
            colour=self.colour,
        )

    @property
    def kind(self) -> str:
        """`digits`, `cifar10`, `imagenet` or `folder`."""
        return self.name.partition(":")[0]

    @property
    def group_table(self) -> tuple[str, str] | None:
        """File and column, where `group` names them.

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
        """The same images by paths that mean the same in every working directory."""
        _, colon, path = self.name.partition(":")
        name = f"{self.kind}:{_absolute(path)}" if colon and path else self.name
        placed = self.at(name, self.root and _absolute(self.root))
        if (table := self.group_table) is None:
            return placed
        return dataclasses.replace(placed, group=f"{_absolute(table[0])}:{table[1]}")

    def at(self, name: str, root: str | None) -> "DataConfig":
        """The same settings for images at another place."""
        return dataclasses.replace(self, name=name, root=root)

    def where(self, other: "DataConfig") -> "DataConfig":
        """The same settings for the images of another configuration, and for its table of groups."""
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
    """What teaches the architecture, in strategies that learn one. Defaults are those that each was published with."""

    share: Advanced[float | None] = None
    """Share of the training images that teach the architecture instead of the weights."""
    lr: Advanced[float | None] = None
    """Learning rate of the architecture's optimiser."""
    warm_up: Advanced[float | None] = None
    """Share of the training in which only the weights learn."""
    cost_weight: Advanced[float | None] = None
    """How much the expected cost of the network counts in the loss; 0 leaves it out."""

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
    """Who is trained at a supernet step; `fairnas strategies` lists them. Your own: FILE.py:NAME."""
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
    """Gradients of tensors that all paths share: the sum over the paths (Algorithm 1 as printed), or their mean."""
    balance: Common[Balance] = "none"
    """Classes of unequal size: `sampling` draws every class equally often, `weights` makes the loss of an image count
    the more, the smaller its class. Of the supernet and of every network trained by itself (docs/training.md)."""
    idle_blocks: Advanced[IdleBlocks] = "rest"
    """What moves choice blocks that an update did not train: nothing, their momentum, weight decay, or both."""
    k: Advanced[int | None] = None
    """`uniform_k`: passes over its one path per step (paper 4.3.1); default: the largest number of choices."""
    accumulate: Advanced[bool] = False
    """`uniform_k`: one update with the sum of the k gradients, instead of k updates."""
    path_dropout: Advanced[float | None] = None
    """`one_shot`: chance that a layer would lose all its blocks, ramped up from 0; default: 0.05 (Bender et al.)."""
    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    """Of the strategies that learn an architecture beside the weights."""
    bn_affine: Advanced[bool] = True
    """Whether BN in the supernet has a learned scale and shift; stand-alone networks always have."""
    bn_momentum: Advanced[float] = 0.1
    """Share of a new mini-batch in the supernet's running BN statistics."""
    clip_norm: Advanced[float | None] = None
    """Largest norm of all gradients together; longer ones are scaled down. Default: no limit."""
    precision: Common[Precision] = "float32"
    """`bfloat16` runs convolutions in half the bits (autocast); weights, BN statistics and updates stay float32."""

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
