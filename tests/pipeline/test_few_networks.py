"""Runs whose search finds fewer networks than the ranking study wants, or whose trainings diverge."""

import dataclasses
import json
import shutil

import pytest

from fairnas.errors import TooFewNetworksError
from fairnas.latency import LatencyTable, write_latency_table
from fairnas.nets import cost_table
from fairnas.pipeline import Experiment, prepare, run_stage, run_story, stages, summarise
from fairnas.pipeline.costs import require_reachable_latency
from fairnas.pipeline.rank_stage import choose_models
from fairnas.pipeline.stages import forget
from fairnas.progress import SilentNarrator
from fairnas.report.progress import read_state
from fairnas.rundir import RunDirectory
from fairnas.stage_records import NO_STUDY


class Listener(SilentNarrator):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def bounded(config, max_madds, **stand_alone):
    search = dataclasses.replace(config.search, max_madds=float(max_madds), select=1)
    alone = dataclasses.replace(config.stand_alone, epochs=1, seeds=1, **stand_alone)
    resources = dataclasses.replace(config.resources, processes=1)
    return dataclasses.replace(config, search=search, stand_alone=alone, resources=resources)


@pytest.fixture
def make_run(trained_run, tmp_path, monkeypatch):
    """A trained run with a bound; nothing is exported."""

    def make(max_madds, **stand_alone):
        run = RunDirectory(shutil.copytree(trained_run, tmp_path / "run"))
        run.write_config(bounded(run.config, max_madds, **stand_alone))
        return run

    left_out = [
        dataclasses.replace(stage, work=lambda experiment: ()) if stage.name == "export" else stage
        for stage in stages.STAGES
    ]
    monkeypatch.setattr(stages, "STAGES", tuple(left_out))
    return make


@pytest.fixture
def lightest(trained_run):
    space = Experiment(RunDirectory(trained_run)).space
    return cost_table(space).lightest["madds"]


@pytest.mark.slow
def test_a_run_with_one_network_ends_without_a_study_and_says_why(make_run, lightest):
    run = make_run(lightest, models=4)
    reason = "the search has evaluated 1 network; a ranking needs 3, so search with looser bounds"
    run_stage(Experiment(run), "report")  # which is of a trained supernet, and must not stay the last word
    for _ in range(2):  # and the same when it is repeated
        listener = Listener()
        run_story(Experiment(run, listener))
        assert f"no ranking study: {reason}" in listener.said
        assert run.is_finished("export")
        assert run.is_finished("report")
        assert not run.is_finished("rank")
        assert read_state(run).done
        page = (run.path / "report.html").read_text()
        assert page.count(f"There is no ranking study: {reason}.") == 2  # in the opening and in its section
    with pytest.raises(TooFewNetworksError, match="evaluated 1 network; the study wants 4, so search longer or give a"):
        run_stage(Experiment(run), "rank")
    assert read_state(run).done, "what cannot be done takes nothing away"
    assert summarise(run).no_ranking == reason
    run_story(Experiment(run))
    forget(run, "search")
    assert not (run.path / NO_STUDY).exists()


@pytest.mark.slow
def test_a_study_takes_what_there_is(make_run, lightest):
    run = make_run(1.05 * lightest, models=16)
    run_stage(Experiment(run), "search")
    listener = Listener()
    experiment = Experiment(run, listener)
    known = len(choose_models(experiment, 3))
    assert 3 <= known < 16
    assert listener.said == [f"the search has evaluated {known} networks; the study takes all, where 16 were wanted"]
    with pytest.raises(TooFewNetworksError, match=f"evaluated {known} networks; the study wants 16"):
        choose_models(experiment)


@pytest.mark.slow
def test_trainings_that_diverge_end_no_run(make_run, lightest):
    run = make_run(10 * lightest, models=3)
    run_stage(Experiment(run), "search")
    run_stage(Experiment(run), "retrain")
    run.write_config(dataclasses.replace(run.config, stand_alone=dataclasses.replace(run.config.stand_alone, lr=1e30)))
    listener = Listener()
    run_story(Experiment(run, listener))
    assert "no ranking study: 0 of 3 networks trained without diverging; a ranking needs 3" in listener.said
    assert json.loads((run.path / NO_STUDY).read_text())["reason"].startswith("0 of 3 networks")
    assert run.is_finished("report")


def test_a_bound_that_leaves_no_choice_is_in_the_plan(trained_run, lightest):
    config = RunDirectory(trained_run).config
    lines = prepare(bounded(config, lightest, models=4)).plan()
    assert any(line.startswith("note       only 1 network meets search.max_madds") for line in lines)
    assert not any("leaves little" in line for line in prepare(bounded(config, 2 * lightest, models=4)).plan())


def test_a_measured_latency_that_leaves_no_choice_is_told_at_once(trained_run, tmp_path, monkeypatch):
    def measured(space, path, minutes, **_):
        rows = tuple(tuple(float(choice + 1) for choice in range(count)) for count in space.choices)
        table = LatencyTable(space.name, "this machine", 1.0, rows)
        write_latency_table(path, table)
        return table

    monkeypatch.setattr("fairnas.pipeline.costs.measure_table", measured)
    run = RunDirectory(shutil.copytree(trained_run, tmp_path / "run"))
    search = dataclasses.replace(run.config.search, max_latency=9.5)  # one takes 9 ms, eight 10
    run.write_config(dataclasses.replace(run.config, search=search))
    listener = Listener()
    require_reachable_latency(Experiment(run, listener))
    few = [line for line in listener.said if line.startswith("only 1 network meets search.max_latency 9.5")]
    assert len(few) == 1
    assert few[0].endswith("; 13 networks have up to 11 ms")
