"""Trainings side by side: one that fails ends all at once, and does not wait for the others."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fairnas.errors import RunDirectoryError
from fairnas.pipeline import jobs
from fairnas.pipeline.truth import _stratified
from fairnas.pipeline.workshop import Job


def test_a_training_that_fails_ends_the_others_at_their_next_step(monkeypatch):
    stopping, done = threading.Event(), []

    @contextlib.contextmanager
    def workers(workshop, processes):
        with ThreadPoolExecutor(processes) as pool:
            yield pool, stopping

    def work(job):
        if job.seed == 0:
            raise RunDirectoryError("its checkpoint is damaged")
        for _ in range(500):
            if stopping.is_set():
                raise RunDirectoryError("stopped")
            time.sleep(0.02)
        done.append(job)

    monkeypatch.setattr(jobs, "workers", workers)
    monkeypatch.setattr(jobs, "_work", work)
    with pytest.raises(RunDirectoryError, match="its checkpoint is damaged"):
        list(jobs._in_processes(None, [Job((0,), seed, False) for seed in range(9)], 2, lambda: False))
    assert done == []


def test_no_candidates_are_enough_where_none_is_asked_for():
    assert _stratified([], 0) == []
