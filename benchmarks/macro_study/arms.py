"""Arms of the study and the length of their trainings, counted in path-images: images times backward passes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from benchmarks.workload import distinct_networks
from fairnas.config import DataConfig, TrainConfig
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.fairness.samplers import Fairness
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace
from fairnas.train import make_strategy
from fairnas.train.strategies import PathStrategy, Strategy

BATCH_SIZE = 64


@dataclass(frozen=True)
class Arm:
    """One way to train a supernet of NAS-Bench-Macro."""

    summary: str
    strategy: str
    tuned: str = ""
    """Strategy whose learning rate it takes; default: its own."""
    compute: Fraction = Fraction(1)
    """Share of the study's budget, in path-images."""
    distinct: bool = False
    """Draws uniformly among networks instead of genomes, of which several may be the same network."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings of `train` that differ."""

    @property
    def rate_of(self) -> str:
        """The strategy whose tuned learning rate it takes."""
        return self.tuned or self.strategy


CLIP_NORM = 1.0
"""Gradient clipping of all arms: without it, the loss of either strategy first climbs to three times that of chance."""
FREE = {"clip_norm": None}
PLAIN_BN = {"bn_affine": False}
ARMS: dict[str, Arm] = {
    "strict": Arm("strict fairness", "strict"),
    "uniform": Arm("uniform paths", "uniform"),
    "uniform_equal_epochs": Arm("uniform paths, as many epochs as strict", "uniform", compute=Fraction(1, 3)),
    "ef": Arm("EF k=3", "uniform_k"),
    "ef_third": Arm("EF k=3, a third of the learning rate", "uniform_k", changes={"lr_scale": 1 / 3}),
    "strict_free": Arm("strict, gradients not clipped", "strict", changes=FREE),
    "uniform_free": Arm("uniform, gradients not clipped", "uniform", changes=FREE),
    "strict_plain_bn": Arm("strict, BN without scale and shift", "strict", changes=PLAIN_BN),
    "uniform_plain_bn": Arm("uniform, BN without scale and shift", "uniform", changes=PLAIN_BN),
    "uniform_distinct": Arm("uniform among the distinct networks", "uniform", distinct=True),
    "strict_mean": Arm("strict, mean gradient in stem and head", "strict", changes={"shared_gradient": "mean"}),
    "strict_separate": Arm("strict paths, an update after each", "strict_separate_updates", tuned="uniform"),
}
TUNED = ("strict", "uniform", "uniform_k")
"""Strategies with a learning rate of their own."""


def find_arm(name: str) -> Arm:
    """An arm by name. Raises `UnknownNameError`."""
    if name not in ARMS:
        raise UnknownNameError("arm", name, ARMS)
    return ARMS[name]


@dataclass(frozen=True)
class Data:
    """Images that supernets are trained and evaluated on."""

    name: str = "cifar10"
    root: str | None = None
    train_per_class: int = 4500
    """Training images per class at most."""
    validation_per_class: int = 500
    image_size: int = 32
    """Side in pixels."""


@dataclass(frozen=True)
class Length:
    """Length of a training. A budget consists of whole epochs, with the same number of images for all arms."""

    per_class: int
    """Training images per class."""
    epochs: int
    path_images: int
    """Images times backward passes, exactly."""


def length_of(arm: Arm, budget: int, data: Data, space: SearchSpace) -> Length:
    """The length of an arm's training at a budget in path-images.

    Strict training passes over the images as rarely as their number allows; so few images are taken that these are
    whole epochs, and every other arm passes over the same ones, more often if a step costs it less.

    Raises `ConfigError` if the budget does not suffice for a single step.
    """
    paths, classes = max(space.choices), space.num_classes
    rounds = -(-budget // (paths * classes * data.train_per_class))
    per_class = budget // (paths * classes * rounds)
    steps = per_class * classes // BATCH_SIZE
    if steps == 0:
        raise ConfigError(
            f"a budget of {budget:,} path-images is {per_class * classes} images, and a step takes {BATCH_SIZE}; "
            "give a larger --budget, or more images per class"
        )
    cost = make_strategy(TrainConfig(strategy=arm.strategy), space.choices, 0).passes_per_step
    epochs = arm.compute * rounds * paths / cost
    assert epochs.denominator == 1, f"{arm} is no whole number of epochs"
    return Length(per_class, int(epochs), int(epochs) * steps * BATCH_SIZE * cost)


def train_config(arm: Arm, epochs: int, lr: float) -> TrainConfig:
    """Training settings of an arm: SGD with momentum and cosine decay; the rest are the paper's."""
    plain = TrainConfig(strategy=arm.strategy, epochs=epochs, batch_size=BATCH_SIZE, lr=lr, clip_norm=CLIP_NORM)
    return dataclasses.replace(plain, **arm.changes)


def data_config(data: Data, per_class: int) -> DataConfig:
    """Crop and flip on this number of images per class. The validation images do not depend on the number."""
    augmentation = "shift" if data.name == "digits" else "crop_flip"
    return DataConfig(
        name=data.name,
        root=data.root,
        validation_per_class=data.validation_per_class,
        test_per_class=None if data.name in ("cifar10", "digits") else data.validation_per_class,
        train_per_class=per_class,
        augmentation=augmentation,
    )


class DistinctSampler:
    """One path per step, uniform among the distinct networks of a space."""

    fairness: Fairness = "expectation"
    fairness_period = 1
    paths_per_step = 1

    def __init__(self, networks: Sequence[Genome], seed: int) -> None:
        self.networks, self.seed = networks, seed

    def paths(self, step: int) -> tuple[Genome, ...]:
        """One genome."""
        return (self.networks[int(generator(self.seed, "paths", step).integers(len(self.networks)))],)


def distinct_strategy(space: SearchSpace, seed: int) -> Strategy:
    """The strategy of arms that draw among distinct networks."""
    return PathStrategy(DistinctSampler(distinct_networks(space), seed))


def some_networks(space: SearchSpace, count: int | None, purpose: str) -> list[Genome]:
    """Every distinct network of a space, or this number of them, the same for every training."""
    networks = distinct_networks(space)
    if count is None or count >= len(networks):
        return networks
    rng: np.random.Generator = generator(0, purpose)
    return sorted(networks[place] for place in rng.choice(len(networks), count, replace=False))
