"""Figure 6: searches share scores, a figure goes on where it stopped, and its numbers are those of the searches."""

import dataclasses
import json
import shutil

import pytest

from fairnas.config import RewardConfig, SearchConfig
from fairnas.errors import ConfigError, RunDirectoryError, UnknownNameError
from fairnas.paper.figure_6_study import FigureSix, draw_figure_6
from fairnas.paper.search_targets import Searched, benchmark_truth, trained_supernet
from fairnas.pipeline import Experiment, run_stage
from fairnas.pipeline.costs import RunCosts
from fairnas.progress import SilentNarrator
from fairnas.rundir import RunDirectory
from fairnas.search import Archive, Candidate, cost_ranges, hypervolume, objectives_from, pareto_front
from fairnas.search.ranges import known_ranges
from fairnas.space import Stage, Stem, chain_space, parse_genome

SPACE = chain_space(
    "toy", image_size=8, stem=Stem(4, stride=1), stages=(Stage(4, 3, 1), Stage(6, 2, 2)), head=8, num_classes=4
)  # 6^5 genomes
SEARCH = SearchConfig(population=8, generations=4)
FIGURE = FigureSix(SEARCH, ("moremnas", "nsga2", "random"), seeds=2, first_seed=3, command="fairnas figure 6")


def made_up(genome):
    """An accuracy that grows with the choices, and with some of them more than with others."""
    return 0.4 + 0.5 * sum((layer + 2) * choice for layer, choice in enumerate(genome)) / 100


class Scores:
    """An evaluator that counts how often it is asked about each network."""

    def __init__(self):
        self.asked = []

    def __call__(self, genomes):
        self.asked += genomes
        return [{"top1": made_up(genome)} for genome in genomes]


def searched_with(evaluator, search=SEARCH, space=SPACE, known=()):
    objectives, costs = objectives_from(search), RunCosts(space)
    ranges = known_ranges(objectives, cost_ranges(space, costs))
    return Searched(space, evaluator, costs, objectives, ranges, "made up", known, "a toy", "made-up accuracy")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A tiny figure, drawn once; tests must not change it."""
    out = tmp_path_factory.mktemp("figures") / "figure6"
    scores = Scores()
    return out, draw_figure_6(out, FIGURE, searched_with(scores), SilentNarrator()), scores


def test_no_network_is_scored_twice_whoever_asks(drawn):
    out, numbers, scores = drawn
    assert len(scores.asked) == len(set(scores.asked))
    with Archive(out / "archive.sqlite", "made up", read_only=True) as archive:
        assert {candidate.genome for candidate in archive.candidates()} == set(scores.asked)
    asked = sum(search["distinct"] for found in numbers["searchers"].values() for search in found["searches"])
    assert len(scores.asked) < asked


def test_the_numbers_are_those_of_the_searches(drawn):
    out, numbers, scores = drawn
    written = json.loads((out / "figure6.json").read_text())
    assert written == json.loads(json.dumps({key: value for key, value in numbers.items() if key != "page"}))
    assert written["seeds"] == [3, 4]
    assert written["evaluations"] == [8, 16, 24, 32]
    assert list(written["searchers"]) == list(FIGURE.searchers)
    objectives, costs = objectives_from(SEARCH), RunCosts(SPACE)
    ranges = cost_ranges(SPACE, costs)
    every = [Candidate.of(g, {"top1": made_up(g), **costs(g)}) for g in scores.asked]
    best = hypervolume(pareto_front(every, objectives), objectives, ranges)
    assert written["best"]["hypervolume"] == pytest.approx(best)
    assert written["best"]["true"] is False
    for found in written["searchers"].values():
        finals = []
        for search in found["searches"]:
            front = [
                Candidate.of(parse_genome(row["genome"]), {key: row[key] for key in ("top1", "madds", "params")})
                for row in search["front"]
            ]
            assert hypervolume(front, objectives, ranges) == pytest.approx(search["hypervolume"][-1])
            assert search["evaluations"] == 32
            finals.append(search["hypervolume"][-1] / best)
        assert found["final"]["mean"] == pytest.approx(sum(finals) / 2)
        assert found["final"]["n"] == 2
    assert {duel["rival"] for duel in written["duels"]} == {"nsga2", "random"}
    assert {each["name"] for each in written["searchers"]["moremnas"]["operators"]} > {"controller", "random"}
    assert written["searchers"]["random"]["operators"] == []


@pytest.mark.slow
def test_a_second_call_scores_nothing_and_ends_the_same(drawn):
    out, numbers, _ = drawn
    scores = Scores()
    assert draw_figure_6(out, FIGURE, searched_with(scores), SilentNarrator()) == numbers
    assert scores.asked == []


@pytest.mark.slow
def test_stopped_anywhere_it_goes_on_and_ends_the_same(drawn, tmp_path):
    _, numbers, undisturbed = drawn
    out, scores = tmp_path / "out", Scores()
    for generations in (2, 7, 11):  # inside of the first, the second and the third search
        left = iter(range(generations))
        with pytest.raises(KeyboardInterrupt):
            draw_figure_6(
                out, FIGURE, searched_with(scores), SilentNarrator(), lambda left=left: next(left, None) is None
            )
    finished = sorted((out / "searches").iterdir())
    assert finished
    finished[0].write_text("{")  # a search whose file is damaged is made again
    found = draw_figure_6(out, FIGURE, searched_with(scores), SilentNarrator())
    assert found | {"page": ""} == numbers | {"page": ""}
    assert sorted(scores.asked) == sorted(undisturbed.asked)


@pytest.mark.slow
def test_more_seeds_and_searchers_join_a_figure(drawn, tmp_path):
    out, numbers, _ = drawn
    shutil.copytree(out, tmp_path / "out")
    more = dataclasses.replace(FIGURE, seeds=3, searchers=(*FIGURE.searchers, "spos_ea"))
    found = draw_figure_6(tmp_path / "out", more, searched_with(Scores()), SilentNarrator())
    assert list(found["searchers"]) == [*FIGURE.searchers, "spos_ea"]
    assert found["searchers"]["nsga2"]["searches"][:2] == numbers["searchers"]["nsga2"]["searches"]


@pytest.mark.slow
def test_the_front_is_the_true_one_where_every_network_was_scored(tmp_path):
    space = chain_space(
        "tiny", image_size=8, stem=Stem(4, stride=1), stages=(Stage(4, 2, 1),), head=8, num_classes=4
    )  # 36 genomes
    search = SearchConfig(population=12, generations=4, max_madds=RunCosts(space)((3, 3))["madds"])
    figure = dataclasses.replace(FIGURE, search=search, searchers=("nsga2", "random"))
    scores = Scores()
    found = draw_figure_6(tmp_path / "out", figure, searched_with(scores, search, space), SilentNarrator())
    allowed = [g for g in space.enumerate() if RunCosts(space)(g)["madds"] <= search.max_madds]
    assert sorted(scores.asked) == allowed
    assert found["best"]["true"] is True
    assert found["searchers"]["random"]["final"]["mean"] == pytest.approx(1)
    assert all(row["madds"] <= search.max_madds for row in found["best"]["front"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "--seeds is 1; give 2 or more"),
        ({"first_seed": -1}, "--first-seed is -1; give 0 or more"),
        ({"searchers": ()}, "--searchers is empty"),
        ({"searchers": ("random", "random")}, "--searchers has random twice"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_searched(tmp_path, change, message):
    scores = Scores()
    with pytest.raises(ConfigError, match=message):
        draw_figure_6(tmp_path / "out", dataclasses.replace(FIGURE, **change), searched_with(scores), SilentNarrator())
    with pytest.raises(UnknownNameError, match="unknown searcher 'nsga'; did you mean 'nsga2'"):
        dataclasses.replace(FIGURE, searchers=("nsga",)).check()
    assert not scores.asked
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused_in_one_line(drawn):
    out, _, _ = drawn
    search = dataclasses.replace(SEARCH, generations=5)
    with pytest.raises(
        RunDirectoryError, match=r"holds a figure with other settings \(search.generations is 4, given 5"
    ):
        draw_figure_6(out, dataclasses.replace(FIGURE, search=search), searched_with(Scores()), SilentNarrator())


# A trained supernet --------------------------------------------------------------------------------------------


def supernet(path, search=SEARCH, searchers=FIGURE.searchers):
    return trained_supernet(path, search, searchers, SilentNarrator(), lambda: False)


@pytest.mark.slow
def test_the_supernet_of_a_run_is_searched_and_its_own_scores_are_taken(trained_run, tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(trained_run, run.path)
    run_stage(Experiment(run), "search")
    with Archive(run.path / "archive.sqlite", run.read_json("search.json")["setting"], read_only=True) as archive:
        before = archive.candidates()
    scored = []

    def score(experiment, genomes):
        scored.extend(genomes)
        return [{"top1": made_up(genome), "top5": 1.0, "loss": 1.0} for genome in genomes]

    monkeypatch.setattr("fairnas.pipeline.evaluators.score_on_validation", score)
    figure = dataclasses.replace(FIGURE, searchers=("nsga2", "moremnas"), first_seed=0)  # the run's own seed is 0
    bounded = dataclasses.replace(SEARCH, max_madds=500e3)
    figure = dataclasses.replace(figure, search=bounded)
    with supernet(run.path, bounded) as searched:
        assert {each.genome for each in searched.known} == {each.genome for each in before}
        assert searched.title == "the supernet of run, scored on 50 validation images of digits"
        numbers = draw_figure_6(tmp_path / "out", figure, searched, SilentNarrator())
    assert scored
    assert not {each.genome for each in before} & set(scored)
    assert all(row["madds"] <= 500e3 for row in numbers["best"]["front"])
    with Archive(run.path / "archive.sqlite", run.read_json("search.json")["setting"], read_only=True) as archive:
        assert archive.candidates() == before


def test_runs_that_cannot_be_searched_are_refused_in_one_line(trained_run, tmp_path):
    with pytest.raises(RunDirectoryError, match="nowhere is not a run directory"), supernet(tmp_path / "nowhere"):
        pass
    untrained = RunDirectory.create(tmp_path / "untrained", RunDirectory.open(trained_run).config)
    with (
        pytest.raises(RunDirectoryError, match="has not finished 'train'; run `fairnas train"),
        supernet(untrained.path),
    ):
        pass
    shutil.copytree(trained_run, tmp_path / "damaged")
    (tmp_path / "damaged" / "ledger.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"ledger.json is lost or damaged"), supernet(tmp_path / "damaged"):
        pass


@pytest.mark.slow
def test_objectives_whose_scale_nobody_knows_are_refused(trained_run):
    search = dataclasses.replace(SEARCH, objectives=("top1", "madds", "loss"))
    with pytest.raises(ConfigError, match="the range of objective 'loss' is not known"), supernet(trained_run, search):
        pass
    priced = dataclasses.replace(SEARCH, reward=RewardConfig(cost="latency"))
    with (
        pytest.raises(ConfigError, match=r"search\.reward\.cost is 'latency'"),
        supernet(trained_run, priced, ("mnasnet_rl",)),
    ):
        pass


# The truth -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_the_truth_the_true_front_is_known(macro_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(macro_truth))
    search = SearchConfig(population=32, generations=10)
    figure = FigureSix(search, ("nsga2", "random"), 2, 0, "fairnas figure 6")
    searched = benchmark_truth(path, search, figure.searchers)
    assert len(searched.known) == 3969
    found = draw_figure_6(tmp_path / "out", figure, searched, SilentNarrator())
    assert found["best"]["true"] is True
    assert len(found["best"]["front"]) == 118
    nsga2, random = (found["searchers"][name] for name in figure.searchers)
    assert 1 >= nsga2["final"]["mean"] > random["final"]["mean"] > 0.8
    assert nsga2["mean_share"] == sorted(nsga2["mean_share"])
    # the evolution finds what a sort of all networks finds
    by_hand = min((row["flops"], -row["mean_acc"]) for row in macro_truth.values())
    assert (found["best"]["front"][0]["madds"], -100 * found["best"]["front"][0]["top1"]) == pytest.approx(by_hand)
    with pytest.raises(ConfigError, match="NAS-Bench-Macro does not know 'top5'; it knows madds, params, top1"):
        benchmark_truth(path, dataclasses.replace(search, objectives=("top1", "top5")), ())
