"""Stage one: the images, and how the supernet learns from them."""

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Literal

from fairnas.config.checks import above_zero, at_least, in_range, one_of
from fairnas.errors import ConfigError

Augmentation = Literal["none", "shift", "crop_flip", "inception"]
SharedGradient = Literal["sum", "mean"]
IdleBlocks = Literal["rest", "momentum", "decay", "both"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are split and augmented."""

    name: str = "digits"
    """`digits`, `cifar10`, `imagenet`, or `folder:PATH` with one subfolder per class."""
    root: str | None = None
    """Folder that holds `cifar10` or `imagenet`; not used by `digits` and `folder:PATH`."""
    image_size: int | None = None
    """Side of the square images in pixels; default: the space's own."""
    validation_per_class: int = 50
    """Images per class carved out of the training set for search (paper 4.1: 50); where classes are too small for it
    beside far larger ones, a seventh of each at most."""
    train_per_class: int | None = None
    """Keep at most this many training images per class; default: all."""
    test_per_class: int | None = None
    """Where a data set brings no test images: how many per class to carve out; default: as validation."""
    augmentation: Augmentation = "inception"
    """`shift` (one pixel or so, for digits), `crop_flip` (CIFAR), `inception` (random area crop and flip), `none`."""
    held_out_per_class: int | None = None
    """Keep at most this many validation images, and as many test images, per class, also of those that a data set
    brings; default: all."""

    def __post_init__(self) -> None:
        at_least("data.validation_per_class", self.validation_per_class, 1)
        at_least("data.image_size", self.image_size, 1)
        at_least("data.train_per_class", self.train_per_class, 1)
        at_least("data.test_per_class", self.test_per_class, 1)
        at_least("data.held_out_per_class", self.held_out_per_class, 1)
        one_of("data.augmentation", self.augmentation, Augmentation)

    @property
    def kind(self) -> str:
        """`digits`, `cifar10`, `imagenet` or `folder`."""
        return self.name.partition(":")[0]

    def absolute(self) -> "DataConfig":
        """The same images by paths that mean the same in every working directory."""
        _, colon, path = self.name.partition(":")
        name = f"{self.kind}:{_absolute(path)}" if colon and path else self.name
        return self.at(name, self.root and _absolute(self.root))

    def at(self, name: str, root: str | None) -> "DataConfig":
        """The same settings for images at another place."""
        return dataclasses.replace(self, name=name, root=root)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


@dataclass(frozen=True)
class ArchitectureConfig:
    """What teaches the architecture, in strategies that learn one. Defaults are those that each was published with."""

    share: float | None = None
    """Share of the training images that teach the architecture instead of the weights."""
    lr: float | None = None
    """Learning rate of the architecture's optimiser."""
    warm_up: float | None = None
    """Share of the training in which only the weights learn."""
    cost_weight: float | None = None
    """How much the expected cost of the network counts in the loss; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError(f"train.architecture.share is {self.share}; give a number between 0 and 1")
        above_zero("train.architecture.lr", self.lr)
        if self.warm_up is not None:
            in_range("train.architecture.warm_up", self.warm_up, 0, 1)
        at_least("train.architecture.cost_weight", self.cost_weight, 0)


@dataclass(frozen=True)
class TrainConfig:
    """Stage one: how the supernet is trained (paper 3.1 and 4.1)."""

    strategy: str = "strict"
    """Who is trained at a supernet step; `fairnas strategies` lists them. Your own: FILE.py:NAME."""
    epochs: int = 150
    """Passes over the training images."""
    batch_size: int = 256
    """Images per mini-batch; all paths of a strict step share one mini-batch."""
    lr: float = 0.045
    """Initial learning rate of the cosine decay to zero."""
    lr_scale: float = 1.0
    """Factor on the supernet's learning rate; 1/6 makes the paper's second baseline (4.3.1 b)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 4e-5
    """L2 weight decay, on every parameter."""
    shared_gradient: SharedGradient = "sum"
    """Gradients of tensors that all paths share: the sum over the paths (Algorithm 1 as printed), or their mean."""
    idle_blocks: IdleBlocks = "rest"
    """What moves choice blocks that an update did not train: nothing, their momentum, weight decay, or both."""
    k: int | None = None
    """`uniform_k`: passes over its one path per step (paper 4.3.1); default: the largest number of choices."""
    accumulate: bool = False
    """`uniform_k`: one update with the sum of the k gradients, instead of k updates."""
    path_dropout: float | None = None
    """`one_shot`: chance that a layer would lose all its blocks, ramped up from 0; default: 0.05 (Bender et al.)."""
    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    """Of the strategies that learn an architecture beside the weights."""
    bn_affine: bool = True
    """Whether BN in the supernet has a learned scale and shift; stand-alone networks always have."""
    bn_momentum: float = 0.1
    """Share of a new mini-batch in the supernet's running BN statistics."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; longer ones are scaled down. Default: no limit."""
    precision: Precision = "float32"
    """`bfloat16` runs convolutions in half the bits (autocast); weights, BN statistics and updates stay float32."""

    def __post_init__(self) -> None:
        at_least("train.epochs", self.epochs, 1)
        at_least("train.batch_size", self.batch_size, 2)
        above_zero("train.lr", self.lr)
        above_zero("train.lr_scale", self.lr_scale)
        in_range("train.momentum", self.momentum, 0, 1)
        at_least("train.weight_decay", self.weight_decay, 0)
        one_of("train.shared_gradient", self.shared_gradient, SharedGradient)
        one_of("train.idle_blocks", self.idle_blocks, IdleBlocks)
        at_least("train.k", self.k, 1)
        if self.path_dropout is not None:
            in_range("train.path_dropout", self.path_dropout, 0, 1)
        in_range("train.bn_momentum", self.bn_momentum, 0, 1)
        above_zero("train.clip_norm", self.clip_norm)
        one_of("train.precision", self.precision, Precision)
