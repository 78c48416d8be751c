"""`fairnas search` on a trained run: objectives, latency tables, extending, exports, and what can be wrong there."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fairnas.latency import LatencyTable, write_latency_table
from fairnas.search import Archive
from fairnas.space import get_space

SMALL = [
    "--data.train-per-class", "12", "--data.validation-per-class", "5", "--train.epochs", "2",
    "--train.batch-size", "40", "--search.population", "8", "--search.generations", "3", "--search.select", "2",
    "--search.searcher", "nsga2",
]  # fmt: skip

ENERGY = """
from fairnas.search import Objective

def kernels(space, genome):
    if sum(genome) % 5 == 0:
        raise ValueError("no power meter")
    return sum(space.block(layer, choice).kernel for layer, choice in enumerate(genome))

energy = Objective("energy", "min", "mJ", function=kernels)
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run trained and searched, done once."""
    from fairnas.cli.main import main

    path = tmp_path_factory.mktemp("searched") / "run"
    assert main(["train", "digits", "--run", str(path), *SMALL, "--json"]) == 0
    assert main(["search", "--run", str(path), "--json"]) == 0
    return path


@pytest.fixture
def run(searched, tmp_path, monkeypatch):
    """A copy of it, with a latency table and an objective file in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(searched, "run")
    write_table(0)
    Path("energy.py").write_text(ENERGY)
    return Path("run")


def write_table(seed: int) -> None:
    space, rng = get_space("digits"), np.random.default_rng(seed)
    rows = tuple(tuple(rng.uniform(0.1, 1, count).round(3).tolist()) for count in space.choices)
    write_latency_table(Path("phone.json"), LatencyTable("digits", "a phone", 0.25, rows))


def search_of(run: Path) -> dict:
    return json.loads((run / "search.json").read_text())


def scored(run: Path) -> list[str]:
    with Archive(run / "archive.sqlite", search_of(run)["setting"], read_only=True) as archive:
        return ["".join(map(str, candidate.genome)) for candidate in archive.candidates()]


@pytest.mark.slow
def test_more_generations_are_the_longer_run_and_score_nothing_twice(run, fairnas):
    short, before = search_of(run), scored(run)
    shutil.copytree(run, "whole")
    (Path("whole") / "archive.sqlite").unlink()
    assert fairnas("search", "--run", "whole", "--search.generations", 6, "--json").code == 0
    assert fairnas("search", "--run", run, "--search.generations", 6, "--json").code == 0
    assert search_of(run) == search_of(Path("whole"))
    assert search_of(run)["hypervolume"][:3] == short["hypervolume"]
    after = scored(run)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == search_of(run)["distinct"] > len(before)


@pytest.mark.slow
def test_another_searcher_adds_to_the_archive_and_finds_what_it_finds_alone(run, fairnas):
    before = scored(run)
    shutil.copytree(run, "alone")
    (Path("alone") / "archive.sqlite").unlink()
    for path in (run, "alone"):
        assert fairnas("search", "--run", path, "--search.searcher", "random", "--json").code == 0
    there, alone = search_of(run), search_of(Path("alone"))
    assert there.pop("archive") != alone.pop("archive")
    assert there == alone
    after = scored(run)
    assert after[: len(before)] == before
    assert len(after) == len(set(after))
    assert set(after) == {*before, *scored(Path("alone"))}


@pytest.mark.slow
def test_latency_is_an_objective_from_a_table_with_a_bound(run, fairnas):
    outcome = fairnas("search", "--run", run, "--latency-table", "phone.json", "--max-latency", "5ms", "--json")
    assert outcome.code == 0, outcome.err
    found = search_of(run)
    assert found["bounds"] == {"madds": None, "params": None, "latency": 5.0}
    assert found["objectives"][3] | {"range": None} == {
        "name": "latency", "direction": "min", "unit": "ms", "bound": 5.0, "range": None, "range_is_estimated": False,
        "text": "latency", "origin": "bound given to `fairnas search` (--max-latency)",
    }  # fmt: skip
    assert found["reference"][3] == found["objectives"][3]["range"][1]
    assert found["front"]
    assert all(0 < row["latency"] <= 5 for row in found["front"])
    assert {row["latency"] for row in outcome.json["selected"]} <= {row["latency"] for row in found["front"]}
    assert outcome.json["units"] == {"latency": "ms"}
    shown = fairnas("search", "--run", run, "--show").out
    assert "latency (ms)" in shown
    page = fairnas("report", "--run", run, "--json").json["report"]
    assert "latency up to 5.00\u00a0ms" in Path(page).read_text()


class FakeBench:
    """Networks that take a millisecond per layer, and more for later choices."""

    def __init__(self, space, threads=1):
        self.device = "a fake"

    def network(self, genome):
        return lambda: 2 + self.beginning(genome, len(genome))()

    def beginning(self, genome, layers):
        return lambda: 1 + sum(1 + choice / 5 for choice in genome[:layers])


@pytest.mark.slow
def test_without_a_table_the_run_measures_its_own_once_and_spreads_over_latency(run, fairnas, monkeypatch):
    from fairnas.pipeline import Experiment
    from fairnas.pipeline.search_stage import changed_sources
    from fairnas.rundir import RunDirectory

    monkeypatch.setattr("fairnas.latency.measure.OnnxRunner", FakeBench)
    outcome = fairnas("search", "--run", run, "--max-latency", "15.5ms", "--search.select", "3", "--json")
    assert outcome.code == 0, outcome.err
    assert "latency measured on a fake; 30 other networks: median error 0.0%" in outcome.err
    found = search_of(run)
    assert all(11 <= row["latency"] <= 15.5 for row in found["front"])
    latencies = [row["latency"] for row in found["selected"]]
    assert latencies == sorted(latencies, reverse=True)
    table = (run / "latency.json").read_bytes()
    monkeypatch.delattr("fairnas.latency.measure.OnnxRunner")  # nobody asks for it again
    flags = ["--search.reward.cost", "latency", "--search.searcher", "mnasnet_rl"]
    again = fairnas("search", "--run", run, *flags, "--json")
    assert again.code == 0, again.err
    assert (run / "latency.json").read_bytes() == table
    assert search_of(run)["sources"] == found["sources"]
    experiment = Experiment(RunDirectory.open(run))
    assert changed_sources(experiment) == ()
    config = (run / "config.toml").read_text()
    refused = fairnas("search", "--run", run, "--max-latency", "1ms")
    assert refused.code == 2
    assert "search.max_latency is 1 ms; the smallest network" in refused.err
    assert (run / "config.toml").read_text() == config
    (run / "latency.json").unlink()
    assert changed_sources(experiment) == ("latency",)  # so that `fairnas run` measures and searches again


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--latency-table", "phone.json", "--max-latency", "0.1ms"],
            "search.max_latency is 0.1 ms; the smallest network",
        ),
        (
            ["--latency-table", "phone.json", "--max-latency", "5"],
            "'5' is not a time; write a number above 0 with us, ms",
        ),
        (["--latency-table", "none.json"], "cannot read the latency table none.json: No such file"),
        (["--latency-table", "energy.py"], "latency table energy.py is not JSON"),
        (["--objective", "madd"], "unknown objective 'madd'; did you mean 'madds'?"),
        (["--objective", "none.py:energy"], "there is no objective file none.py"),
        (["--objective", "energy.py:power"], "does not define an Objective with a function called 'power'"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_changed(run, fairnas, flags, message):
    before = (run / "config.toml").read_bytes(), (run / "search.json").read_bytes(), (run / "stages.json").read_bytes()
    outcome = fairnas("search", "--run", run, *flags)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    after = (run / "config.toml").read_bytes(), (run / "search.json").read_bytes(), (run / "stages.json").read_bytes()
    assert after == before


@pytest.mark.slow
def test_a_changed_table_makes_a_finished_search_again_and_mixes_nothing(run, fairnas):
    flags = ["--latency-table", "phone.json", "--objective", "latency"]
    assert fairnas("search", "--run", run, *flags, "--json").code == 0
    from fairnas.pipeline import Experiment
    from fairnas.pipeline.search_stage import changed_sources
    from fairnas.pipeline.stages import is_outdated
    from fairnas.rundir import RunDirectory

    directory = RunDirectory.open(run)
    before = scored(run)
    with directory.locked():
        experiment = Experiment(directory)
        assert not is_outdated(experiment)
        write_table(1)
        assert changed_sources(experiment) == ("latency",)
        assert is_outdated(experiment)
    assert fairnas("search", "--run", run, "--csv", "c.csv", "--json").json["front"]  # still the old one
    assert fairnas("search", "--run", run, "--json").code == 0
    assert scored(run)[: len(before)] == before
    assert fairnas("search", "--run", run, "--csv", "c.csv", "--json").code == 0
    table = json.loads(Path("phone.json").read_text())
    for row in csv.DictReader(Path("c.csv").read_text().splitlines()):
        blocks = [layer[int(choice)] for layer, choice in zip(table["layers_ms"], row["genome"], strict=True)]
        assert float(row["latency"]) == pytest.approx(table["fixed_ms"] + sum(blocks), abs=1e-9)


@pytest.mark.slow
def test_a_users_function_that_fails_is_counted_and_exported(run, fairnas):
    outcome = fairnas("search", "--run", run, "--objective", "energy.py:energy", "--json")
    assert outcome.code == 0, outcome.err
    found = search_of(run)
    assert found["failed"] > 0
    line = f"{found['failed']} of {found['distinct']} networks failed; the first: {found['failure']}"
    assert line in outcome.err
    assert found["failure"].endswith("energy raised ValueError: no power meter")
    assert found["sources"].keys() == {"energy"}
    assert "no power meter" in fairnas("search", "--run", run, "--show").out
    again = fairnas("search", "--run", run, "--json")
    assert again.code == 0
    assert search_of(run) == found
    outcome = fairnas("search", "--run", run, "--csv", "c.csv", "--parquet", "c.parquet", "--json").json
    rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
    assert outcome["candidates"] == len(rows)
    failed = [row for row in rows if row["failure"]]
    assert len(failed) == found["failed"]
    assert all(row["energy"] == "nan" and sum(map(int, row["genome"])) % 5 == 0 for row in failed)
    same_table(Path("c.csv"), Path("c.parquet"))


def same_table(text: Path, parquet: Path) -> None:
    rows = list(csv.reader(text.read_text().splitlines()))
    table = pq.read_table(parquet)
    assert table.column_names == rows[0]
    for name, *column in zip(*rows, strict=True):
        for cell, value in zip(column, table[name].to_pylist(), strict=True):
            if value is None:
                assert cell == ""
            elif isinstance(value, float):
                assert float(cell) == value or (math.isnan(float(cell)) and math.isnan(value))
            else:
                assert cell == str(value)


def test_parquet_holds_what_csv_does_with_types(run, fairnas):
    outcome = fairnas("search", "--run", run, "--csv", "c.csv", "--parquet", "c.parquet")
    assert outcome.code == 0, outcome.err
    assert f"c.parquet: {len(scored(run))} candidates" in outcome.out
    types = {field.name: str(field.type) for field in pq.read_schema("c.parquet")}
    assert types == {
        "genome": "string", "generation": "int64", "balanced_accuracy": "double", "balanced_loss": "double",
        "loss": "double", "madds": "int64", "params": "int64", "top1": "double", "top5": "double", "failure": "string",
    }  # fmt: skip
    same_table(Path("c.csv"), Path("c.parquet"))
    assert pq.read_table("c.parquet")["genome"].to_pylist() == scored(run)


@pytest.mark.parametrize("flag", ["--csv", "--parquet"])
def test_a_file_that_cannot_be_written_is_one_line(run, fairnas, flag):
    Path("file").write_text("")
    outcome = fairnas("search", "--run", run, flag, "file/candidates")
    assert outcome.code == 2
    assert "cannot write file/candidates" in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.slow
def test_the_study_takes_no_network_twice_when_two_searches_filled_the_archive(run, fairnas):
    from fairnas.pipeline import Experiment
    from fairnas.pipeline.rank_stage import choose_models
    from fairnas.rundir import RunDirectory

    # the second search asks for the same networks in another generation than the archive says
    assert fairnas("search", "--run", run, "--search.population", 24, "--search.generations", 1, "--json").code == 0
    front = search_of(run)["front"]
    with Archive(run / "archive.sqlite", search_of(run)["setting"]) as archive:
        archive._database.execute("UPDATE candidate SET generation = 7")
        count = len(archive)
    directory = RunDirectory.open(run)
    toml = (run / "config.toml").read_text().replace("models = 16", f"models = {count}")
    (run / "config.toml").write_text(toml)
    genomes = choose_models(Experiment(directory))
    assert len(genomes) == len(set(genomes)) == count > len(front)
