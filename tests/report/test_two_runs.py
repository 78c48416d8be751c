"""Two runs beside each other: numbers that are right, sentences that claim no more, and one line for wrong input."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.analysis import RankAgreement
from fairnas.errors import RunDirectoryError
from fairnas.report import write_comparison
from fairnas.report.run_data import Inputs, read_inputs
from fairnas.report.side_by_side import caveats, front_sentences, tau_sentences
from fairnas.report.two_runs import TwoRuns, independent_gap, side_of
from fairnas.rundir import RunDirectory
from fairnas.search import Candidate
from tests.report.test_report_page import Page


@pytest.fixture(scope="module")
def other_run(make_run) -> RunDirectory:
    return make_run(strategy="uniform", name="uniform")


@pytest.fixture(scope="module")
def inputs(whole_run) -> Inputs:
    return read_inputs(whole_run)


@pytest.fixture(scope="module")
def compared(whole_run, other_run, tmp_path_factory) -> dict:
    return write_comparison(whole_run, other_run, tmp_path_factory.mktemp("pages") / "both.html")


def beside(a: Inputs, b: Inputs) -> TwoRuns:
    return TwoRuns(a, b, ("A", "B"))


def with_front(inputs: Inputs, *points: tuple[float, float, float]) -> Inputs:
    assert inputs.search is not None
    front = tuple(
        Candidate.of((*[0] * 7, n), {"top1": top1, "madds": madds * 1e6, "params": params * 1e4})
        for n, (top1, madds, params) in enumerate(points)
    )
    return dataclasses.replace(inputs, candidates=(), search=dataclasses.replace(inputs.search, front=front))


def test_hypervolumes_have_one_reference(inputs):
    """Hypervolumes by hand: costs as shares of the largest of either run, so (0.5, 1, 1) of (2, 2) fills 0.5 x 0.5 x
    0.5.
    """
    one = with_front(inputs, (0.5, 1, 1))
    other = with_front(inputs, (0.8, 2, 2), (0.4, 0.5, 2))
    assert beside(one, other).volumes() == pytest.approx((0.125, 0.0))
    other = with_front(inputs, (0.8, 1, 1), (0.4, 2, 2))
    assert beside(one, other).volumes() == pytest.approx((0.125, 0.2))
    assert beside(one, other).beaten() == (1, 1), "an equal cost and a higher accuracy is enough"
    assert beside(one, one).beaten() == (0, 0), "none beats itself"


taus = st.floats(-0.9, 0.9)
reaches = st.floats(0.01, 0.5)


@settings(deadline=None)
@given(a=taus, b=taus, reach=st.tuples(reaches, reaches, reaches, reaches))
def test_the_gap_of_two_studies_turns_round_and_is_wider_than_either(a, b, reach):
    one = RankAgreement(a, (a - reach[0], a + reach[1]), 9, 0.5, a)
    other = RankAgreement(b, (b - reach[2], b + reach[3]), 9, 0.5, b)
    there, back = independent_gap(one, other), independent_gap(other, one)
    assert (there.difference, *there.interval) == pytest.approx((-back.difference, *(-x for x in back.interval[::-1])))
    low, high = there.interval
    assert low <= there.difference <= high
    assert high - low >= max(each.interval[1] - each.interval[0] for each in (one, other)) - 1e-9


def test_studies_of_the_same_networks_are_compared_network_by_network(inputs):
    assert inputs.ranking is not None
    record, study, models = inputs.ranking, inputs.ranking.study, inputs.ranking.study.models
    right = tuple(dataclasses.replace(each, one_shot=sum(each.finished)) for each in models)
    wrong = tuple(dataclasses.replace(each, one_shot=-sum(each.finished)) for each in models)
    first, second = (
        dataclasses.replace(inputs, ranking=dataclasses.replace(record, study=dataclasses.replace(study, models=each)))
        for each in (right, wrong)
    )
    gap = beside(first, second).tau_gap()
    assert gap is not None
    assert (gap.n, side_of(gap)) == (13, "first")
    assert gap.difference == pytest.approx(2, abs=0.1), "tau 1 against tau -1, but for ties"
    assert "On the 13 networks" in tau_sentences(beside(first, second))[0]
    assert "A's supernet orders better" in tau_sentences(beside(first, second))[0]
    elsewhere = dataclasses.replace(second, data=dataclasses.replace(second.data, fingerprint="other"))
    apart = beside(first, elsewhere)
    assert apart.tau_gap() == independent_gap(study.tau, study.tau)
    assert "this does not tell" in tau_sentences(apart)[0]
    assert any("data differ" in each for each in caveats(apart))
    assert not any("beaten" in each for each in front_sentences(apart)), "accuracies on other data do not compare"


def test_the_page_says_what_differs_and_both_verdicts(compared, whole_run, other_run):
    page = Page(Path(compared["page"]))
    text = page.text.replace("\u00a0", " ")
    assert "train.strategystrictuniform" in text
    assert "Yes, strictly fair" in text
    assert "In expectation only, not strictly" in text
    assert compared["settings"] == {"train.strategy": ["strict", "uniform"]}
    assert compared["strict_fair"] == [True, False]
    assert compared["same_space"] is compared["same_data"] is True
    assert compared["runs"] == [str(whole_run.path), str(other_run.path)]
    json.dumps(compared, allow_nan=False)
    figures = json.loads(page.data["figures"])
    assert {f"plot-{name}" for name in figures} == {
        a["id"] for a in page.all("div") if "plot" in (a.get("class") or "")
    }
    assert set(figures) == {"fronts-madds", "fronts-params", "both-loss", "both-top1"}
    assert Path(compared["page"]).stat().st_size < 8e6
    assert not [a for _, a in page.elements if "src" in a]


def test_other_spaces_are_told(inputs):
    wider = dataclasses.replace(inputs, space=dataclasses.replace(inputs.space, name="wider"))
    assert any("search spaces differ" in each for each in caveats(beside(inputs, wider)))


@pytest.mark.slow
@pytest.mark.parametrize("stages", [(), ("train",), ("train", "search")])
def test_a_run_that_is_not_finished_is_compared_as_far_as_it_is(make_run, whole_run, tmp_path, stages):
    young = make_run(stages, name="young")
    found = write_comparison(young, whole_run, tmp_path / "page.html")
    text = Page(Path(found["page"])).text
    assert f"fairnas rank --run {young.path}" in text
    assert (f"fairnas search --run {young.path}" in text) == ("search" not in stages)
    assert found["tau_difference"] is None


def test_the_same_run_twice_is_refused(whole_run):
    with pytest.raises(RunDirectoryError, match="are the same run; give two, or one for its own report"):
        write_comparison(whole_run, RunDirectory(whole_run.path / ".." / whole_run.path.name))


def test_by_default_the_page_lies_in_the_first_run(make_run, tmp_path):
    runs = [
        RunDirectory(Path(shutil.copytree(make_run(("train",)).path, tmp_path / folder / "run"))) for folder in "ab"
    ]
    found = write_comparison(runs[0], runs[1])
    assert found["page"] == str(runs[0].path / "against-run.html")
    assert "a/run and b/run" in Page(Path(found["page"])).text, "runs of one name are told apart"
