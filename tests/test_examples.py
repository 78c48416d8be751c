"""The examples run as they stand; those that a flag takes are taken."""

import runpy
from pathlib import Path

import pytest

from fairnas.cli.main import main

EXAMPLES = Path(__file__).parents[1] / "examples"
FOR_FLAGS = {"own_space", "own_strategy", "own_objective"}
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in FOR_FLAGS)
LONG = {"export_and_classify", "train_and_score"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full if name in LONG else ()) for name in SCRIPTS]
)
def test_an_example_runs_and_prints_what_it_found(name, capsys):
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out


def test_the_page_of_examples_lists_all_of_them():
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f"examples/{path.name}" in listed, path.name
    assert len(list(EXAMPLES.glob("*.py"))) >= 6


@pytest.mark.full
@pytest.mark.slow
def test_space_strategy_and_objective_of_ones_own_make_a_run(tmp_path, capsys):
    own = {name: str(EXAMPLES / f"{name}.py") for name in FOR_FLAGS}
    arguments = ["run", "digits", "--out", str(tmp_path / "run"), "--json"]
    arguments += ["--space", f"{own['own_space']}:space", "--train.strategy", f"{own['own_strategy']}:entry"]
    arguments += ["--objective", f"{own['own_objective']}:weight_bytes"]
    arguments += ["--data.train-per-class", "12", "--train.epochs", "1", "--search.population", "6"]
    arguments += ["--search.generations", "1", "--search.select", "1", "--stand-alone.models", "3"]
    arguments += ["--stand-alone.seeds", "1", "--stand-alone.epochs", "1"]
    assert main(arguments) == 0
    assert '"weight_bytes"' in capsys.readouterr().out
