"""Running the command line, in this process or in its own."""

import json
from dataclasses import dataclass

import pytest

from fairnas.cli.main import main
from tests.artifacts import made_once
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
    """A whole tiny run and what it printed; tests must not change it."""

    def make(folder):
        (folder / "said.json").write_text(json.dumps([str(folder), *finished(folder / "run", TINY)]))

    folder = made_once("finished", make, tmp_path_factory)
    made_in, *said = json.loads((folder / "said.json").read_text())
    return folder / "run", Outcome(0, *(text.replace(made_in, str(folder)) for text in said))


@pytest.fixture(scope="session")
def smallest_run(tmp_path_factory):
    """The directory of a whole run with the smallest settings; tests must not change it."""
    return made_once("smallest", lambda folder: finished(folder / "run", SMALLEST), tmp_path_factory) / "run"


def finished(path, settings):
    return done(start("run", "digits", "--out", path, "--json", *settings))


def done(process):
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return out, err
