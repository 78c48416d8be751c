"""The fitted sum of loss and depth: judged on networks it has not seen, and on nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.analysis import fitted_correction, paired_difference, rank_agreement, study_ranking
from fairnas.analysis.correction import FEWEST_MODELS, PENALTY, left_out_order
from fairnas.analysis.ranking import kendall_tau
from fairnas.analysis.study import StudiedModel
from fairnas.errors import FairnasError


def networks(n: int, seed: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loss, depth, one-shot accuracy and truth; deeper networks are better than their loss says."""
    rng = np.random.default_rng(seed)
    quality, depth = rng.normal(size=n), rng.integers(3, 9, n).astype(float)
    loss = 2 - 0.3 * quality + 0.02 * rng.normal(size=n)
    truth = 0.7 + 0.02 * quality + 0.012 * depth + noise * 0.01 * rng.normal(size=n)
    return loss, depth, np.exp(-loss), truth


@given(st.integers(6, 14), st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=30)
def test_each_pair_is_ordered_by_a_fit_that_has_not_seen_it(n, seed, count):
    rng = np.random.default_rng(seed)
    parts, y = rng.normal(size=(n, count)), rng.normal(size=n)
    order = left_out_order(parts, y)
    assert (order == -order.T).all()
    for i in range(n):
        for j in range(i):
            rest = [k for k in range(n) if k not in (i, j)]
            x, target = parts[rest] - parts[rest].mean(0), y[rest] - y[rest].mean()
            weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(count), x.T @ target)
            lead = float((parts[i] - parts[j]) @ weights)
            if abs(lead) > 1e-9:
                assert order[i, j] == np.sign(lead)


@pytest.mark.slow
def test_where_there_is_nothing_to_know_it_finds_nothing():
    """Leaving out one at a time would find a tau below zero here: a good network leaves a worse mean behind."""
    found, one_at_a_time = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        loss, depth, truth = rng.normal(size=(3, 13))
        correction = fitted_correction(loss, ("depth", depth), -loss, truth)
        found.append(correction.tau)
        guesses = []
        for k in range(13):
            rest = np.arange(13) != k
            x = np.column_stack([loss, depth])[rest]
            mean = x.mean(0)
            weights = np.linalg.solve((x - mean).T @ (x - mean) + np.eye(2), (x - mean).T @ truth[rest])
            guesses.append(truth[rest].mean() + (np.array([loss[k], depth[k]]) - mean) @ weights)
        one_at_a_time.append(rank_agreement(guesses, truth).tau)
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error < 0.08
    assert np.mean(one_at_a_time) < -0.1


def test_it_orders_better_than_either_part():
    loss, depth, one_shot, truth = networks(40, 1)
    correction = fitted_correction(loss, ("depth", depth), one_shot, truth)
    by_loss, by_depth = rank_agreement(-loss, truth).tau, rank_agreement(depth, truth).tau
    assert correction.tau > max(by_loss, by_depth) + 0.1
    low, high = correction.interval
    assert low < correction.tau < high
    assert correction.difference.difference == pytest.approx(rank_agreement(one_shot, truth).tau - correction.tau)
    assert correction.difference.certain
    predicted = correction.intercept + correction.weights["loss"] * loss + correction.weights["depth"] * depth
    assert np.mean(predicted) == pytest.approx(np.mean(truth))
    assert np.corrcoef(predicted, truth)[0, 1] > 0.95
    assert correction.weights["loss"] < 0 < correction.weights["depth"]


@pytest.mark.slow
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 1000))
@settings(max_examples=20)
def test_units_do_not_matter(first, second, seed):
    loss, depth, one_shot, truth = networks(12, seed)
    plain = fitted_correction(loss, ("depth", depth), one_shot, truth)
    scaled = fitted_correction(loss * first, ("depth", 7 + depth * second), one_shot, truth)
    assert scaled.tau == pytest.approx(plain.tau)
    assert scaled.weights["loss"] * first == pytest.approx(plain.weights["loss"])


def test_a_perfect_order_of_a_few_networks_is_not_certain():
    """No resample of it is anything but perfect; `rank_agreement` is as careful."""
    for seed in range(40):
        _, depth, one_shot, truth = networks(8, seed, noise=0)
        correction = fitted_correction(-truth, ("depth", depth), one_shot, truth)
        if correction.tau == pytest.approx(1):
            break
    low, high = correction.interval
    assert (low < 0.95, high) == (True, pytest.approx(1))
    assert correction.difference.interval[0] < correction.difference.difference < correction.difference.interval[1]
    assert correction.difference.difference == pytest.approx(kendall_tau(one_shot, truth) - 1)
    perfect = fitted_correction(-truth, ("depth", depth), truth, truth).difference
    assert (perfect.difference, perfect.interval) == (0, (0, 0))


def test_what_cannot_be_fitted_is_not():
    loss, depth, one_shot, truth = networks(FEWEST_MODELS, 0)
    assert fitted_correction(loss, ("depth", depth), one_shot, truth)
    assert fitted_correction(loss[1:], ("depth", depth[1:]), one_shot[1:], truth[1:]) is None
    ones = np.ones(FEWEST_MODELS)
    assert fitted_correction(loss, ("depth", depth), one_shot, ones) is None
    assert fitted_correction(ones, ("depth", ones), one_shot, truth) is None
    assert (
        fitted_correction(
            *(np.tile(each, 200) for each in (loss,)),
            ("d", np.tile(depth, 200)),
            *(np.tile(each, 200) for each in (one_shot, truth)),
        )
        is None
    )
    flat = fitted_correction(loss, ("depth", depth), ones, truth)
    assert math.isnan(flat.difference.difference)
    with pytest.raises(FairnasError, match="NaN or infinite"):
        fitted_correction([math.nan, *loss[1:]], ("depth", depth), one_shot, truth)


def studied(loss, depth, one_shot, truth) -> list[StudiedModel]:
    return [
        StudiedModel((k,), float(o), (float(t),), 100 + k % 5, 10, int(d), float(x))
        for k, (x, d, o, t) in enumerate(zip(loss, depth, one_shot, truth, strict=True))
    ]


def test_the_study_has_both_orders_and_says_when_the_sum_is_better():
    lists = networks(40, 1)
    loss, depth, one_shot, truth = lists
    study = study_ranking(studied(*lists))
    assert study.by_loss.tau == rank_agreement(-loss, truth)
    assert study.by_loss.difference == paired_difference(one_shot, -loss, truth)
    assert study.corrected == fitted_correction(loss, ("depth", depth), one_shot, truth)
    said = [text for text in study.advice if text.startswith("One-shot cross-entropy and layers that are no skips")]
    assert len(said) == 1
    by_loss_alone = study_ranking(studied(-truth, depth, one_shot, truth))
    assert not [text for text in by_loss_alone.advice if text.startswith("One-shot cross-entropy and")]
    one_depth = study_ranking(studied(loss, np.full(40, 8), one_shot, truth))
    assert set(one_depth.corrected.weights) == {"loss", "madds"}
    assert (study.corrected.cost, one_depth.corrected.cost) == ("depth", "madds")
    assert (study.sum_is_better, by_loss_alone.sum_is_better) == (True, False)
    foreseen = [study.corrected.predicted(x, d) for x, d in zip(loss, depth, strict=True)]
    assert np.mean(foreseen) == pytest.approx(np.mean(truth))  # least squares with an intercept
    assert kendall_tau(foreseen, truth) >= study.corrected.tau


@pytest.mark.parametrize("loss", [None, math.inf, math.nan])
def test_a_study_without_losses_has_neither(loss):
    rows = studied(*networks(20, 2))
    spoiled = [*rows[:-1], StudiedModel((33,), 0.1, (0.2,), 100, 10, 4, loss)]
    study = study_ranking(spoiled)
    assert (study.by_loss, study.corrected) == (None, None)
    assert study.to_dict()["corrected"] is None
    diverged = [*rows, StudiedModel((33,), 0.1, (None,), 100, 10, 4, loss)]
    assert study_ranking(diverged).corrected == study_ranking(rows).corrected
