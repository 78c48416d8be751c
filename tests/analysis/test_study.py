"""The accuracy gap and the ranking study."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from fairnas.analysis import (
    StudiedModel,
    accuracy_gap,
    best_agreement,
    paired_difference,
    rank_agreement,
    study_ranking,
)
from fairnas.analysis import study as study_module
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
        costs = 1000 + k * 7 % 13, 500 - k * 5 % 11, 5 + k * 4 % 7
        made.append(StudiedModel((k // 10, k % 10), 0.5 + 0.02 * k, tuple(wobble), *costs))
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
        "depth": rank_agreement([m.depth for m in models()], truth),
    }
    assert study.best == best_agreement([m.one_shot for m in models()], truth, counts=(1, 3, 5, 10))
    for name in study.predictors:
        values = [getattr(m, name) for m in models()]
        assert study.differences[name] == paired_difference([m.one_shot for m in models()], values, truth)
    assert study.gap == accuracy_gap([m.one_shot for m in models()], truth)
    assert (study.models, study.diverged) == (tuple(models()), 0)
    assert all("alone order these networks" not in sentence for sentence in study.advice)
    plain = json.loads(json.dumps(study.to_dict(), allow_nan=False))  # is what ranking.json holds
    assert plain["models"][4]["mean"] == models()[4].mean
    assert plain["best"]["regret"] == {"1": 0, "3": 0, "5": 0, "10": 0}


def test_truth_is_the_mean_over_the_seeds() -> None:
    model = StudiedModel((0,), 0.5, (0.6, 0.7, 0.8), 1, 1)
    assert model.mean == pytest.approx(0.7)
    assert dataclasses.replace(model, stand_alone=(0.6, None)).mean is None
    assert dataclasses.replace(model, stand_alone=()).mean is None
    few = [StudiedModel((k,), k / 10, (pair[0], pair[1]), k, k) for k, pair in enumerate(((0, 9), (2, 8), (5, 6)))]
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
    bad = StudiedModel((33,), 0.5, (None, None), 1, 1)
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
    wanted = math.ceil(13 * ((high - low) / 0.2) ** 2)
    assert (
        f"With 13 networks tau is known only to lie between {low:.2f} and {high:.2f}; about {wanted} would tell it "
        "to 0.1." in study.advice
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


def test_models_of_one_size_have_no_trivial_predictor_which_json_holds_as_null() -> None:
    rows = [dataclasses.replace(model, madds=5) for model in models()]
    study = study_ranking(rows)
    assert math.isnan(study.predictors["madds"].tau)
    assert math.isnan(study.differences["madds"].difference)
    plain = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert plain["predictors"]["madds"] == {"tau": None, "interval": [None, None], "n": 13, "p_value": None} | {
        "spearman": None
    }
    assert plain["predictors"]["params"]["tau"] == study.predictors["params"].tau


def test_the_ceiling_is_over_all_pairs_of_seeds() -> None:
    rng = np.random.default_rng(1)
    rows = [dataclasses.replace(m, stand_alone=tuple(0.01 * k + 0.05 * rng.random(4))) for k, m in enumerate(models())]
    ceiling = study_ranking(rows).ceiling
    columns = list(zip(*(m.stand_alone for m in rows), strict=True))
    taus = [rank_agreement(a, b).tau for a, b in itertools.combinations(columns, 2)]
    assert (ceiling.n, ceiling.seeds, ceiling.pairs) == (13, 4, 6)
    assert ceiling.tau == pytest.approx(np.mean(taus))
    low, high = ceiling.interval
    assert low < ceiling.tau < high
    single = rank_agreement(columns[0], columns[1]).interval
    assert high - low < single[1] - single[0]  # six pairs know more than one
    two = study_ranking([dataclasses.replace(m, stand_alone=m.stand_alone[:2]) for m in rows]).ceiling
    assert (two.tau, two.interval) == (taus[0], single)


@pytest.mark.slow
def test_the_interval_of_the_ceiling_is_that_of_the_mean_for_many_networks_too(monkeypatch) -> None:
    """Two seeds that agree well come first, a third agrees with neither."""
    rng = np.random.default_rng(3)
    rows = [
        dataclasses.replace(m, stand_alone=(0.01 * k, 0.01 * k + 0.02 * rng.random(), rng.random()))
        for k, m in enumerate(models(60))
    ]
    few = study_ranking(rows).ceiling
    monkeypatch.setattr(study_module, "PAIRWISE_LIMIT", 50)
    many = study_ranking(rows).ceiling
    assert many.tau == few.tau
    assert many.interval == pytest.approx(few.interval, abs=0.03)
    assert many.interval[0] < many.tau < many.interval[1] < rank_agreement(*_first_two(rows)).interval[0]


def test_a_ceiling_without_tau_has_no_interval() -> None:
    rows = [dataclasses.replace(m, stand_alone=(0.01 * k, -0.01 * k * (k % 3), 0.5)) for k, m in enumerate(models())]
    ceiling = study_ranking(rows).ceiling
    assert math.isnan(ceiling.tau)
    assert all(math.isnan(end) for end in ceiling.interval)
    whole = study_ranking(models(seeds=3)).ceiling
    assert (whole.tau, whole.interval) == (pytest.approx(1), rank_agreement(*_first_two(models(seeds=3))).interval)


def _first_two(rows):
    first, second, *_ = zip(*(m.stand_alone for m in rows), strict=True)
    return first, second


def test_what_is_reachable_with_the_mean_over_seeds_is_as_simulated() -> None:
    """True accuracies and the noise of a seed are both normal; reliability 0.8, mean of two seeds."""
    rng = np.random.default_rng(2)
    n = 3000
    truth = rng.normal(size=n)
    seeds = truth + 0.5 * rng.normal(size=(2, n))
    expected = kendalltau(truth, seeds.mean(0)).statistic
    tau = kendalltau(*seeds).statistic
    assert study_module._reachable(tau, 2) == pytest.approx(expected, abs=0.02)
    assert study_module._reachable(-0.1, 2) is None
    assert study_module._reachable(1.0, 3) == pytest.approx(1)


def test_other_scores_of_the_same_networks_are_compared_in_pairs() -> None:
    rows = models()
    spoiled = [*rows[:3], dataclasses.replace(rows[3], stand_alone=(None, 0.9)), *rows[4:]]
    theirs = [0.01 * (k * 5 % 13) for k in range(13)]
    found = study_ranking(spoiled, statistics={"batch": [m.one_shot for m in rows]}, against=("uniform", theirs))
    kept = [number for number in range(13) if number != 3]
    truth, ours, other = (
        [each[k] for k in kept] for each in ([m.mean for m in rows], [m.one_shot for m in rows], theirs)
    )
    assert found.against.scores == tuple(theirs)
    assert found.against.tau == rank_agreement(other, truth)
    assert found.against.gap == accuracy_gap(other, truth)
    assert found.against.difference == paired_difference(ours, other, truth)
    assert found.against.difference.certain
    (batch,) = found.statistics
    assert (batch.name, batch.tau, batch.difference.difference) == ("batch", found.tau, 0)
    assert not any("uniform" in sentence for sentence in found.advice)
    alike = study_ranking(rows, against=("uniform", [m.one_shot for m in rows])).advice
    assert (
        "With 13 networks, this supernet and that of uniform cannot be told apart (difference of tau "
        "0.00 [0.00, 0.00]); no number of networks is known to." in alike
    )


def test_a_predictor_that_cannot_be_told_from_the_supernet_is_said_with_the_number_that_could() -> None:
    rows = [
        dataclasses.replace(m, one_shot=0.01 * (k + 3 * (k % 3)), madds=k + 4 * (k % 3)) for k, m in enumerate(models())
    ]
    found = study_ranking(rows)
    difference = found.differences["madds"]
    low, high = difference.interval
    assert low <= 0 < difference.difference
    assert difference.models_needed > 13
    assert (
        "With 13 networks, the supernet and multiply-adds cannot be told apart (difference of tau "
        f"{difference.difference:.2f} [{low:.2f}, {high:.2f}]); about {difference.models_needed:,} would."
    ) in found.advice


def test_a_predictor_that_orders_the_other_way_round_is_used_that_way() -> None:
    rows = [dataclasses.replace(m, one_shot=0.01 * (k + 3 * (k % 3)), madds=-k) for k, m in enumerate(models())]
    upside_down = study_ranking(rows)
    upright = study_ranking([dataclasses.replace(row, madds=-row.madds) for row in rows])
    assert upside_down.predictors["madds"].tau == -upright.predictors["madds"].tau == pytest.approx(-1)
    assert upside_down.differences["madds"] == upright.differences["madds"]
    assert "Multiply-adds alone, the fewest first, order these networks as well (tau = -1.00)." in upside_down.advice
