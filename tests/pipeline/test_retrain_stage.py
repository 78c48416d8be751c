"""Networks retrained by the product recipe, as jobs of a run: resumed, side by side, and apart from the study's."""

import dataclasses
import itertools
import shutil
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairnas.config import RetrainConfig
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.evaluate import NetworkScore
from fairnas.nets import build
from fairnas.pipeline import Experiment, job_run, require_changeable, retrain_stage, run_stage
from fairnas.pipeline.candidate_table import read_candidates
from fairnas.pipeline.job_pool import run_jobs
from fairnas.pipeline.job_run import ProductRun, measured_epochs, one_thread, run_job
from fairnas.pipeline.rank_stage import rank_context
from fairnas.pipeline.retrain_stage import require_retrainable, retrain_context, retraining_length, teacher_of
from fairnas.pipeline.training_job import Job
from fairnas.rundir import RunDirectory
from fairnas.space import format_genome
from fairnas.train import DivergedError, LoopOptions, read_checkpoint, train

EVERYTHING = RetrainConfig(
    recipe="product", epochs=4, lr=0.05, average=0.9, mixup=0.4, cutout=3, distillation=0.5, temperature=2.0,
    initial="inherit", clip_norm=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def searched_run(trained_run, tmp_path_factory):
    path = shutil.copytree(trained_run, tmp_path_factory.mktemp("searched") / "run")
    run = RunDirectory(path)
    with run.locked():
        run_stage(Experiment(run), "search")
    return path


def experiment_with(path, settings=EVERYTHING, **resources) -> Experiment:
    run = RunDirectory(path)
    config = run.config
    new = dataclasses.replace(config, retrain=settings, resources=dataclasses.replace(config.resources, **resources))
    require_changeable(run, new, "retrain")
    run.write_config(dataclasses.replace(new, resources=config.resources))
    return Experiment(run, resources=new.resources)


@pytest.fixture
def experiment(searched_run, tmp_path):
    return experiment_with(shutil.copytree(searched_run, tmp_path / "run"))


def weights_of(job_context, job):
    return read_checkpoint(job_context.weights_path(job), "stand-alone network")["network"]


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def work(job_context, job, experiment, options=None):
    with one_thread():
        return run_job(job_context, job, experiment.space, experiment.dataset, options or LoopOptions())


@pytest.mark.slow
def test_a_training_with_every_trick_resumes_bit_exactly(experiment, monkeypatch):
    job_context = retrain_context(experiment)
    genome = tuple(number % 6 for number in range(experiment.space.depth))
    job = Job(genome, 0, True)
    whole = dataclasses.replace(job_context, folder=experiment.run.path / "whole")
    expected = work(whole, job, experiment)
    for after in (1, 2, 5):
        asked = itertools.count(1)
        with pytest.raises(KeyboardInterrupt):
            work(job_context, job, experiment, LoopOptions(stop=lambda asked=asked, after=after: next(asked) >= after))
        assert read_checkpoint(job_context.checkpoint_path(job), "product training")["step"] > 0
    with monkeypatch.context() as patch:  # stopped with all but the result written
        patch.setattr(job_run, "write_atomically", _full)
        with pytest.raises(RunDirectoryError):
            work(job_context, job, experiment)
    assert job_context.finished(job) is None
    assert work(job_context, job, experiment) == expected == job_context.finished(job)
    assert same(weights_of(job_context, job), weights_of(whole, job))
    assert not job_context.checkpoint_path(job).exists()
    curve = expected.curve
    assert [row.epoch for row in curve] == [1, 2, 3, 4]
    best = max(row.validation_top1 for row in curve)
    assert expected.validation.top1 == best == curve[expected.best_epoch - 1].validation_top1
    assert (expected.recipe, expected.initial) == ("product", "inherit")
    assert expected.teacher == teacher_of(experiment)


def _full(path, content) -> None:
    raise RunDirectoryError(f"cannot write {path}")


@pytest.mark.slow
def test_the_best_weights_are_kept_and_not_the_last(experiment, monkeypatch):
    job_context, job = retrain_context(experiment), Job((0,) * experiment.space.depth, 0, True)
    training_run = ProductRun(job_context, job, experiment.space, experiment.dataset, 0)
    looks = itertools.count(1)
    told = lambda top1: NetworkScore(top1, 1.0, 0.0, 50, top1, 0.0, (50,), (50,))  # noqa: E731
    monkeypatch.setattr(job_run, "score_network", lambda *_: told(1 / next(looks)))
    train(training_run.training, experiment.dataset, job_context.train, 0, LoopOptions(on_epoch=training_run.on_epoch))
    assert next(looks) == 1 + 2 * 4  # average and raw weights after each of 4 epochs, and no look at the test images
    assert training_run.finish()["best_epoch"] == 1
    assert training_run.training.best is not None
    assert training_run.training.average is not None
    assert same(weights_of(job_context, job), training_run.training.best.weights)
    assert not same(weights_of(job_context, job), training_run.training.average.module.state_dict())


@pytest.mark.full
@pytest.mark.slow
def test_two_processes_give_what_one_gives(experiment):
    """They get the images that this process has checked, and open none themselves."""
    gone = dataclasses.replace(experiment.config.data, name="folder:/gone")
    work = [Job((choice,) * experiment.space.depth, 0, True) for choice in (0, 1)]
    experiment = experiment_with(experiment.run.path, dataclasses.replace(EVERYTHING, epochs=1))
    found = {}
    for processes in (1, 2):
        resources = dataclasses.replace(experiment.config.resources, processes=processes)
        job_context = retrain_context(Experiment(experiment.run, resources=resources))
        config = dataclasses.replace(job_context.config, data=gone)
        job_context = dataclasses.replace(job_context, config=config, folder=experiment.run.path / f"by{processes}")
        data = lambda: (experiment.space, experiment.dataset)  # noqa: E731
        results = run_jobs(job_context, work, data, lambda *_: None, lambda: False)
        found[processes] = results, [weights_of(job_context, job) for job in work]
    assert found[1][0] == found[2][0]
    assert all(same(*pair) for pair in zip(found[1][1], found[2][1], strict=True))


@pytest.mark.slow
def test_the_study_keeps_its_own_trainings(experiment):
    product, study = retrain_context(experiment), rank_context(experiment)
    job = Job((0,) * experiment.space.depth, 0, True)
    assert (product.folder.name, study.folder.name) == ("retrained", "stand_alone")
    assert product.identity != study.identity
    alone = work(study, job, experiment)
    assert product.finished(job) is None
    used = work(product, job, experiment)
    assert study.finished(job) == alone
    assert product.finished(job) == used
    assert "recipe" not in alone.to_dict()
    back = experiment_with(experiment.run.path, RetrainConfig())
    assert retrain_context(back) == rank_context(back)
    assert retrain_context(back).finished(job) == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"epochs": 5}, {"lr": 0.01}, {"dropout": 0.0}, {"initial": "scratch"}, {"validations": 2}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_setting_is_another_training(experiment, changes):
    before = retrain_context(experiment).identity
    assert retrain_context(experiment_with(experiment.run.path)).identity == before
    changed = dataclasses.replace(EVERYTHING, **changes)
    assert retrain_context(experiment_with(experiment.run.path, changed)).identity != before


@pytest.mark.slow
def test_inherited_weights_are_where_training_begins(experiment):
    genome = (2,) * experiment.space.depth
    for initial in ("inherit", "scratch"):
        other = experiment_with(experiment.run.path, dataclasses.replace(EVERYTHING, initial=initial))
        begun = ProductRun(retrain_context(other), Job(genome, 0, False), other.space, other.dataset, 0).training
        path = build(other.space, genome, inherit=other.supernet)
        assert same(begun.network.state_dict(), path.state_dict()) == (initial == "inherit")


def test_the_teacher_is_the_best_that_was_scored(experiment):
    table = read_candidates(experiment.run).columns
    top1 = dict(zip(table["genome"], table["top1"], strict=True))
    assert len(set(top1.values())) > 1
    teacher = format_genome(teacher_of(experiment))
    assert teacher == min(genome for genome, value in top1.items() if value == max(top1.values()))


@pytest.mark.slow
def test_a_diverged_training_is_recorded(experiment, monkeypatch):
    def diverge(*_):
        raise DivergedError("the loss is nan")

    monkeypatch.setattr(job_run, "train", diverge)
    job_context, job = retrain_context(experiment), Job((0,) * experiment.space.depth, 0, True)
    result = work(job_context, job, experiment)
    assert (result.status, result.reason) == ("diverged", "the loss is nan")
    assert job_context.finished(job) == result


@pytest.mark.slow
def test_a_changed_supernet_is_another_teacher(experiment, other_weights):
    before = retrain_context(experiment).identity
    shutil.copy(other_weights, experiment.run.path / "supernet" / "checkpoint.pt")
    assert retrain_context(experiment_with(experiment.run.path)).identity != before


def test_how_long_a_retraining_is(experiment):
    length = retraining_length(experiment.config, experiment.dataset)
    assert dataclasses.astuple(length) == (4, 40, 12, 4)
    alone = dataclasses.replace(experiment.config, retrain=RetrainConfig())
    assert dataclasses.astuple(retraining_length(alone, experiment.dataset)) == (2, 40, 6, 2)
    huge = RetrainConfig(recipe="product", epochs=30, batch_size=4096, validations=7)
    huge = dataclasses.replace(experiment.config, retrain=huge)
    assert dataclasses.astuple(retraining_length(huge, experiment.dataset)) == (30, 120, 30, 7)


def test_cutout_as_large_as_the_images_is_refused(experiment):
    blank = dataclasses.replace(experiment.config, retrain=dataclasses.replace(EVERYTHING, cutout=8))
    with pytest.raises(ConfigError, match=r"^retrain.cutout is 8 pixels, which blanks images of 8; give less"):
        require_retrainable(blank, experiment.space, experiment.dataset)


def test_weights_that_blocks_do_not_hold_are_not_inherited(experiment, monkeypatch):
    require_retrainable(experiment.config, experiment.space, experiment.dataset)
    own = SimpleNamespace(has_own_networks=True)
    monkeypatch.setattr(retrain_stage, "strategy_facts", lambda *_: own)
    with pytest.raises(ConfigError, match=r"^retrain.initial is 'inherit', but 'strict' makes weights .* 'scratch'$"):
        require_retrainable(experiment.config, experiment.space, experiment.dataset)


@given(st.integers(1, 400), st.none() | st.integers(1, 500))
def test_measured_epochs_are_even_and_end_with_the_last(epochs, wanted):
    measured = sorted(measured_epochs(epochs, wanted))
    assert len(measured) == min(epochs, wanted or epochs)
    assert measured[-1] == epochs
    gaps = [after - before for before, after in itertools.pairwise([0, *measured])]
    assert max(gaps) - min(gaps) <= 1
