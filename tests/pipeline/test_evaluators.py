"""Scoring on workers: any executor, a real Dask cluster, workers that die, refuse or cannot be found."""

import dataclasses
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from fairnas.config import EvaluateConfig, Resources
from fairnas.errors import ConfigError, LostWorkersError
from fairnas.pipeline import Experiment, evaluators, workers
from fairnas.pipeline.evaluators import Assignment, RemoteEvaluator, evaluator_of, score_piece
from fairnas.pipeline.scoring import evaluation_setting, score_on_validation
from fairnas.pipeline.search_stage import search
from fairnas.progress import SilentNarrator
from fairnas.rundir import RunDirectory


class Listening(SilentNarrator):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def run(trained_run, tmp_path):
    shutil.copytree(trained_run, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


@pytest.fixture(autouse=True)
def forgetful_worker():
    """Forget what this process opened as a worker, which must not help the next test."""
    evaluators._opened.clear()
    yield
    evaluators._opened.clear()


def some_genomes(experiment, count=12):
    import numpy as np

    rng = np.random.default_rng(3)
    return [experiment.space.sample(rng) for _ in range(count)]


# Any executor -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.cover("slots", "bn", together=1)
@pytest.mark.parametrize("slots", [1, 2, 7])
@pytest.mark.parametrize("bn", ["running", "batch", "recalibrated"])
def test_scores_do_not_depend_on_who_computes_them(run, slots, bn):
    config = dataclasses.replace(run.config, evaluate=dataclasses.replace(run.config.evaluate, bn=bn))
    run.write_config(config)
    experiment = Experiment(run)
    genomes = some_genomes(experiment)
    genomes += genomes[:2]  # twice
    with ThreadPoolExecutor(3) as executor:
        found = RemoteEvaluator(experiment, executor, lambda: slots)(genomes)
    assert found == score_on_validation(experiment, genomes)


@pytest.mark.full
@pytest.mark.slow
def test_processes_of_the_standard_library_do(run):
    experiment = Experiment(run)
    genomes = some_genomes(experiment, 4)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        found = RemoteEvaluator(experiment, executor, lambda: 1)(genomes)
    assert found == score_on_validation(experiment, genomes)


@pytest.mark.slow
def test_a_worker_opens_the_run_once(run, monkeypatch):
    experiment = Experiment(run)
    opened = []
    real = RunDirectory.open
    monkeypatch.setattr(RunDirectory, "open", lambda path: opened.append(path) or real(path))
    with ThreadPoolExecutor(2) as executor:
        evaluate = RemoteEvaluator(experiment, executor, lambda: 3)
        evaluate(some_genomes(experiment))
        evaluate(some_genomes(experiment))
    assert opened == [run.path]


@pytest.mark.slow
def test_workers_score_by_settings_that_the_run_does_not_have_yet(run):
    config = dataclasses.replace(run.config, evaluate=EvaluateConfig(bn="batch"))
    experiment = Experiment(run, config=config)
    assert run.config.evaluate != config.evaluate
    with ThreadPoolExecutor(1) as executor:
        found = RemoteEvaluator(experiment, executor, lambda: 1)(some_genomes(experiment))
    assert found == score_on_validation(experiment, some_genomes(experiment))


@pytest.mark.slow
def test_a_worker_with_other_weights_is_refused(run, other_weights):
    experiment = Experiment(run)
    assert evaluation_setting(experiment)  # the weights are loaded here ...
    shutil.copy(other_weights, run.path / "supernet" / "checkpoint.pt")  # ... and others lie on the worker's disk
    with ThreadPoolExecutor(1) as executor:
        evaluate = RemoteEvaluator(experiment, executor, lambda: 1)
        with pytest.raises(
            ConfigError, match=r"^worker \S+:\d+ refuses: .*weights \w{16}.*copy the run directory"
        ) as e:
            evaluate(some_genomes(experiment))
    assert "\n" not in str(e.value)


def test_a_worker_that_sees_no_run_directory_says_so(run, tmp_path):
    answer = score_piece(Assignment(str(tmp_path / "absent"), "s", evaluators.__version__, EvaluateConfig()), ("0",))
    assert "it sees no" in answer.refusal
    assert "same path" in answer.refusal


def test_a_worker_with_another_fairnas_says_so(run):
    answer = score_piece(Assignment(str(run.path), "s", "0.0.0", EvaluateConfig()), ("0",))
    assert answer.refusal == f"it has fairnas {evaluators.__version__}; install 0.0.0 there, as the search has"


@pytest.mark.slow
def test_a_pool_that_breaks_is_lost_workers(run):
    experiment = Experiment(run)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        executor.submit(os.getpid).result()
        evaluate = RemoteEvaluator(experiment, executor, lambda: 1)
        for process in executor._processes.values():
            process.kill()
        with pytest.raises(LostWorkersError, match="run the same command again to go on"):
            evaluate(some_genomes(experiment))


class Silent(ThreadPoolExecutor):
    """An executor whose work never begins, as that of a scheduler without workers."""

    def submit(self, *_, **__):
        return Future()


@pytest.mark.slow
def test_waiting_can_be_interrupted_and_is_told(run, monkeypatch):
    monkeypatch.setattr(workers, "_CENSUS_SECONDS", 0.1)
    narrator, end = Listening(), time.monotonic() + 20
    experiment = Experiment(run, narrator, lambda: bool(narrator.said) or time.monotonic() > end)
    with pytest.raises(KeyboardInterrupt):
        RemoteEvaluator(experiment, Silent(1), lambda: 0)(some_genomes(experiment))
    assert narrator.said == ["all workers are gone; waiting for others"]


# A scheduler --------------------------------------------------------------------------------------------------

SLOW = r"""
import os, pathlib, time
from fairnas.pipeline import evaluators as remote
plain = getattr(remote, 'plain', remote.score_on_validation)  # Dask runs this more than once
remote.plain = plain
def slow(*args):
    with open({began!r}, "a") as file:
        file.write(f"{{os.getpid()}}\n")
    time.sleep(0.3)
    return plain(*args)
remote.score_on_validation = slow
"""


@pytest.fixture
def dask(start_dask):
    return start_dask(SLOW)


def with_scheduler(run, address, narrator=None):
    return Experiment(run, narrator, resources=dataclasses.replace(run.config.resources, scheduler=address))


def found_by(run):
    return (run.path / "search.json").read_text()


@pytest.fixture(scope="module")
def undisturbed(trained_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(trained_run, path)
    run = RunDirectory.open(path)
    search(Experiment(run))
    return found_by(run)


@pytest.mark.full
@pytest.mark.slow
def test_a_cluster_that_falls_apart_costs_nothing(run, dask, undisturbed):
    """One worker dies in mid-generation, then the other, then the scheduler."""
    narrator = Listening()

    def kill_the_first():
        os.kill(int(dask.eventually(dask.began).split()[0]), signal.SIGKILL)

    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_the_first)
        search(with_scheduler(run, dask.address, narrator))
        killing.result()
    assert found_by(run) == undisturbed
    assert any(text.endswith(f"workers of {dask.address} score genomes") for text in narrator.said)
    assert len(set(dask.began.read_text().split())) == 2  # the first had begun, and the other did its work
    assert sorted(worker.poll() is None for worker in dask.workers) == [False, True]

    for worker in dask.workers:
        worker.kill()
        worker.wait()
    narrator, begun = Listening(), time.monotonic()
    waiting = with_scheduler(run, dask.address, narrator)
    waiting.stop = lambda: time.monotonic() > begun + 3
    (run.path / "archive.sqlite").unlink()
    with pytest.raises(KeyboardInterrupt):
        search(waiting)
    assert narrator.said[-1] in (
        "the scheduler has no workers yet; waiting for the first",
        "all workers are gone; waiting for others",  # where the scheduler has not noticed at once
    )

    dask.worker()
    dask.began.unlink()

    def kill_the_scheduler():
        dask.eventually(dask.began)
        dask.scheduler.kill()

    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_the_scheduler)
        with pytest.raises(LostWorkersError, match="the workers are lost") as error:
            search(with_scheduler(run, dask.address))
        killing.result()
    assert "\n" not in str(error.value)
    search(Experiment(run))
    assert found_by(run) == undisturbed


@pytest.mark.slow
@pytest.mark.full  # six processes import torch
def test_processes_of_this_machine_score_as_this_one_does(run, undisturbed):
    narrator = Listening()
    search(Experiment(run, narrator, resources=Resources(workers=2)))
    assert found_by(run) == undisturbed
    assert narrator.said[0] == "2 workers on this machine score genomes"


@pytest.mark.slow
@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:{free}", "127.0.0.1", "nonsense://here", "tcp://127.0.0.1:{http}"]
)
def test_a_scheduler_that_cannot_be_reached_is_one_line_within_ten_seconds(run, address):
    with socket.socket() as deaf, socket.socket() as talker:
        deaf.bind(("127.0.0.1", 0))
        talker.bind(("127.0.0.1", 0))
        talker.listen()

        def talk():
            connection, _ = talker.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 4)
            connection.close()

        if "{http}" in address:  # else it would wait at a socket that is closed, whose number others get
            threading.Thread(target=talk, daemon=True).start()
        given = address.format(free=deaf.getsockname()[1], http=talker.getsockname()[1])
        begun = time.monotonic()
        with pytest.raises(ConfigError) as error, evaluator_of(with_scheduler(run, given)):
            pass
    assert time.monotonic() - begun < 10
    assert str(error.value).startswith(f"no Dask scheduler answers at {given} (")
    assert str(error.value).endswith("start one with `dask scheduler` and give the address that it prints")
    assert "\n" not in str(error.value)


def test_workers_and_a_scheduler_exclude_each_other():
    with pytest.raises(ConfigError, match=r"resources.workers is 2 and resources.scheduler 'tcp://h:1'; give one"):
        Resources(workers=2, scheduler="tcp://h:1")
