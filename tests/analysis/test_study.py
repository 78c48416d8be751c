"""The accuracy gap and the ranking study."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.analysis import StudiedModel, accuracy_gap, rank_agreement, study_ranking
from fairnas.errors import FairnasError


def test_gap_of_one_shot_as_in_section_4_5() -> None:
    gap = accuracy_gap([0.3, 0.55, 0.9], [0.92, 0.93, 0.945])
    assert (gap.one_shot, gap.stand_alone, gap.n) == ((0.3, 0.9), (0.92, 0.945), 3)
    assert gap.gap == pytest.approx(0.575)


def test_gap_of_fairnas_as_in_section_4_5() -> None:
    assert accuracy_gap([0.666, 0.696], [0.692, 0.715]).gap == pytest.approx(0.007)
    assert accuracy_gap([0.641, 0.66, 0.700], [0.692, 0.7, 0.715]).gap == pytest.approx(0.036)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_gap_compares_widths_only(pairs) -> None:
    one_shot, stand_alone = (list(column) for column in zip(*pairs, strict=True))
    gap = accuracy_gap(one_shot, stand_alone)
    assert 0 <= gap.gap <= 1
    assert gap.gap == accuracy_gap(stand_alone, one_shot).gap
    assert accuracy_gap(one_shot, one_shot).gap == 0
    assert gap.n == len(pairs)
    assert all(gap.one_shot[0] <= value <= gap.one_shot[1] for value in one_shot)


def models(count: int = 13, seeds: int = 2, noise: float = 0.0) -> list[StudiedModel]:
    """Networks that their one-shot accuracies order well, and their costs do not."""
    made = []
    for k in range(count):
        truth = 0.6 + 0.01 * k
        wobble = [truth + noise * (-1) ** (k + seed) * seed for seed in range(seeds)]
        made.append(StudiedModel(f"{k:02}", 0.5 + 0.02 * k, tuple(wobble), 1000 + k * 7 % 13, 500 - k * 5 % 11))
    return made


def test_a_study_of_good_models() -> None:
    study = study_ranking(models())
    assert study.tau == rank_agreement([m.one_shot for m in models()], [m.stand_alone[0] for m in models()])
    assert study.tau.tau == pytest.approx(1)
    assert study.ceiling is not None
    assert study.ceiling.tau == pytest.approx(1)
    truth = [model.mean or 0 for model in models()]
    assert study.predictors == {
        "madds": rank_agreement([m.madds for m in models()], truth),
        "params": rank_agreement([m.params for m in models()], truth),
    }
    assert study.gap == accuracy_gap([m.one_shot for m in models()], truth)
    assert (study.models, study.diverged) == (tuple(models()), 0)
    assert all("alone order these networks" not in sentence for sentence in study.advice)
    json.dumps(dataclasses.asdict(study))  # is what ranking.json holds


def test_truth_is_the_mean_over_the_seeds() -> None:
    model = StudiedModel("0", 0.5, (0.6, 0.7, 0.8), 1, 1)
    assert model.mean == pytest.approx(0.7)
    assert dataclasses.replace(model, stand_alone=(0.6, None)).mean is None
    assert dataclasses.replace(model, stand_alone=()).mean is None
    few = [StudiedModel(str(k), k / 10, (pair[0], pair[1]), k, k) for k, pair in enumerate(((0, 9), (2, 8), (5, 6)))]
    assert study_ranking(few).tau.tau == pytest.approx(1)  # means 4.5, 5, 5.5; the second seed alone says -1


def test_diverged_models_are_left_out_everywhere_and_said() -> None:
    rows = models()
    spoiled = dataclasses.replace(rows[3], stand_alone=(0.9, None), one_shot=0.0)
    study = study_ranking([*rows[:3], spoiled, *rows[4:]])
    kept = study_ranking([*rows[:3], *rows[4:]])
    assert (study.tau, study.ceiling, study.predictors, study.gap) == (
        kept.tau,
        kept.ceiling,
        kept.predictors,
        kept.gap,
    )
    assert study.tau.n == 12
    assert study.diverged == 1
    assert study.models[3] == spoiled
    assert study.advice[-1] == "1 network was left out because a training diverged."
    two = study_ranking([spoiled, spoiled, *rows])
    assert two.advice[-1] == "2 networks were left out because a training diverged."


def test_too_few_models_without_divergence() -> None:
    bad = StudiedModel("x", 0.5, (None, None), 1, 1)
    with pytest.raises(FairnasError, match=r"^2 of 13 networks trained without diverging; a ranking needs 3$"):
        study_ranking([*models(2), *[bad] * 11])


def test_one_seed_leaves_the_ceiling_unknown() -> None:
    study = study_ranking(models(seeds=1))
    assert study.ceiling is None
    assert "Each network was trained once, so the noise ceiling is unknown: train with 2 seeds or more." in study.advice


def test_a_low_ceiling_is_said() -> None:
    study = study_ranking(models(noise=0.06))
    assert study.ceiling is not None
    assert study.ceiling.tau < 0.6
    expected = f"Two trainings of the same networks agree only to tau = {study.ceiling.tau:.2f}: their accuracies"
    assert any(sentence.startswith(expected) for sentence in study.advice)


def test_a_trivial_predictor_that_does_as_well_is_said() -> None:
    rows = [dataclasses.replace(model, madds=1000 * k) for k, model in enumerate(models())]
    advice = study_ranking(rows).advice
    assert "Multiply-adds alone order these networks as well (tau = 1.00)." in advice
    assert not any(sentence.startswith("Parameters alone") for sentence in advice)


def test_a_wide_interval_asks_for_more_networks() -> None:
    rows = [dataclasses.replace(m, one_shot=0.01 * (k * 5 % 13)) for k, m in enumerate(models())]
    study = study_ranking(rows)
    low, high = study.tau.interval
    assert high - low > 0.4
    assert (
        f"With 13 networks tau is known only to lie between {low:.2f} and {high:.2f}; more networks tell more."
        in study.advice
    )
    assert study_ranking(models(60)).advice == ()


def test_equal_accuracies_have_no_order_which_is_said() -> None:
    rows = [dataclasses.replace(model, one_shot=0.1) for model in models()]
    study = study_ranking(rows)
    assert math.isnan(study.tau.tau)
    assert study.advice[0].startswith("All one-shot or all stand-alone accuracies are equal")
    flat = [dataclasses.replace(model, stand_alone=(0.1, 0.1)) for model in models()]
    study = study_ranking(flat)
    assert study.ceiling is not None
    assert math.isnan(study.ceiling.tau)
    assert len(study.advice) == 2


def test_models_of_one_size_have_no_trivial_predictor() -> None:
    rows = [dataclasses.replace(model, madds=5) for model in models()]
    assert math.isnan(study_ranking(rows).predictors["madds"].tau)
