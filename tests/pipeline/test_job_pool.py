"""Trainings side by side: one that fails ends all at once, and does not wait for the others."""

import contextlib
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from fairnas.config import DataConfig
from fairnas.data import load_dataset
from fairnas.errors import LostTrainingError, RunDirectoryError
from fairnas.pipeline import job_pool
from fairnas.pipeline.rank_stage import _stratified
from fairnas.pipeline.training_job import Job


def test_a_training_that_fails_ends_the_others_at_their_next_step(monkeypatch):
    stopping, done = threading.Event(), []

    @contextlib.contextmanager
    def workers(job_context, processes, space, dataset):
        with ThreadPoolExecutor(processes) as pool:
            yield pool, job_pool.Orders(stopping, job_pool.Steps([0, 0]))

    def work(job):
        if job.seed == 0:
            raise RunDirectoryError("its checkpoint is damaged")
        for _ in range(500):
            if stopping.is_set():
                raise RunDirectoryError("stopped")
            time.sleep(0.02)
        done.append(job)

    monkeypatch.setattr(job_pool, "workers", workers)
    monkeypatch.setattr(job_pool, "_work", work)
    jobs_given = [Job((0,), seed, False) for seed in range(9)]
    with pytest.raises(RunDirectoryError, match="its checkpoint is damaged"):
        list(job_pool._in_processes(2, None, jobs_given, lambda: False, None, None, lambda *_: None))
    assert done == []


def test_no_candidates_are_enough_where_none_is_asked_for():
    assert _stratified([], 0, "top1") == []


def test_a_process_that_is_killed_is_said_in_one_line(monkeypatch):
    dataset = load_dataset(DataConfig("digits"), image_size=8, image_channels=1, seed=0)
    monkeypatch.setattr(job_pool, "from_one_that_has_imported", lambda name: multiprocessing.get_context("spawn"))
    monkeypatch.setattr(job_pool, "ProcessPoolExecutor", lambda processes, *_: ThreadPoolExecutor(processes))

    def work(job):
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(job_pool, "_work", work)
    with pytest.raises(
        LostTrainingError, match=r"^one of 2 processes that train networks was killed, usually for want"
    ):
        list(job_pool._in_processes(2, None, [Job((0,), 0, False)], lambda: False, None, dataset, lambda *_: None))
