"""Running the command line, in this process or in its own."""

import json
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
    """A whole tiny run, done once; tests must not change it."""
    return finished(tmp_path_factory.mktemp("finished") / "run", TINY)


@pytest.fixture(scope="session")
def smallest_run(tmp_path_factory):
    """The directory of a whole run with the smallest settings, done once; tests must not change it."""
    return finished(tmp_path_factory.mktemp("smallest") / "run", SMALLEST)[0]


def finished(path, settings):
    process = start("run", "digits", "--out", path, "--json", *settings)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return path, Outcome(process.returncode, out, err)
