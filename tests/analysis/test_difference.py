"""Two predictors of the same models compared."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from fairnas.analysis import difference, paired_difference
from fairnas.analysis.difference import models_for_width
from fairnas.errors import FairnasError

TRIPLES = st.integers(3, 9).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 6), min_size=n, max_size=n)] * 3))


def normal(n: int, *noises: float, seed: int = 0) -> list[np.ndarray]:
    """True values, and predictors with so much noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return [*(truth + noise * rng.normal(size=n) for noise in noises), truth]


@given(TRIPLES)
@settings(max_examples=25)
def test_it_is_the_difference_of_scipys_taus_and_turns_with_its_predictors(lists) -> None:
    first, second, truth = lists
    found = paired_difference(first, second, truth)
    assert found.n == len(truth)
    if any(len(set(values)) == 1 for values in lists):
        assert math.isnan(found.difference)
        assert all(map(math.isnan, found.interval))
        assert found.models_needed is None
        return
    taus = [kendalltau(values, truth).statistic for values in (first, second)]
    assert found.difference == pytest.approx(taus[0] - taus[1], abs=1e-12)
    turned = paired_difference(second, first, truth)
    assert turned.difference == pytest.approx(-found.difference, abs=1e-12)
    assert turned.models_needed == pytest.approx(found.models_needed, abs=1) or found.n < 10
    low, high = found.interval
    assert -2 <= low <= high <= 2


@given(TRIPLES)
@settings(max_examples=15)
def test_only_orders_count_and_a_predictor_does_not_differ_from_itself(lists) -> None:
    first, second, truth = lists
    assume(all(len(set(values)) > 1 for values in lists))
    found = paired_difference(first, second, truth)
    assert paired_difference([value**3 for value in first], [5 * v - 90 for v in second], truth) == found
    itself = paired_difference(first, [math.exp(value) for value in first], truth)
    assert (itself.difference, itself.interval, itself.models_needed, itself.certain) == (0, (0, 0), None, False)


def test_pairing_makes_the_interval_narrower() -> None:
    rng = np.random.default_rng(3)
    shared, truth = rng.normal(size=(2, 60))
    first, second = (truth + shared + 0.2 * rng.normal(size=60) for _ in range(2))
    paired = paired_difference(first, second, truth)
    other = paired_difference(first, truth + rng.permutation(shared), truth)  # its errors are its own
    assert np.ptp(paired.interval) < 0.7 * np.ptp(other.interval)


def test_so_many_models_are_needed_as_an_interval_that_shrinks_by_the_root_says() -> None:
    second, first, truth = normal(40, 0.8, 1.0)
    found = paired_difference(first, second, truth)
    low, _ = found.interval
    assert low < 0 < found.difference
    assert not found.certain
    scaled = (found.difference - low) * math.sqrt(40 / found.models_needed)
    assert scaled < found.difference
    assert (found.difference - low) * math.sqrt(40 / (found.models_needed - 1)) >= found.difference
    clear = paired_difference(*normal(40, 0.1, 3.0))
    assert clear.certain
    assert clear.models_needed <= 40


@pytest.mark.slow
def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    """The predictors' correlations with the truth are known, so their taus are (2/pi arcsin)."""
    noises = (0.5, 1.2)
    taus = [2 / math.pi * math.asin(1 / math.sqrt(1 + noise**2)) for noise in noises]
    found = [paired_difference(*normal(25, *noises, seed=seed)) for seed in range(80)]
    hits = sum(each.interval[0] <= taus[0] - taus[1] <= each.interval[1] for each in found)
    assert hits >= 0.86 * 80


@pytest.mark.slow
def test_many_models_take_another_road_to_the_same_place(monkeypatch) -> None:
    lists = normal(60, 0.5, 1.0)
    found = paired_difference(*lists)
    monkeypatch.setattr(difference, "PAIRWISE_LIMIT", 50)
    other = paired_difference(*lists)
    assert other.difference == pytest.approx(found.difference)
    assert other.interval == pytest.approx(found.interval, abs=0.04)


def test_a_narrower_interval_takes_more_models_by_the_square() -> None:
    assert models_for_width((0.2, 0.6), 13) == 52
    assert models_for_width((0.5, 0.5), 13) == 3


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        (([1, 2, 3], [1, 2], [1, 2, 3]), r"second has shape \(2,\) and truth \(3,\)"),
        (([1, 2], [1, 2], [1, 2]), "3 or more"),
        (([1, 2, math.nan], [1, 2, 3], [1, 2, 3]), "NaN"),
    ],
)
def test_wrong_lists_are_refused(lists, says) -> None:
    with pytest.raises(FairnasError, match=says):
        paired_difference(*lists)
