"""Progress of a search for people who watch it: each generation as it ends."""

import shutil

import pytest

from fairnas.pipeline import Experiment
from fairnas.pipeline.search_stage import search
from fairnas.report.progress import read_state
from fairnas.rundir import RunDirectory


def scores(genomes):
    return [{"top1": 0.5 + sum(genome) / 1000, "top5": 0.9, "loss": 1.0} for genome in genomes]


@pytest.mark.slow
def test_generations_are_recorded_as_they_end_and_once(trained_run, tmp_path):
    run = RunDirectory(shutil.copytree(trained_run, tmp_path / "run"))
    seen = []

    def stop():
        seen.append(([row["step"] for row in run.metrics("search")], read_state(run).where))
        return len(seen) in (2, 4)  # in the second generation, and where it goes on in the second again

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(Experiment(run, stop=stop), scores)
    assert seen == 2 * [([0], "search, generation 1 of 4"), ([0, 1], "search, generation 2 of 4")]
    search(Experiment(run), scores)
    rows = run.metrics("search")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert [row["hypervolume"] for row in rows] == run.read_json("search.json")["hypervolume"]
