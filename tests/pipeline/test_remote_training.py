"""Trainings on workers: the same bytes in the run directory as without; workers that die, refuse or leave."""

import contextlib
import dataclasses
import functools
import itertools
import os
import pickle
import shutil
import signal
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest

from fairnas import __version__
from fairnas.config import Resources, RetrainConfig
from fairnas.data.images import StreamedImages
from fairnas.data.sending import sendable
from fairnas.errors import ConfigError, LostWorkersError
from fairnas.pipeline import Experiment, Workers, remote_training
from fairnas.pipeline.job_pool import run_jobs, trainers_of
from fairnas.pipeline.rank_stage import rank_context
from fairnas.pipeline.remote_training import TrainingPart, TrainingReport, train_part
from fairnas.pipeline.retrain_stage import retrain_context
from fairnas.pipeline.training_job import Job, ProductWork
from fairnas.pipeline.workers import workers_of
from fairnas.rundir import RunDirectory

NEVER, SILENT = lambda: False, lambda *_: None
PRODUCT = RetrainConfig(
    recipe="product", epochs=2, lr=0.05, average=0.9, mixup=0.4, distillation=0.5, initial="inherit", clip_norm=1.0
)


@pytest.fixture
def experiment(trained_run, tmp_path):
    """A trained run that saves after every step."""
    run = RunDirectory.open(shutil.copytree(trained_run, tmp_path / "run"))
    return Experiment(run, resources=dataclasses.replace(run.config.resources, checkpoint_steps=1))


@pytest.fixture(scope="module")
def expected_of(trained_run, tmp_path_factory):
    """What trainings without workers and without a stop leave, by kind."""
    run = RunDirectory.open(shutil.copytree(trained_run, tmp_path_factory.mktemp("undisturbed") / "run"))

    @functools.cache
    def of(kind):
        found = trained_by(Experiment(run), kind, processes=1)
        shutil.rmtree(CONTEXTS[kind][0](Experiment(run)).folder)
        return found

    return of


@pytest.fixture
def expected(expected_of):
    return expected_of("retrain")


def product_context(experiment):
    """Trainings that need the supernet, as what they begin with and as what they learn from."""
    config = dataclasses.replace(experiment.config, retrain=dataclasses.replace(PRODUCT, distillation=0.0))
    job_context = retrain_context(Experiment(experiment.run, config=config))
    teacher = ProductWork((1,) * experiment.space.depth)
    return dataclasses.replace(
        job_context, config=dataclasses.replace(config, retrain=PRODUCT), product=teacher, device="cpu"
    )


CONTEXTS = {"rank": (rank_context, False), "retrain": (rank_context, True), "product": (product_context, True)}


def jobs_of(experiment, keep):
    return [Job((choice,) * experiment.space.depth, 0, keep) for choice in (0, 2)]


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def trained_by(experiment, kind, trainers=None, stop=NEVER, on_steps=SILENT, **resources):
    """Train two networks; return what lies in their folder then."""
    make, keep = CONTEXTS[kind]
    job_context = make(experiment)
    config = job_context.config
    config = dataclasses.replace(config, resources=dataclasses.replace(config.resources, **resources))
    job_context = dataclasses.replace(job_context, config=config)
    data = lambda: (experiment.space, experiment.dataset)  # noqa: E731
    run_jobs(job_context, jobs_of(experiment, keep), data, SILENT, stop, SILENT, on_steps, trainers)
    return files_in(job_context.folder)


@contextlib.contextmanager
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield Workers(executor, lambda: 2)


@contextlib.contextmanager
def standard_processes():
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        yield Workers(executor, lambda: 1)


def dask_processes():
    return workers_of(Resources(workers=2), "train networks", SILENT, NEVER)


TRAINERS = {
    "processes of ours": None,
    "threads": threads,
    "standard processes": standard_processes,
    "dask": dask_processes,
}
"""Who can train networks. A new way has to give what all give; add it here."""


def cases():
    for name, trainers in TRAINERS.items():
        for kind in CONTEXTS:
            is_cheap = name == "threads"
            marks = [pytest.mark.slow] if is_cheap else [pytest.mark.slow, pytest.mark.full]
            yield pytest.param(trainers, kind, id=f"{name}, {kind}", marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize(("trainers", "kind"), [*cases()])
def test_whoever_trains_the_same_bytes_are_left(experiment, expected_of, trainers, kind):
    assert trained_by(experiment, kind, trainers and trainers(), processes=2) == expected_of(kind)


# Where nothing is shared --------------------------------------------------------------------------------------


def part_of(experiment, kind="rank", files=None, **changes):
    make, keep = CONTEXTS[kind]
    job_context = dataclasses.replace(make(experiment), folder=experiment.run.path.parent / "elsewhere" / "trained")
    job = jobs_of(experiment, keep)[0]
    part = TrainingPart(job_context, job, experiment.space, experiment.dataset.fingerprint, __version__, files or {})
    return dataclasses.replace(part, **changes)


@pytest.mark.slow
def test_a_worker_needs_neither_the_run_nor_its_images(experiment):
    images, supernet = sendable(experiment.dataset), (experiment.run.path / "supernet" / "checkpoint.pt").read_bytes()
    images = pickle.loads(pickle.dumps(images))
    part = part_of(experiment, "product")
    gone = dataclasses.replace(part.job_context.config.data, name="folder:/gone")
    config = dataclasses.replace(part.job_context.config, data=gone)
    part = dataclasses.replace(part, job_context=dataclasses.replace(part.job_context, config=config))
    report, parts = train_part(part, images, supernet), 1
    while not report.finished:
        assert (report.refusal, report.first, report.taken) == ("", parts - 1, 1)
        report, parts = train_part(dataclasses.replace(part, files=report.files), images, supernet), parts + 1
    assert parts == 6
    name = part.job.name
    assert set(report.files) == {f"{name}.json", f"{name}-weights.pt", f"{name}-weights.pt.sha256"}
    assert not part.job_context.folder.exists()


def test_many_images_are_read_from_files_once(experiment, monkeypatch):
    monkeypatch.setattr("fairnas.data.sending.SENT_BYTES", 0)
    assert sendable(experiment.dataset) is None
    real, reads = remote_training.load_dataset, []
    monkeypatch.setattr(remote_training, "load_dataset", lambda *args, **kw: reads.append(args) or real(*args, **kw))
    first = train_part(part_of(experiment), None, None)
    assert (first.taken, first.refusal) == (1, "")
    second = train_part(part_of(experiment, files=first.files), None, None)
    assert (second.first, second.taken) == (1, 1)
    assert len(reads) == 1


def test_streamed_images_do_not_travel(experiment):
    streamed = StreamedImages(experiment.dataset.train, experiment.dataset.decoding, experiment.dataset.train.labels)
    assert sendable(dataclasses.replace(experiment.dataset, test=streamed)) is None


def test_what_a_worker_cannot_do_is_one_line_with_the_run_in_it(experiment):
    refused = lambda part: train_part(part, None, None).refusal  # noqa: E731
    assert refused(part_of(experiment, version="0.0.0")).startswith(f"it has fairnas {__version__}; install 0.0.0 ther")
    assert refused(part_of(experiment, fingerprint="other")) == (
        "the images of digits there are not those of the run; copy them again"
    )
    name = part_of(experiment).job.name
    damaged = refused(part_of(experiment, files={f"{name}.pt": b"damaged"}))
    assert f"elsewhere/trained/{name}.pt" in damaged
    assert "\n" not in damaged


@pytest.mark.slow
def test_a_refusal_ends_all_and_leaves_the_checkpoints(experiment, monkeypatch):
    def refuse(part, images, supernet):
        return TrainingReport("there:1", refusal="it is full") if part.files else train_part(part, images, supernet)

    monkeypatch.setattr(remote_training, "train_part", refuse)
    with pytest.raises(ConfigError, match=r"^worker there:1 refuses: it is full$"):
        trained_by(experiment, "rank", threads())
    assert list(rank_context(experiment).folder.glob("*.pt"))


# Ends in the middle -------------------------------------------------------------------------------------------


class Losing(ThreadPoolExecutor):
    """Its workers are lost after some parts."""

    def __init__(self, after):
        super().__init__(1)
        self.left = after

    def submit(self, *given, **more):
        self.left -= 1
        if self.left >= 0:
            return super().submit(*given, **more)
        future = Future()
        future.set_exception(BrokenProcessPool("gone"))
        return future


@pytest.mark.slow
def test_what_was_trained_before_all_workers_were_lost_is_kept(experiment, expected):
    with Losing(5) as executor, pytest.raises(LostWorkersError) as error:
        trained_by(experiment, "retrain", contextlib.nullcontext(Workers(executor, lambda: 1)))
    assert str(error.value) == (
        "the workers are lost (gone); what was saved of each training is kept, run the same command again to go on"
    )
    steps = []
    again = trained_by(experiment, "retrain", on_steps=lambda *numbers: steps.append(numbers), processes=1)
    assert again == expected
    assert steps[-1] == (12 - 5, 5)


@pytest.mark.slow
def test_stopped_trainings_go_on_with_workers_or_without(experiment, expected):
    asked = itertools.count()
    with pytest.raises(KeyboardInterrupt):
        trained_by(experiment, "retrain", processes=1, stop=lambda: next(asked) > 6)
    asked, steps = itertools.count(), []
    with pytest.raises(KeyboardInterrupt):
        trained_by(experiment, "retrain", threads(), stop=lambda: len(steps) > 1, on_steps=lambda *n: steps.append(n))
    assert trained_by(experiment, "retrain", processes=1) == expected


@pytest.mark.slow
def test_weights_that_were_kept_stay_when_the_study_trains_their_network_again(experiment, expected):
    first = jobs_of(experiment, True)[0]
    trained_by(experiment, "retrain", processes=1)
    rank_context(experiment).result_path(first).write_bytes(b"damaged")
    assert trained_by(experiment, "rank", threads()) == expected


@pytest.mark.slow
def test_no_more_are_trained_at_a_time_than_there_are_slots(experiment):
    """Where many are begun, none is done when the time is over."""
    order = []

    class Noting(ThreadPoolExecutor):
        def submit(self, *given, **more):
            order.append(given[1].job)
            return super().submit(*given, **more)

    with Noting(1) as executor:
        trained_by(experiment, "rank", contextlib.nullcontext(Workers(executor, lambda: 1)))
    first, second = jobs_of(experiment, False)
    assert order == [first] * 6 + [second] * 6


@pytest.mark.slow
def test_nobody_is_asked_if_all_is_trained(experiment):
    trained_by(experiment, "rank", processes=1)

    @contextlib.contextmanager
    def unwanted():
        pytest.fail("workers were asked")
        yield

    trained_by(experiment, "rank", unwanted())


def test_the_scheduler_trains_and_processes_of_this_machine_do_not_become_dask_s(monkeypatch):
    seen = []
    monkeypatch.setattr("fairnas.pipeline.job_pool.workers_of", lambda *given: seen.append(given[:2]))
    trainers_of(Resources(workers=2, processes=3), SILENT, NEVER)
    trainers_of(Resources(scheduler="tcp://h:1"), SILENT, NEVER)
    assert seen == [
        (Resources(processes=3), "train networks"),
        (Resources(scheduler="tcp://h:1"), "train networks"),
    ]


# A cluster ----------------------------------------------------------------------------------------------------

SLOW = r"""
import os, time
from fairnas.pipeline import remote_training as remote
plain = getattr(remote, 'plain', remote._train)  # Dask runs this more than once
remote.plain = plain
def slow(*args):
    with open({began!r}, "a") as file:
        file.write(f"{{os.getpid()}}\n")
    time.sleep(0.3)
    return plain(*args)
remote._train = slow
"""


@pytest.mark.slow
@pytest.mark.full
def test_a_cluster_that_falls_apart_costs_nothing(experiment, expected, start_dask):
    """One worker dies in the middle of a part, then the scheduler does; without them this process goes on."""
    dask, steps = start_dask(SLOW), []
    there = lambda: trainers_of(Resources(scheduler=dask.address), SILENT, NEVER)  # noqa: E731

    def kill_the_first():
        os.kill(int(dask.eventually(dask.began).split()[0]), signal.SIGKILL)

    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_the_first)
        found = trained_by(experiment, "retrain", there(), on_steps=lambda *numbers: steps.append(numbers))
        killing.result()
    assert found == expected
    assert steps[-1] == (12, 0)  # what was done twice is counted once
    assert len(set(dask.began.read_text().split())) == 2  # the other did its work, too
    assert sorted(worker.poll() is None for worker in dask.workers) == [False, True]

    shutil.rmtree(rank_context(experiment).folder)
    with pytest.raises(LostWorkersError, match="what was saved of each training is kept"):
        trained_by(experiment, "retrain", there(), on_steps=lambda *_: dask.scheduler.kill())
    assert list(rank_context(experiment).folder.glob("*.pt"))
    assert trained_by(experiment, "retrain", processes=1) == expected
