"""A tiny trained run, for tests of what comes after training."""

import dataclasses

import pytest

from fairnas.config import DataConfig, RunConfig, SearchConfig, TrainConfig
from fairnas.pipeline import Experiment, run_stage
from fairnas.rundir import RunDirectory
from tests.artifacts import made_once


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """A run whose supernet is trained, a little; tests work on copies of its directory."""
    config = RunConfig(
        recipe="digits",
        space="digits",
        data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
        train=TrainConfig(epochs=2, batch_size=40, lr=0.05),
        search=SearchConfig(population=8, generations=4, select=2),
    )
    return trained_once("trained", config, tmp_path_factory)


@pytest.fixture(scope="session")
def other_weights(trained_run, tmp_path_factory):
    """The checkpoint of the same supernet trained with another seed."""
    config = dataclasses.replace(RunDirectory.open(trained_run).config, seed=1)
    return trained_once("trained_otherwise", config, tmp_path_factory) / "supernet" / "checkpoint.pt"


def trained_once(name, config, paths):
    def make(folder):
        run = RunDirectory.create(folder / "run", config)
        with run.locked():
            run_stage(Experiment(run), "train")

    return made_once(name, make, paths) / "run"
