"""A data set and a space so small that a training takes a second, and one undisturbed training per strategy."""

import functools
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from fairnas.config import DataConfig, TrainConfig
from fairnas.data import load_dataset
from fairnas.train import LoopOptions, supernet_training, train
from fairnas.train.supernet import SupernetTraining
from tests.train.processes import SPACE


@pytest.fixture(scope="session")
def space():
    return SPACE


@pytest.fixture(scope="session")
def dataset():
    data = DataConfig("digits", validation_per_class=5, train_per_class=12, augmentation="shift")
    return load_dataset(data, image_size=8, image_channels=1, seed=0)


def new_training(strategy: str = "strict", epochs: int = 3, lr: float = 0.05, seed: int = 0, **settings):
    config = TrainConfig(strategy=strategy, **{"epochs": epochs, "batch_size": 30, "lr": lr, **settings})
    return supernet_training(SPACE, config, seed, torch.device("cpu")), config


@pytest.fixture
def make_training():
    return new_training


@dataclass(frozen=True)
class Undisturbed:
    """A supernet training that ran to its end, and what was seen of it."""

    training: SupernetTraining
    config: TrainConfig
    head_passes: int
    """Backward passes through the head."""
    block_runs: list[list[int]]
    """How often each block was run, layer by layer."""
    curve: list[tuple[int, int, Any]]
    """What `on_epoch` was called with."""
    weights_after: dict[int, torch.Tensor]
    """All weights as one vector, by the number of steps done."""


@pytest.fixture(scope="session")
def undisturbed(dataset):
    """Trainings of each strategy to the end, made once for all tests that only look at them."""

    @functools.cache
    def make(strategy: str, epochs: int = 3) -> Undisturbed:
        training, config = new_training(strategy, epochs)
        passes, curve, weights = [], [], {}
        training.network.head.register_full_backward_hook(lambda *_: passes.append(1))
        runs = [[0] * len(layer) for layer in training.network.layers]
        for layer, blocks in enumerate(training.network.layers):
            for choice, block in enumerate(blocks):

                def count(*_, layer=layer, choice=choice):
                    runs[layer][choice] += 1

                block.register_forward_hook(count)

        def look() -> bool:
            weights[len(weights) + 1] = weights_of(training)
            return False

        options = LoopOptions(stop=look, on_epoch=lambda *values: curve.append(values))
        train(training, dataset, config, 0, options)
        return Undisturbed(training, config, len(passes), runs, curve, weights)

    return make


def weights_of(training: SupernetTraining) -> torch.Tensor:
    """All weights of a network as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in training.network.parameters()])
