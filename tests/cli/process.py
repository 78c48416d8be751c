"""The command line in a process of its own, with the shortest settings that still do everything."""

import os
import subprocess
import sys

from tests import forked
from tests.forked import Process

TINY = [
    "--data.train-per-class", "12", "--data.validation-per-class", "5",
    "--train.epochs", "2", "--train.batch-size", "40", "--search.population", "8", "--search.generations", "3",
    "--search.select", "2", "--stand-alone.models", "4", "--stand-alone.seeds", "2", "--stand-alone.epochs", "1",
    "--resources.processes", "2", "--resources.checkpoint-steps", "1",
]  # fmt: skip
"""Flags that make `fairnas run digits` as short as it can be."""

SMALLEST = [
    "--data.train-per-class", "8", "--data.validation-per-class", "2",
    "--train.epochs", "2", "--train.batch-size", "40", "--search.population", "6", "--search.generations", "3",
    "--search.select", "1", "--stand-alone.models", "3", "--stand-alone.seeds", "2", "--stand-alone.epochs", "1",
    "--resources.processes", "1", "--resources.checkpoint-steps", "1",
]  # fmt: skip
"""The same, with less of everything, for tests of how a run ends; nothing is learned. All in one process."""


def start(*arguments) -> Process:
    """Start one command in a process of its own, forked from one that has torch imported already."""
    return forked.start("-m", "fairnas", *arguments)


def start_anew(*arguments) -> subprocess.Popen:
    """Start one command as a shell does; some tests do, to show that it is the same."""
    return subprocess.Popen(
        [sys.executable, "-m", "fairnas", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
