"""The curve of a stand-alone training: measured now and then, and the same however often it is interrupted."""

import dataclasses
import json

import pytest

from fairnas.pipeline import Experiment
from fairnas.pipeline.courses import CURVE_POINTS
from fairnas.pipeline.jobs import one_thread, run_job
from fairnas.pipeline.truth import workshop_of
from fairnas.pipeline.workshop import Job
from fairnas.rundir import RunDirectory
from fairnas.train import Pace


def test_an_interrupted_training_ends_with_the_same_result_and_curve(trained_run, tmp_path):
    experiment = Experiment(RunDirectory(trained_run))
    epochs = CURVE_POINTS + 1
    shared = workshop_of(experiment)
    job = Job((0,) * experiment.space.depth, 0, False)
    results = []
    for name, stops in (("whole", ()), ("cut", (4, 9, 17))):
        train = dataclasses.replace(shared.train, epochs=epochs)
        workshop = dataclasses.replace(shared, train=train, folder=tmp_path / name)
        for after in stops:
            asked = iter(range(after))
            pace = Pace(stop=lambda asked=asked: next(asked, None) is None)
            with one_thread(), pytest.raises(KeyboardInterrupt):
                run_job(workshop, job, experiment.space, experiment.dataset, pace)
        with one_thread():
            results.append(run_job(workshop, job, experiment.space, experiment.dataset, Pace()))
        assert json.loads(workshop.result_path(job).read_text()) == results[-1]
    whole, cut = results
    assert cut == whole
    curve = whole["curve"]
    assert [row["epoch"] for row in curve] == list(range(1, epochs + 1))
    assert all(row["loss"] > 0 for row in curve)
    assert [row["epoch"] for row in curve if row["validation_top1"] is not None] == [*range(2, epochs, 2), epochs]
    assert curve[-1]["validation_top1"] == whole["validation"]["top1"]
