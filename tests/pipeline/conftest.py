"""A tiny trained run, for tests of what comes after training, and a cluster of workers."""

import dataclasses
import json
import subprocess
import sys
import time

import pytest

from fairnas.config import DataConfig, RunConfig, SearchConfig, TrainConfig
from fairnas.pipeline import Experiment, run_stage
from fairnas.rundir import RunDirectory


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
    run = RunDirectory.create(tmp_path_factory.mktemp("trained") / "run", config)
    with run.locked():
        run_stage(Experiment(run), "train")
    return run.path


@pytest.fixture(scope="session")
def other_weights(trained_run, tmp_path_factory):
    """The checkpoint of the same supernet trained with another seed."""
    config = dataclasses.replace(RunDirectory.open(trained_run).config, seed=1)
    run = RunDirectory.create(tmp_path_factory.mktemp("other") / "run", config)
    with run.locked():
        run_stage(Experiment(run), "train")
    return run.path / "supernet" / "checkpoint.pt"


class Dask:
    """A scheduler on loopback and two workers, which run some code first; in it, {began!r} is the path of a file.

    There they may note their numbers when they begin a piece of work.
    """

    def __init__(self, folder, preload):
        self.folder, self.processes = folder, []
        self.began = folder / "began"
        self.began.touch()
        (folder / "preload.py").write_text(preload.format(began=str(self.began)))
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                    "--scheduler-file", folder / "scheduler.json")  # fmt: skip
        self.address = json.loads(self.eventually(folder / "scheduler.json"))["address"]
        self.workers = [self.worker(), self.worker()]

    def worker(self):
        return self.start("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                          "--preload", self.folder / "preload.py", "--local-directory", self.folder)  # fmt: skip

    def start(self, what, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def eventually(self, file, seconds=150):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if file.exists() and (text := file.read_text()):
                return text
            time.sleep(0.05)
        raise TimeoutError(file)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def start_dask(tmp_path):
    """Start a `Dask` whose workers run some code first."""
    started = []

    def start(preload):
        folder = tmp_path / "dask"
        folder.mkdir()
        started.append(Dask(folder, preload))
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()
