"""Page of Figure 1 for made-up trainings, and that it opens offline in a browser."""

import json
import re

import pytest

from fairnas.fairness import Ledger, StrictSampler, UniformSampler, count_passes
from fairnas.paper.figure_1_page import StrategyComparison, render_comparison
from fairnas.paper.training_comparison import (
    Arm,
    ArmTraining,
    CurvePoint,
    accuracy_verdict,
    by_epoch,
    difference_text,
    equal_compute,
    equal_epochs,
    fairness_verdict,
    width_verdict,
)
from fairnas.report.plots import Figure

CHOICES = (6, 6)


def audit_of(strategy, sampler, steps=60):
    ledger = Ledger(strategy, CHOICES)
    for step in range(steps):
        paths = sampler.paths(step)
        passes = count_passes(paths, CHOICES)
        ledger.record(passes, passes.clip(max=1), len(paths))
    return ledger.audit()


STRICT = audit_of("strict", StrictSampler(CHOICES, 0))
UNIFORM = audit_of("uniform", UniformSampler(CHOICES, 0))


def make_arm(name, means, *, epochs=2, passes=360, audit=UNIFORM, spread=0.02):
    trainings = []
    for seed, mean in enumerate(means):
        if mean is None:
            trainings.append(ArmTraining(seed, f"{name}-s{seed}", (), None, (), "the loss is nan"))
            continue
        curve = tuple(CurvePoint(e, passes * e // epochs, mean * e / epochs, 0.01) for e in range(1, epochs + 1))
        top1 = (mean - spread, mean, mean + spread)
        trainings.append(ArmTraining(seed, f"{name}-s{seed}", curve, audit, top1))
    return Arm(name, name.upper(), f"what {name} does", epochs, 0.05, passes, tuple(trainings))


def test_a_winner_is_named_when_every_seed_is_ahead():
    verdict = accuracy_verdict([make_arm("a", (0.8, 0.81, 0.82)), make_arm("b", (0.9, 0.91, 0.92))])
    assert (verdict.status, verdict.answer) == ("good", "B has the highest mean")
    text = " ".join(verdict.sentences).replace("\u00a0", " ")
    assert "A 81.0 % (80.0 to 82.0 %, n = 3)" in text
    assert "B minus A: +10.0 points (95 % interval +10.0 to +10.0, 3 seeds)." in text


@pytest.mark.parametrize("means", [((0.8, 0.9, 0.91), (0.85, 0.95, 0.96)), ((0.9,), (0.5,))])
def test_no_winner_is_named_when_seeds_overlap_or_are_alone(means):
    arms = [make_arm("a", means[0]), make_arm("b", means[1]), make_arm("c", [0.1] * len(means[0]))]
    for order in (arms, arms[::-1]):
        verdict = accuracy_verdict(order)
        assert verdict.status == "open"
        assert verdict.answer.startswith("No winner: ")
        assert "has the highest mean" in verdict.answer
    assert "overlap" in str(verdict.sentences) or "says nothing about chance" in str(verdict.sentences)


def test_the_narrowest_range_wins_the_other_question():
    wide = make_arm("wide", (0.9, 0.91, 0.92), spread=0.3)
    narrow = make_arm("narrow", (0.8, 0.81, 0.82), spread=0.01)
    assert width_verdict([wide, narrow]).answer == "NARROW has the narrowest range"


def test_diverged_trainings_are_left_out_and_said():
    whole, broken = make_arm("a", (0.8, 0.81, 0.82)), make_arm("b", (None, 0.5, 0.52))
    text = str(accuracy_verdict([whole, broken]).sentences)
    assert "B diverged with 1 seed of 3" in text
    assert "2 seeds" in text
    gone = make_arm("c", (None, None, None))
    assert "Nothing to compare" in accuracy_verdict([whole, gone]).answer
    assert by_epoch(gone) == ()
    assert len(by_epoch(broken)) == 2
    assert difference_text(None) == "not known, because no seed finished both"


def test_arms_are_compared_at_equal_compute_and_at_equal_epochs():
    arms = [make_arm("a", (0.5,)), make_arm("b", (0.5,), passes=60), make_arm("c", (0.5,), epochs=12)]
    assert [arm.name for arm in equal_compute(arms)] == ["a", "c"]
    assert [arm.name for arm in equal_epochs(arms)] == ["a", "b"]


def test_fairness_is_told_per_arm():
    verdict = fairness_verdict([make_arm("sf", (0.5, 0.6), audit=STRICT), make_arm("ef", (0.5, 0.6))])
    assert (verdict.status, verdict.answer) == ("good", "Strictly fair: SF, and nobody else")
    assert verdict.sentences[0].startswith("SF: strictly fair; variance of the passes 0.00 of one")
    assert verdict.sentences[1].startswith("EF: fair in expectation only")
    nobody = fairness_verdict([make_arm("ef", (0.5,))])
    assert (nobody.status, nobody.answer) == ("open", "Nobody was strictly fair")


def comparison(*arms) -> StrategyComparison:
    return StrategyComparison(arms, "digits", "digits", 3, 12, 300, 10, "fairnas figure 1", "seed = 0", {"python": "3"})


def figures_of(page: str) -> dict[str, Figure]:
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page() -> str:
    nasty = make_arm("<b>&</script>", (0.4, None, 0.6), passes=360)
    return render_comparison(comparison(make_arm("sf", (0.8, 0.81, 0.85), audit=STRICT), nasty))


def test_curves_are_means_over_seeds_shaded_from_lowest_to_highest(page):
    low, high, mean = figures_of(page)["passes"]["data"][:3]
    assert mean["x"] == [180, 360]
    assert figures_of(page)["epochs"]["data"][2]["x"] == [1, 2]
    assert (low["y"][1], high["y"][1]) == (80, 85)
    assert mean["y"][1] == pytest.approx(82)
    diverged_left_out = figures_of(page)["passes"]["data"][5]
    assert diverged_left_out["y"][1] == pytest.approx(50)


def test_histograms_count_every_model_of_every_seed_in_the_same_bins(page):
    first, second = figures_of(page)["histograms"]["data"]
    assert first["x"] == second["x"]
    assert (sum(first["y"]), sum(second["y"])) == (9, 6)


def test_the_page_escapes_what_it_is_given_and_holds_the_numbers(page):
    assert "<B>&</SCRIPT>" not in page
    assert "&lt;B&gt;&amp;&lt;/SCRIPT&gt;, seed 1" in page
    assert "diverged: the loss is nan" in page
    assert "fairnas figure 1" in page
    assert 'href="#outcome"' in page
    assert "Guessing among 10 classes reaches 10.0\u00a0%" in page
    assert "82.0\u00a0%\u00a0±\u00a02.6, n\u00a0=\u00a03" in page


def test_a_figure_in_which_everything_diverged_is_still_a_page():
    page = render_comparison(comparison(make_arm("a", (None,)), make_arm("b", (None,))))
    assert "Every training diverged." in page
