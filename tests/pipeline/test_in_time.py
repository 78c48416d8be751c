"""Stages that are slower than foreseen: what is shortened stands in the configuration, and all of it goes on."""

import dataclasses

import pytest

from fairnas.config import DataConfig, Resources, RunConfig, SearchConfig, StandAloneConfig, TrainConfig
from fairnas.errors import TooFewNetworksError
from fairnas.pipeline import STAGES, Experiment, run_stage
from fairnas.pipeline.rank_stage import _complete, choose_models
from fairnas.pipeline.stages import _do_in_time
from fairnas.pipeline.timetable import Timetable
from fairnas.pipeline.training_job import Job
from fairnas.rundir import RunDirectory


class Ticking:
    """A clock on which every look takes three seconds."""

    now = 0.0

    def __call__(self):
        self.now += 3.0
        return self.now


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = RunConfig(
        recipe="digits",
        space="digits",
        minutes=10.0,
        data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
        train=TrainConfig(epochs=6, batch_size=40, lr=0.05),
        search=SearchConfig(population=8, generations=6, select=1),
        stand_alone=StandAloneConfig(epochs=3, models=4, seeds=1),
        resources=Resources(processes=1),
    )
    run = RunDirectory.create(tmp_path_factory.mktemp("run") / "run", config)
    run.write_json("dial.json", {"minutes": 10.0, "stages": {}})
    with run.locked():
        yield run


def in_time(run, name, seconds, foreseen, given=frozenset()):
    stage = next(stage for stage in STAGES if stage.name == name)
    _do_in_time(Experiment(run), stage, Timetable(seconds, {name: foreseen}, given, Ticking()))
    return [row for row in run.read_json("dial.json").get("shortened", []) if row["stage"] == name]


@pytest.mark.slow
def test_every_stage_does_less_and_is_whole(run):
    """Three steps an epoch, and each is looked at twice; so six seconds for it."""
    rows = in_time(run, "train", 90, 20)
    epochs = run.config.train.epochs
    assert 2 <= epochs == rows[-1]["after"] < rows[0]["before"] == 6
    assert run.read_json("ledger.json")["steps"] == 3 * epochs
    assert [row["epoch"] for row in run.metrics("train")] == [*range(1, epochs + 1)]

    rows = in_time(run, "search", 26, 8)
    assert run.read_json("search.json")["generations"] == run.config.search.generations == rows[-1]["after"] < 6
    assert len(run.metrics("search")) == rows[-1]["after"]

    rows = in_time(run, "retrain", 40, 8)
    assert run.config.stand_alone.epochs == rows[-1]["after"] < rows[0]["before"] == 3

    with pytest.raises(TooFewNetworksError, match=r"the time was over when [0-2] of its 4 networks were trained"):
        in_time(run, "rank", 20, 8)
    assert in_time(run, "rank", 10_000, 8) == []  # the same command goes on with it
    assert len(run.read_json("ranking.json")["models"]) == 4

    before = run.config
    for name in ("retrain", "train"):  # done again, they are what they are by now
        run_stage(Experiment(run), name)
    assert run.config == before
    assert run.read_json("ledger.json")["steps"] == 3 * epochs


def test_a_study_whose_time_was_over_has_the_networks_that_were_done():
    genomes = [(number,) for number in range(5)]

    def done(*trainings):
        return {Job(genomes[genome], seed, False): {"status": "done"} for genome, seed in trainings}

    both = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert _complete(genomes, 2, done(*both, (3, 0))) == (2, tuple(genomes[:3]))
    assert _complete(genomes, 2, done(*both[:-1], (3, 0))) == (1, tuple(genomes[:4]))
    with pytest.raises(TooFewNetworksError, match="when 2 of its 5 networks were trained; the same command goes on"):
        _complete(genomes, 2, done(*both[:4]))


def test_no_study_is_said_with_what_makes_one(run):
    config = run.config
    run.write_config(dataclasses.replace(config, stand_alone=dataclasses.replace(config.stand_alone, models=0)))
    with pytest.raises(TooFewNetworksError, match=r"stand_alone.models is 0.*`fairnas rank --run .* --models 6`"):
        choose_models(Experiment(run))
