"""Figure 11: its numbers are those of the run's archive and search, and nothing is scored."""

import json
import shutil

import pytest

from fairnas.errors import RunDirectoryError
from fairnas.paper.figure_11 import draw_figure_11, findings, read_evolution
from fairnas.pipeline import Experiment, run_stage
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import parse_genome


@pytest.fixture(scope="module")
def searched_run(trained_run, tmp_path_factory):
    """A tiny run whose search is finished; tests must not change it."""
    path = tmp_path_factory.mktemp("searched") / "run"
    shutil.copytree(trained_run, path)
    run_stage(Experiment(RunDirectory(path)), "search")
    return path


def test_the_numbers_are_those_of_the_search(searched_run, tmp_path, monkeypatch):
    monkeypatch.setattr("fairnas.evaluate.score_genomes", lambda *_: pytest.fail("nothing is scored"))
    found = draw_figure_11(tmp_path, searched_run, "fairnas figure 11")
    written = json.loads((tmp_path / "figure11.json").read_text())
    assert written == json.loads(json.dumps({key: value for key, value in found.items() if key != "page"}))
    search = RunDirectory(searched_run).read_json("search.json")
    assert written["hypervolume"] == search["hypervolume"]
    assert written["operators"] == search["operators"]
    assert (written["evaluations"], written["distinct"]) == (search["evaluations"], search["distinct"])
    with Archive(searched_run / "archive.sqlite", search["setting"], read_only=True) as archive:
        stored = {candidate.genome: candidate for candidate in archive.candidates()}
    assert written["networks"] == len(stored) == search["distinct"]
    for row in written["candidates"]:
        candidate = stored[parse_genome(row["genome"])]
        assert (row["top1"], row["madds"], row["generation"]) == (
            candidate.value("top1"),
            candidate.value("madds"),
            candidate.generation,
        )
    assert [each["generation"] for each in written["milestones"]] == [1, 2, 4]
    for each in written["milestones"]:
        so_far = [c for c in stored.values() if c.generation < each["generation"]]
        assert each["networks"] == len(so_far)
        front = each["fronts"]["params"]
        assert front[-1][1] == max(c.value("top1") for c in so_far)
        assert front[0][0] == min(c.value("params") for c in so_far)
    page = (tmp_path / "figure11.html").read_text()
    assert f"{len(stored)} networks, coloured by the generation" in page
    assert "front, generation 4" in page


def test_networks_of_other_searches_are_told(searched_run, tmp_path):
    assert not any("other searches" in sentence for sentence in findings(read_evolution(searched_run, "")))
    path = tmp_path / "run"
    shutil.copytree(searched_run, path)
    with Archive(path / "archive.sqlite", RunDirectory(path).read_json("search.json")["setting"]) as archive:
        known = {candidate.genome for candidate in archive.candidates()}
        other = next(genome for genome in ((5, 4, n, 0, 1, 2, 3, 4) for n in range(6)) if genome not in known)
        archive.add({other: {"top1": 0.1, "top5": 0.5, "loss": 1.0, "madds": 1, "params": 1}}, 0)
    assert findings(read_evolution(path, ""))[-1].startswith("The archive holds 1 network more than this search scored")


def test_runs_without_a_search_are_refused_in_one_line(trained_run, searched_run, tmp_path):
    with pytest.raises(RunDirectoryError, match="has not finished 'search'; run `fairnas search --run"):
        draw_figure_11(tmp_path / "out", trained_run, "")
    path = tmp_path / "run"
    shutil.copytree(searched_run, path)
    for file in path.glob("archive.sqlite*"):
        file.unlink()
    with pytest.raises(RunDirectoryError, match=r"archive\.sqlite holds no network of this search; `fairnas search"):
        draw_figure_11(tmp_path / "out", path, "")
    assert not (tmp_path / "out").exists()
