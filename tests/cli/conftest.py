"""Running the command line, in this process or in its own."""

import fcntl
import json
import os
import shutil
from dataclasses import dataclass

import pytest

from fairnas.cli.main import main
from tests.cli.process import SMALLEST, TINY, start


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


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A whole tiny run, done once; tests must not change it.

    The first process of tests does it for all, and each has its own copy, because some commands lock what they read.
    """
    own = tmp_path_factory.mktemp("finished") / "run"
    beside_others = "PYTEST_XDIST_WORKER" in os.environ
    shared = (own.parents[2] if beside_others else own.parent) / "finished_of_all"
    shared.mkdir(exist_ok=True)
    path, said = shared / "run", shared / "said.json"
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(finished(path, TINY)))
    out, err = json.loads(said.read_text().replace(str(path), str(own)))
    return shutil.copytree(path, own), Outcome(0, out, err)


@pytest.fixture(scope="session")
def smallest_run(tmp_path_factory):
    """The directory of a whole run with the smallest settings, done once; tests must not change it.

    Each process of tests does its own: runs are compared with it, and its report names the path it was made at.
    """
    path = tmp_path_factory.mktemp("smallest") / "run"
    finished(path, SMALLEST)
    return path


def finished(path, settings):
    process = start("run", "digits", "--out", path, "--json", *settings)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return out, err
