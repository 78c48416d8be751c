"""A data set and a space so small that a training takes a second."""

import pytest
import torch

from fairnas.config import DataConfig, TrainConfig
from fairnas.data import load_dataset
from fairnas.train import supernet_training
from tests.train.processes import SPACE


@pytest.fixture(scope="session")
def space():
    return SPACE


@pytest.fixture(scope="session")
def dataset():
    data = DataConfig("digits", validation_per_class=5, train_per_class=12, augmentation="shift")
    return load_dataset(data, image_size=8, image_channels=1, seed=0)


@pytest.fixture
def make_training():
    def make(strategy: str = "strict", epochs: int = 3, lr: float = 0.05, seed: int = 0, **settings):
        config = TrainConfig(strategy=strategy, **{"epochs": epochs, "batch_size": 30, "lr": lr, **settings})
        return supernet_training(SPACE, config, seed, torch.device("cpu")), config

    return make
