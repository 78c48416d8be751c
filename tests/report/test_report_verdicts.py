"""Verdicts of the report, which never claim more than the numbers support."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.analysis import (
    BestAgreement,
    NoiseCeiling,
    RankAgreement,
    RankingStudy,
    TauDifference,
    accuracy_gap,
)
from fairnas.fairness import Audit, Ledger
from fairnas.report import verdict_section
from fairnas.report.format import balanced_interval, effective_images
from fairnas.report.verdicts import (
    fairness_verdict,
    networks_verdict,
    ranking_verdict,
)
from fairnas.scores import NetworkScore, TrainingResult
from fairnas.search import Candidate
from fairnas.space import parse_genome


def audit(**changes) -> Audit:
    values = {
        "strategy": "uniform",
        "steps": 600,
        "backward_passes": 600,
        "updates_min": 93,
        "updates_max": 136,
        "single_paths": True,
        "expectation_fair": True,
        "strict_fair": False,
        "level_every": 1,
        "level_at": 0,
        "gradient_share": (0.8, 1.3),
        "p_value": 0.645,
        "variance_ratio": 1.0,
    }
    return Audit(**(values | changes))


def said(verdict) -> str:
    return " ".join(verdict.sentences).replace("\u00a0", " ")


def test_strictly_fair_names_the_count_and_the_odds():
    verdict = fairness_verdict(audit(strict_fair=True, updates_min=100, updates_max=100), (6, 6))
    assert (verdict.status, verdict.answer) == ("good", "Yes, strictly fair")
    assert "each of the 12 choice blocks was updated exactly 100 times" in said(verdict)
    assert "600 paths been drawn uniformly" in said(verdict)
    assert "less than one in a million (lemma 1)" in said(verdict)


def test_odds_are_a_number_where_they_are_not_tiny():
    verdict = fairness_verdict(audit(strict_fair=True, updates_min=1, updates_max=1, backward_passes=6), (6,))
    assert "would be about one in 65 (lemma 1)" in said(verdict)


def test_strictly_fair_with_unequal_choices_gives_a_range():
    verdict = fairness_verdict(audit(strict_fair=True, updates_min=100, updates_max=150), (6, 4))
    assert "100 to 150 times, depending on how many a layer has" in said(verdict)


def test_strictly_fair_in_cycles_says_when_it_was_last_level():
    cyclic = audit(strict_fair=True, level_every=6, level_at=594, updates_min=600, updates_max=600)
    verdict = fairness_verdict(cyclic, (6, 7))
    assert (verdict.status, verdict.answer) == ("good", "Yes, strictly fair")
    assert "equal after every 6 steps: last after step 594." in said(verdict)


def test_before_the_first_cycle_is_over_nothing_is_level_yet():
    verdict = fairness_verdict(audit(level_every=2000, level_at=0), (6, 7))
    assert (verdict.status, verdict.answer) == ("open", "Not level yet")
    assert "equal only after 2000 steps" in said(verdict)


def test_fair_in_expectation_only():
    verdict = fairness_verdict(audit(), (6, 6))
    assert (verdict.status, verdict.answer) == ("mixed", "In expectation only, not strictly")
    assert "most trained choice block was updated 136 times, the least trained 93 times, 31.6 % less" in said(verdict)
    assert "p = 0.645" in said(verdict)


def test_not_fair():
    verdict = fairness_verdict(audit(expectation_fair=False, p_value=1e-12), (6, 6))
    assert (verdict.status, verdict.answer) == ("bad", "No, not fair")
    assert "p below 0.001" in said(verdict)


def test_level_counts_of_several_paths_at_once_are_not_fair():
    both = audit(single_paths=False, expectation_fair=False, p_value=1.0, updates_min=100, updates_max=100)
    verdict = fairness_verdict(both, (6, 6))
    assert (verdict.status, verdict.answer) == ("bad", "No, it does not train single paths")
    assert "Every choice block was updated 100 times. Its passes went through several blocks" in said(verdict)
    assert "lemma 1" not in said(verdict)


def test_an_empty_ledger_is_no_fair_supernet():
    verdict = fairness_verdict(Ledger("strict", (6, 6)).audit(), (6, 6))
    assert (verdict.status, verdict.answer) == ("open", "Not trained yet")


def agreement(tau: float, low: float = math.nan, high: float = math.nan) -> RankAgreement:
    return RankAgreement(tau, (low, high), 13, 0.01, 0.9)


def study(
    tau: RankAgreement, ceiling: RankAgreement | None = None, trivial: float = 0.3, advice=(), lead=None
) -> RankingStudy:
    unknown = (math.nan, math.nan)
    differences = {"madds": TauDifference(tau.tau - trivial, lead, 13, None)} if lead else {}
    differences |= {"depth": TauDifference(math.nan, unknown, 13, None)} if lead else {}
    return RankingStudy(
        models=(),
        tau=tau,
        best=BestAgreement(0.9, 0.5, 3, {1: 0.0}, 13),
        ceiling=NoiseCeiling(ceiling.tau, ceiling.interval, 13, 2, 1, None) if ceiling else None,
        predictors={"madds": agreement(trivial, -0.2, 0.7), "params": agreement(0.1, -0.4, 0.6)},
        differences=differences,
        by_loss=None,
        corrected=None,
        gap=accuracy_gap((0.9, 0.95), (0.96, 0.97)),
        statistics=(),
        against=None,
        diverged=0,
        advice=tuple(advice),
    )


@pytest.mark.parametrize(
    ("ranking", "status", "answer"),
    [
        (study(agreement(0.85, 0.6, 0.96)), "good", "Yes, as far as this study sees"),
        (study(agreement(0.85, 0.6, 0.96), agreement(0.8, 0.5, 0.9)), "good", "Yes, as far as this study sees"),
        (study(agreement(0.85, 0.6, 0.96), agreement(0.55, 0.1, 0.8)), "open", "This study cannot tell"),
        (study(agreement(0.85, 0.6, 0.96), agreement(math.nan)), "open", "This study cannot tell"),
        (study(agreement(0.5, 0.2, 0.7), trivial=0.5), "mixed", "It orders well, but so does counting"),
        (study(agreement(0.5, 0.2, 0.7), trivial=-0.6), "mixed", "It orders well, but so does counting"),
        # the difference has an interval of its own, which the intervals of both values do not give
        (study(agreement(0.6, 0.2, 0.8), lead=(0.1, 0.4)), "good", "Yes, as far as this study sees"),
        (study(agreement(0.6, 0.35, 0.8), lead=(-0.1, 0.7)), "mixed", "It orders well, but perhaps no better"),
        (study(agreement(0.3, -0.1, 0.6)), "bad", "Not on this evidence"),
        (study(agreement(0.3)), "bad", "Not on this evidence"),
        (study(agreement(-0.5, -0.8, -0.1)), "bad", "No, it is upside down"),
        (study(agreement(math.nan)), "open", "This cannot be said"),
    ],
)
def test_ranking_verdicts(ranking, status, answer):
    verdict = ranking_verdict(ranking)
    assert verdict.status == status
    assert verdict.answer.startswith(answer)


def test_a_low_ceiling_says_that_tau_means_little():
    assert "tau means little" in ranking_verdict(study(agreement(0.9, 0.7, 1), agreement(0.2, -0.2, 0.5))).answer


def test_ranking_sentences_carry_interval_n_ceiling_predictors_and_advice():
    verdict = ranking_verdict(study(agreement(0.85, 0.61, 0.96), agreement(0.8, 0.52, 0.9), advice=["Rank more."]))
    text = said(verdict)
    assert "tau = 0.85 (95 % interval 0.61 to 0.96, n = 13)" in text
    assert "differ only in the seed agree with tau = 0.80 (95 % interval 0.52 to 0.90, n = 13)" in text
    assert "counting multiply-adds gives 0.30 (95 % interval \u22120.20 to 0.70, n = 13)" in text
    assert "counting parameters gives 0.10" in text
    assert verdict.sentences[-1] == "Rank more."


def test_the_gap_is_the_difference_of_the_widths():
    assert study(agreement(0.5)).gap.gap == pytest.approx(0.04)


def candidate(genome: str, top1: float, madds: float, params: float, generation: int) -> Candidate:
    return Candidate.of(parse_genome(genome), {"top1": top1, "madds": madds, "params": params}, generation)


LIGHT, HEAVY = candidate("000", 0.90, 1e6, 2e4, 0), candidate("111", 0.95, 3e6, 3e4, 1)


def score(top1: float, images: int = 2000, hits=(1,), of_classes=(1,), balanced: float | None = None) -> NetworkScore:
    return NetworkScore(top1, 1.0, 0.1, images, top1 if balanced is None else balanced, 0.1, hits, of_classes)


def trained(validation: NetworkScore | float | None, test: NetworkScore | float | None) -> TrainingResult:
    """A training with these scores, or one that diverged."""
    scores = [score(each) if isinstance(each, float) else each for each in (validation, test)]
    done = scores[1] is not None
    return TrainingResult((0,), 0, "", 1, "done" if done else "diverged", None if done else "why", *scores)


def verdict_of(light: TrainingResult | None = None, heavy: TrainingResult | None = None):
    results = {LIGHT.genome: light, HEAVY.genome: heavy}
    return networks_verdict((HEAVY, LIGHT), {genome: result for genome, result in results.items() if result}, 10)


def test_the_network_is_chosen_on_validation_not_on_test():
    verdict = verdict_of(trained(0.97, 0.90), trained(0.96, 0.99))
    assert verdict.answer == "Take 000"


def test_the_lightest_is_named_beside_the_best():
    text = said(verdict_of(trained(0.90, 0.90), trained(0.96, 0.96)))
    assert "111 at 3.00 M multiply-adds, 96.0 % on test (95 % interval 95.0 to 96.8 %, 2,000 images)" in text
    assert "Least compute: 000 at 1.00 M multiply-adds, 90.0 % on test" in text
    assert "overlap" not in text


def test_overlapping_intervals_are_said():
    assert "may be as good as the best" in said(verdict_of(trained(0.955, 0.955), trained(0.96, 0.96)))


def test_a_diverged_network_is_not_taken_but_counted():
    verdict = verdict_of(trained(None, None), trained(0.96, 0.96))
    assert verdict.answer == "Take 111"
    assert "1 network diverged or was not trained from scratch" in said(verdict)


def test_guessing_is_not_recommended():
    verdict = verdict_of(trained(0.10, 0.11), trained(0.11, 0.11))
    assert (verdict.status, verdict.answer) == ("bad", "None, no better than guessing")
    assert "Guessing among 10 classes reaches 10.0 %" in said(verdict)


@pytest.mark.parametrize(("test", "status"), [(0.95, "bad"), (0.955, "bad"), (0.965, "good")])
def test_naming_the_largest_class_always_is_not_recommended(test, status):
    verdict = networks_verdict((LIGHT,), {LIGHT.genome: trained(0.9, test)}, 2, (("sick", 100), ("healthy", 1900)))
    assert verdict.status == status
    sentence = "Always answering 'healthy', the largest class of the test images, reaches 95.0 %"
    assert (sentence in said(verdict)) == (status == "bad")
    assert (verdict.answer == "None, no better than one answer for all") == (status == "bad")


def test_the_weakest_class_of_the_network_to_take_is_told():
    tested = (("cats", 1000), ("dogs", 900), ("newts", 0), ("owls", 100))
    best = trained(0.97, score(0.9, 2000, (950, 850, 0, 40), (1000, 900, 0, 100)))
    text = said(networks_verdict((LIGHT,), {LIGHT.genome: best}, 4, tested))
    assert "The weakest class of 000 is 'owls': 40.0 % of 100 test images." in text


def test_balanced_accuracy_is_called_so_and_one_answer_for_all_is_guessing():
    tested = (("cats", 1900), ("dogs", 100))
    best = trained(score(0.9, balanced=0.8), score(0.93, 2000, (1805, 55), (1900, 100), 0.75))
    verdict = networks_verdict((BALANCED,), {BALANCED.genome: best}, 2, tested, "balanced_accuracy")
    assert "75.0 % balanced accuracy on test (95 % interval " in said(verdict)
    assert "Take 000" in verdict.answer
    always = {BALANCED.genome: trained(score(0.95, balanced=0.5), score(0.95, 2000, (1900, 0), (1900, 100), 0.5))}
    verdict = networks_verdict((BALANCED,), always, 2, tested, "balanced_accuracy")
    assert verdict.answer == "None, no better than guessing"


BALANCED = Candidate.of(LIGHT.genome, {**LIGHT.measures, "balanced_accuracy": 0.7}, 0)
CLASSES = st.lists(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2)


@pytest.mark.slow
@given(CLASSES)
def test_the_interval_of_a_balanced_accuracy_holds_it_and_the_smallest_class_widens_it(classes):
    hits, images = zip(*classes, strict=True)
    low, high = balanced_interval(hits, images)
    assert 0 <= low <= sum(hit / n for hit, n in classes) / len(classes) + 1e-12 <= high + 2e-12 <= 1 + 2e-12
    more = balanced_interval([10 * hit for hit in hits], [10 * n for n in images])
    assert more[1] - more[0] < high - low
    assert balanced_interval((*hits, 0), (*images, 0)) == (low, high), "a class without images is left out"
    assert effective_images([7] * len(images)) == pytest.approx(7 * len(images))
    assert effective_images(images) <= sum(images) * (1 + 1e-12)


@pytest.mark.parametrize("chances", [(0.95, 0.8, 0.5), (0.99, 0.97, 0.9), (0.6, 0.5, 0.2)])
def test_19_of_20_intervals_hold_the_true_balanced_accuracy(chances):
    images, rng, truth = (50, 50, 4), np.random.default_rng(0), np.mean(chances)
    drawn = rng.binomial(images, chances, size=(2000, 3)).tolist()
    found = [balanced_interval(hits, images) for hits in drawn]
    assert np.mean([low <= truth <= high for low, high in found]) > 0.93


def test_all_diverged():
    verdict = verdict_of(trained(None, None), trained(None, None))
    assert (verdict.status, verdict.answer) == ("bad", "2 networks diverged when trained from scratch")


def test_untrained_networks_are_ranked_by_one_shot_accuracy_only():
    verdict = verdict_of()
    assert (verdict.status, verdict.answer) == ("open", "2 networks, not trained from scratch yet")
    assert "111 (95.0 %, 3.00 M multiply-adds)" in said(verdict)


def test_an_empty_front_says_what_to_do():
    verdict = networks_verdict((), {}, 10)
    assert verdict.status == "bad"
    assert "Widen the bounds" in said(verdict)


def test_where_classes_differ_a_result_has_both_accuracies():
    tested = (("cats", 100), ("dogs", 50))
    result = trained(0.9, score(0.8, 150, (95, 25), (100, 50), 0.725))
    assert "; balanced accuracy 72.5\u00a0%" in shown(result, tested)
    assert "balanced" not in shown(result, (("cats", 80), ("dogs", 70)))
    assert "balanced" not in shown(result, ())
    assert "; top-1 80.0\u00a0%" in shown(result, tested, "balanced_accuracy")


def shown(result: TrainingResult, tested, measure: str = "top1") -> str:
    """The cell of a network's test accuracy in the table of a run with such test images."""
    inputs = SimpleNamespace(config=SimpleNamespace(measure=measure), data=SimpleNamespace(tested=tested))
    return str(verdict_section._tested(inputs, result))  # pyright: ignore[reportArgumentType]
