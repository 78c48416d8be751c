"""The curve of a stand-alone training: measured now and then, and the same however often it is interrupted."""

import dataclasses
import json

import pytest

from fairnas.pipeline import Experiment
from fairnas.pipeline.job_run import CURVE_POINTS, one_thread, run_job
from fairnas.pipeline.rank_stage import rank_context
from fairnas.pipeline.training_job import Job
from fairnas.rundir import RunDirectory
from fairnas.train import LoopOptions


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_result_and_curve(trained_run, tmp_path):
    experiment = Experiment(RunDirectory(trained_run))
    epochs = CURVE_POINTS + 1
    shared = rank_context(experiment)
    job = Job((0,) * experiment.space.depth, 0, False)
    results = []
    for name, stops in (("whole", ()), ("cut", (4, 9, 17))):
        train = dataclasses.replace(shared.train, epochs=epochs)
        job_context = dataclasses.replace(shared, train=train, folder=tmp_path / name)
        for after in stops:
            asked = iter(range(after))
            options = LoopOptions(stop=lambda asked=asked: next(asked, None) is None)
            with one_thread(), pytest.raises(KeyboardInterrupt):
                run_job(job_context, job, experiment.space, experiment.dataset, options)
        with one_thread():
            results.append(run_job(job_context, job, experiment.space, experiment.dataset, LoopOptions()))
        assert json.loads(job_context.result_path(job).read_text()) == results[-1].to_dict()
    whole, cut = results
    assert cut == whole
    curve = whole.curve
    assert [row.epoch for row in curve] == list(range(1, epochs + 1))
    assert all(row.loss > 0 for row in curve)
    assert [row.epoch for row in curve if row.validation_top1 is not None] == [*range(2, epochs, 2), epochs]
    assert curve[-1].validation_top1 == whole.validation.top1
