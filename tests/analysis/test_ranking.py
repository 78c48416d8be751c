"""Kendall's tau and its interval."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairnas.analysis import RankAgreement, rank_agreement, ranking
from fairnas.analysis.resampling import Pairs, counts_of, signs_of
from fairnas.errors import FairnasError

THIRTEEN = [0.641, 0.652, 0.655, 0.66, 0.664, 0.67, 0.675, 0.68, 0.684, 0.69, 0.693, 0.697, 0.70]

TIED = st.integers(3, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.sampled_from((0.1, 0.2, 0.2, 0.5, 0.7, 0.9)), min_size=n, max_size=n)] * 2)
)


def with_discordant_pairs(count: int) -> list[float]:
    """The thirteen in another order: each exchange of neighbours in order makes one pair discordant."""
    order = list(range(13))
    for _ in range(count):
        place = next(place for place in range(12) if order[place] < order[place + 1])
        order[place], order[place + 1] = order[place + 1], order[place]
    return [THIRTEEN[i] for i in order]


def discordant(x, y) -> int:
    return sum((a - b) * (c - d) < 0 for (a, c), (b, d) in itertools.combinations(list(zip(x, y, strict=True)), 2))


@pytest.mark.parametrize(("pairs", "printed"), [(0, "1.0000"), (2, "0.9487"), (15, "0.6153"), (20, "0.4871")])
def test_the_papers_values_are_of_13_models_and_cut_not_rounded(pairs: int, printed: str) -> None:
    truth = with_discordant_pairs(pairs)
    assert discordant(THIRTEEN, truth) == pairs
    found = rank_agreement(THIRTEEN, truth)
    assert found.n == 13
    assert found.tau == pytest.approx(1 - 2 * pairs / 78, abs=1e-12)
    assert f"{math.floor(found.tau * 10_000 + 1e-6) / 10_000:.4f}" == printed
    low, high = found.interval
    assert -1 <= low < found.tau <= high + 1e-12 <= 1 + 1e-12


def tau_by_counting(x, y) -> float:
    """Tau-b by its definition, pair by pair."""
    signs = [(np.sign(a - b), np.sign(c - d)) for (a, c), (b, d) in itertools.combinations(zip(x, y, strict=True), 2)]
    untied = math.sqrt(sum(s != 0 for s, _ in signs) * sum(t != 0 for _, t in signs))
    return float(sum(s * t for s, t in signs)) / untied if untied else math.nan


@given(TIED)
@settings(max_examples=25)
def test_tau_is_tau_b_and_the_interval_holds_it(lists) -> None:
    x, y = lists
    found = rank_agreement(x, y)
    expected = tau_by_counting(x, y)
    if math.isnan(expected):
        assert math.isnan(found.tau)
        assert all(math.isnan(end) for end in (*found.interval, found.p_value, found.spearman))
        return
    assert found.tau == pytest.approx(expected, abs=1e-12)
    low, high = found.interval
    assert -1 <= low <= found.tau + 1e-12
    assert found.tau - 1e-12 <= high <= 1
    assert 0 <= found.p_value <= 1
    assert -1 - 1e-12 <= found.spearman <= 1 + 1e-12


@given(TIED, st.integers(1, 4))
def test_tau_of_many_resamples_is_scipys(lists, copies: int) -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    x, y = (np.array(values) for values in lists)
    rows = rng.integers(len(x), size=(copies, len(x)))
    found = Pairs(signs_of(x), signs_of(y)).tau(counts_of(rows, len(x)))
    assert found.shape == (copies,)
    for value, row in zip(found, rows, strict=True):
        if np.ptp(x[row]) == 0 or np.ptp(y[row]) == 0:
            assert value == 0
        else:
            assert value == pytest.approx(kendalltau(x[row], y[row]).statistic, abs=1e-12)


def test_how_often_each_model_was_drawn() -> None:
    assert counts_of(np.array([[0, 2, 2], [1, 1, 1]]), 4).tolist() == [[1, 0, 2, 0], [0, 3, 0, 0]]
    assert counts_of(np.arange(3), 3).tolist() == [1, 1, 1]


@given(TIED)
@settings(max_examples=10)
def test_only_the_order_counts_and_reversing_one_list_changes_the_sign(lists) -> None:
    x, y = lists
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    found = rank_agreement(x, y)
    assert rank_agreement([100 * value**3 for value in x], y) == found
    assert rank_agreement(x, y) == found
    turned = rank_agreement([-value for value in x], y)
    assert turned.tau == pytest.approx(-found.tau, abs=1e-12)
    assert turned.spearman == pytest.approx(-found.spearman, abs=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 13, 40])
def test_perfect_and_reversed_orders_do_not_claim_certainty(n: int) -> None:
    x = [0.5 + 0.01 * number for number in range(n)]
    same, reverse = rank_agreement(x, x), rank_agreement(x, x[::-1])
    assert (same.tau, reverse.tau) == pytest.approx((1, -1))
    assert same.interval[1] == 1
    assert reverse.interval[0] == -1
    assert -1 <= same.interval[0] < 1
    assert -1 < reverse.interval[1] <= 1
    if n < 5:
        assert same.interval == reverse.interval == (-1, 1)
    if n >= 13:
        assert same.interval[0] > 0.3
        assert reverse.interval[1] < -0.3
    assert same.p_value < 0.35


@pytest.mark.parametrize("values", [[1, 2, 2, 2, 3], [1, 1, 2, 2, 2], [0, 0, 0, 0, 1], [5, 5, 0, 1, 1, 5, 0, 5]])
def test_perfect_orders_with_ties_have_an_interval_too(values) -> None:
    found = rank_agreement(values, values)
    assert found.tau == pytest.approx(1)
    assert -1 <= found.interval[0] < 1 == found.interval[1]
    turned = rank_agreement(values, [-value for value in values])
    assert turned.tau == pytest.approx(-1)
    assert turned.interval[0] == -1 < turned.interval[1] <= 1


@pytest.mark.parametrize(("x", "y"), [([1, 0, 5, 5], [0, 0, 8, 5]), ([3, 5, 1, 6], [8, 3, 7, 4])])
def test_without_acceleration_the_interval_is_the_percentiles(x, y) -> None:
    """All taus with one model left out are equal here, so that BCa divides zero by zero."""
    taus = [
        tau_by_counting([x[i] for i in rows], [y[i] for i in rows]) for rows in itertools.product(range(4), repeat=4)
    ]
    expected = np.quantile(np.nan_to_num(taus), (0.025, 0.975))
    assert rank_agreement(x, y).interval == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.slow
def test_many_models_take_another_road_to_the_same_place(monkeypatch) -> None:
    monkeypatch.setattr(ranking, "PAIRWISE_LIMIT", 200)
    rng = np.random.default_rng(0)
    x = rng.normal(size=230)
    y = x + rng.normal(size=230)
    large, part = rank_agreement(x, y), rank_agreement(x[:100], y[:100])
    assert large.tau == pytest.approx(tau_by_counting(x, y), abs=1e-12)
    for found in (large, part):
        low, high = found.interval
        assert low < found.tau < high
        assert 0.08 < high - low < 0.3
    nearly_constant = np.zeros(230)
    nearly_constant[7] = 1  # a third of the resamples are constant
    assert not any(map(math.isnan, rank_agreement(nearly_constant, x).interval))


def test_the_interval_is_reproducible_and_its_seed_an_argument() -> None:
    truth = with_discordant_pairs(20)
    assert rank_agreement(THIRTEEN, truth) == rank_agreement(THIRTEEN, truth)
    other = rank_agreement(THIRTEEN, truth, seed=1)
    assert other.interval != rank_agreement(THIRTEEN, truth).interval
    assert other.interval == pytest.approx(rank_agreement(THIRTEEN, truth).interval, abs=0.1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Bivariate normal models with correlation r have tau = 2/pi arcsin r."""
    r, trials = 0.8, 60
    truth = 2 / math.pi * math.asin(r)
    hits, widths = 0, []
    for trial in range(trials):
        rng = np.random.default_rng([7, trial])
        x, noise = rng.normal(size=(2, 25))
        low, high = rank_agreement(x, r * x + math.sqrt(1 - r * r) * noise).interval
        hits += low <= truth <= high
        widths.append(high - low)
    assert hits / trials >= 0.87  # 0.95 less three standard errors
    assert np.mean(widths) < 0.5  # and not by being endless


def test_a_constant_list_has_no_order() -> None:
    for x, y in (([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [0.5] * 4), ([2] * 3, [2] * 3)):
        found = rank_agreement(x, y)
        assert isinstance(found, RankAgreement)
        assert found.n == len(x)
        assert all(math.isnan(v) for v in (found.tau, *found.interval, found.p_value, found.spearman))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], r"predicted has shape \(3,\) and truth \(2,\); give two lists of the same length"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], r"predicted has shape \(2, 2\) and truth \(2, 2\)"),
        ([1, 2], [1, 2], "2 models are too few for a ranking; give 3 or more"),
        ([], [], "0 models are too few for a ranking"),
        ([1, 2, math.nan], [1, 2, 3], "an accuracy is NaN or infinite; leave diverged models out, in both lists"),
        ([1, 2, 3], [1, math.inf, 3], "an accuracy is NaN or infinite"),
    ],
)
def test_lists_that_cannot_be_compared(x, y, message: str) -> None:
    with pytest.raises(FairnasError, match=f"^{message}"):
        rank_agreement(x, y)
