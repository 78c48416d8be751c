"""Agreement about the best models."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr

from fairnas.analysis import best_agreement
from fairnas.errors import FairnasError

ACCURACIES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=25)


@given(ACCURACIES, st.sampled_from((0.1, 0.3, 1.0)))
def test_against_scipy_and_by_hand(pairs: list[tuple[int, int]], share: float) -> None:
    predicted, truth = ([pair[side] / 7 for pair in pairs] for side in (0, 1))
    found = best_agreement(predicted, truth, share=share, counts=(1, 2, 50))
    last = sorted(truth, reverse=True)[max(3, math.ceil(share * len(truth))) - 1]
    best = [(x, y) for x, y in zip(predicted, truth, strict=True) if y >= last]
    assert found.best_n == len(best) >= 3
    assert found.n == len(pairs)
    if len(set(predicted)) > 1 and len(set(truth)) > 1:
        assert found.pearson == pytest.approx(pearsonr(predicted, truth).statistic)
    else:
        assert math.isnan(found.pearson)
    if all(len(set(side)) > 1 for side in zip(*best, strict=True)):
        assert found.best_tau == pytest.approx(kendalltau(*zip(*best, strict=True)).statistic)
    else:
        assert math.isnan(found.best_tau)
    assert set(found.regret) == {1, 2}
    for k, regret in found.regret.items():
        assert regret == pytest.approx(max(truth) - _worst_choice(predicted, truth, k))


def _worst_choice(predicted: list[float], truth: list[float], count: int) -> float:
    """The best of `count` models predicted best, for the worst way to break ties."""
    models = list(zip(predicted, truth, strict=True))
    ranked = sorted(predicted, reverse=True)[:count]
    choices = [some for some in itertools.combinations(models, count) if sorted((x for x, _ in some))[::-1] == ranked]
    return min(max(y for _, y in some) for some in choices)


def test_a_perfect_prediction_has_no_regret() -> None:
    truth = np.linspace(0.5, 0.9, 40).tolist()
    found = best_agreement(truth, truth)
    assert (found.pearson, found.best_tau, found.best_n) == (pytest.approx(1), pytest.approx(1), 4)
    assert found.regret == {1: 0, 10: 0}


def test_ties_never_flatter() -> None:
    assert best_agreement([1, 1, 1, 0], [0.3, 0.9, 0.5, 0.1], counts=(1, 2, 3)).regret == {
        1: pytest.approx(0.6),
        2: pytest.approx(0.4),
        3: 0,
    }


@pytest.mark.parametrize(
    ("predicted", "truth", "says"),
    [
        ([1, 2, 3], [1, 2], "same length"),
        ([1, 2], [1, 2], "3 or more"),
        ([1, math.nan, 3], [1, 2, 3], "NaN"),
        ([1, 2, 3], [1, 2, math.inf], "infinite"),
    ],
)
def test_wrong_lists_are_refused(predicted: list[float], truth: list[float], says: str) -> None:
    with pytest.raises(FairnasError, match=says):
        best_agreement(predicted, truth)
