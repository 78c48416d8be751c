"""Running the command line, in this process or in its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from fairnas.cli.main import main

TINY = [
    "--data.train-per-class", "12", "--data.validation-per-class", "5",
    "--train.epochs", "2", "--train.batch-size", "40", "--search.population", "8", "--search.generations", "3",
    "--search.select", "2", "--stand-alone.models", "4", "--stand-alone.seeds", "2", "--stand-alone.epochs", "1",
    "--resources.processes", "2", "--resources.checkpoint-steps", "1",
]  # fmt: skip
"""Flags that make `fairnas run digits` as short as it can be."""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture
def fairnas(capsys):
    """Run one command in this process."""

    def run(*arguments) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def start(*arguments) -> subprocess.Popen:
    """Start one command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fairnas", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A whole tiny run, done once; tests must not change it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    process = start("run", "digits", "--out", path, "--json", *TINY)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return path, Outcome(process.returncode, out, err)
