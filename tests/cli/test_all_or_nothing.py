"""A command that changes a run changes all or nothing: one that fails leaves settings and results as they were."""

import shutil
from pathlib import Path

import pytest

from fairnas.errors import DataError
from fairnas.rundir import RunDirectory

FAULTY = """
from fairnas.search import Objective

def broken(space, genome):
    raise OSError("no power meter")

def picky(space, genome):
    if sum(genome) % 2:
        raise ValueError("an odd network")
    return float(sum(genome))

power = Objective("watts", "min", "mW", function=broken)
picky = Objective("picky", "min", "points", function=picky)
"""
GONE = "the images are gone"
PRODUCT = ("retrain", "--recipe", "product", "--epochs")


@pytest.fixture(scope="module")
def whole(finished_run, tmp_path_factory):
    """A finished run whose networks were retrained by the product recipe."""
    import dataclasses

    from fairnas.cli.main import main

    path = tmp_path_factory.mktemp("whole") / "run"
    run = RunDirectory(shutil.copytree(finished_run[0], path))
    resources = dataclasses.replace(run.config.resources, processes=1)
    run.write_config(dataclasses.replace(run.config, resources=resources))
    for verb in ([*PRODUCT, "1"], ["export"], ["report"]):
        assert main([*verb, "--run", str(path), "--json"]) == 0
    return path


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of it, with an objective file in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("meter.py").write_text(FAULTY)
    shutil.copytree(whole, "run")
    return Path("run")


def contents(run: Path) -> dict[str, bytes]:
    """Content of a run; scores of networks may be added, and TensorBoard's events."""
    files = (path for path in run.rglob("*") if path.is_file())
    left_out = ("archive.sqlite", ".lock", "events.out")
    return {str(path.relative_to(run)): path.read_bytes() for path in files if not path.name.startswith(left_out)}


def after_the_work(module: str, name: str):
    """Let a function do its work, and fail then."""

    def spoil(monkeypatch):
        import importlib

        usual = getattr(importlib.import_module(module), name)

        def failing(*given, **named):
            usual(*given, **named)
            raise DataError("the images are gone; put them back")

        monkeypatch.setattr(f"{module}.{name}", failing)

    return spoil


def nothing(monkeypatch):
    """Nothing is wrong but what the command says."""


SEARCH, RANK, EXPORT = (f"fairnas.pipeline.{name}_stage" for name in ("search", "rank", "export"))
RETRAIN_JOBS = "fairnas.pipeline.job_pool"
FAILURES = {
    "search, all networks fail": (
        ("search", "--objective", "meter.py:power", "--max-madds", "500k"),
        nothing,
        "watts raised OSError: no power meter; mend meter.py:power, or leave it out with --without watts",
    ),
    "search, late": (
        ("search", "--search.searcher", "random", "--objective", "loss"),
        after_the_work(SEARCH, "run_search"),
        GONE,
    ),
    "search, no network meets a bound": (("search", "--max-madds", "1"), nothing, "search.max_madds is 1"),
    "retrain, late": ((*PRODUCT, "2"), after_the_work(RETRAIN_JOBS, "run_jobs"), GONE),
    "retrain, another space's network": (("retrain", "0123"), nothing, "genome '0123' has 4 choices"),
    "rank, late": (
        ("rank", "--models", "3", "--seeds", "1"),
        after_the_work(RANK, "study_ranking"),
        GONE,
    ),
    "rank, too few networks": (("rank", "--models", "40000"), nothing, "40000"),
    "export, late": (
        ("export", "--licence", "Apache-2.0"),
        after_the_work(EXPORT, "export_product"),
        GONE,
    ),
    "report, late": (("report",), after_the_work(EXPORT, "write_report"), GONE),
    "train with other settings": (("train", "digits", "--train.epochs", "9"), nothing, "holds a run of another"),
    "run with other settings": (("run", "digits", "--search.population", "9"), nothing, "holds a run of another"),
    "latency, late": (
        ("latency", "--minutes", "0.02"),
        after_the_work("fairnas.latency.measure", "measure_table"),
        GONE,
    ),
}


@pytest.mark.parametrize(("command", "spoil", "message"), FAILURES.values(), ids=FAILURES)
def test_a_command_that_fails_leaves_the_run_as_it_was(command, spoil, message, run, fairnas, monkeypatch):
    before = contents(run)
    assert {"config.toml", "stages.json", "search.json", "ranking.json", "report.html", "metrics.jsonl"} <= set(before)
    spoil(monkeypatch)
    outcome = fairnas(*command, "--out" if command[0] == "run" else "--run", run)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err.splitlines()[-1]
    after = contents(run)
    assert [name for name in before if after.get(name) != before[name]] == []


def test_an_interrupted_search_leaves_selection_and_settings(run, fairnas, monkeypatch):
    before = contents(run)

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairnas.pipeline.search_stage.run_search", interrupted)
    assert fairnas("search", "--run", run, "--objective", "loss").code == 130
    assert contents(run) == before


def test_a_mended_objective_is_asked_again_and_can_be_taken_out(run, fairnas):
    assert fairnas("search", "--run", run, "--objective", "meter.py:power").code == 2
    names = [row["name"] for row in fairnas("search", "--run", run, "--show", "--json").json["objectives"]]
    assert names == ["top1", "madds", "params"]

    flags = ("--objective", "meter.py:picky", "--max-latency", "10s", "--latency-table", "t.json")
    write_table()
    assert fairnas("search", "--run", run, *flags).code == 0
    rows = fairnas("search", "--run", run, "--show", "--json").json["objectives"]
    origin = {row["name"]: row["origin"] for row in rows}
    assert origin == {
        "top1": "recipe 'digits'", "madds": "recipe 'digits'", "params": "recipe 'digits'",
        "picky": "flag of `fairnas search`", "latency": "bound given to `fairnas search` (--max-latency)",
    }  # fmt: skip
    assert fairnas("search", "--run", run).code == 0
    again = fairnas("search", "--run", run, "--show", "--json").json["objectives"]
    assert {row["name"]: row["origin"] for row in again} == origin  # a second search keeps the origins
    shown = fairnas("search", "--run", run, "--show").out
    assert "flag of `fairnas search`" in shown
    assert "meter.py:picky" in shown

    refused = fairnas("search", "--run", run, "--without", "watts")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "no objective 'watts' to take out; there are accuracy, madds, params, meter.py:picky, latency" in refused.err
    Path("meter.py").unlink()  # what is lost can be taken out all the same
    assert fairnas("search", "--run", run, "--without", "picky", "--without", "latency", "--json").code == 0
    names = [row["name"] for row in fairnas("search", "--run", run, "--show", "--json").json["objectives"]]
    assert names == ["top1", "madds", "params"]
    assert RunDirectory(run).config.search.max_latency is None


def write_table() -> None:
    from fairnas.latency import LatencyTable, write_latency_table
    from fairnas.space import get_space

    rows = tuple((1.0,) * count for count in get_space("digits").choices)
    write_latency_table(Path("t.json"), LatencyTable("digits", "a phone", 0.25, rows))
