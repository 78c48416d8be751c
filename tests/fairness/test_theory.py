"""Lemma 1, equations 1 and 2, footnote 2 and Table 1."""

import collections
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.errors import FairnasError
from fairnas.fairness import equal_count_probability
from fairnas.fairness.theory import (
    TABLE_1,
    choices_per_step,
    equal_count_asymptote,
    uniform_mean,
    uniform_variance,
)

MULTIPLES = st.tuples(st.integers(1, 64), st.integers(0, 10**7)).map(lambda pair: (pair[0], pair[0] * pair[1]))


def exact(m: int, n: int) -> Fraction:
    if n % m:
        return Fraction(0)
    return Fraction(math.factorial(n), math.factorial(n // m) ** m * m**n)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6, 9, 20, 36])
def test_lemma_1_in_whole_numbers(m: int) -> None:
    """Both sides of the change of method, at 32 trainings per block, and far from it."""
    for per_block in (*range(0, 8), 30, 31, 32, 33, 60):
        n = m * per_block
        assert equal_count_probability(m, n) == pytest.approx(float(exact(m, n)), rel=2e-12), (m, n)


def test_lemma_1_by_counting_all_sequences() -> None:
    for m, n in ((2, 4), (2, 5), (3, 3), (3, 6), (4, 4)):
        sequences = list(itertools.product(range(m), repeat=n))
        even = sum(len(set(collections.Counter(s).values())) == 1 and len(set(s)) == m for s in sequences)
        assert equal_count_probability(m, n) == pytest.approx(even / len(sequences), rel=1e-13)


@pytest.mark.parametrize(
    ("m", "n", "value"),
    [
        (2, 2, "0.5"),
        (2, 4, "0.375"),
        (2, 10, "0.2461"),
        (2, 14, "0.2095"),
        (2, 16, "0.1964"),
        (2, 20, "0.1762"),
        (3, 3, "0.2222"),
        (6, 6, "0.01543"),
        (6, 60, "7.456e-05"),
        (6, 600, "2.463e-07"),
        (6, 600_000, "7.83e-15"),
        (6, 6_000_000, "2.475e-17"),
    ],
)
def test_published_and_checked_values(m: int, n: int, value: str) -> None:
    assert f"{equal_count_probability(m, n):.{len(value.split('e')[0].replace('.', '').lstrip('0'))}g}" == value


def test_the_papers_bound_from_20_on() -> None:
    assert all(equal_count_probability(2, n) < 0.2 for n in range(16, 200))
    assert equal_count_probability(2, 14) > 0.2


@given(st.integers(2, 64), st.integers(0, 10**9))
def test_zero_where_m_does_not_divide_n(m: int, n: int) -> None:
    probability = equal_count_probability(m, n)
    assert (probability == 0) == (n % m != 0)
    assert 0 <= probability <= 1


@given(MULTIPLES)
def test_more_trainings_make_equality_less_likely(pair) -> None:
    m, n = pair
    now, later = equal_count_probability(m, n), equal_count_probability(m, n + m)
    assert later <= now * (1 + 1e-11)
    if m > 1 and n < 10**6:
        # f(m, n + m) / f(m, n) = (n + 1) ... (n + m) / (n + m)^m
        ratio = math.fsum(math.log((n + i) / (n + m)) for i in range(1, m + 1))
        assert math.log(later / now) == pytest.approx(ratio, abs=1e-10)
        assert later < now


@given(st.integers(2, 64), st.integers(10**5, 10**8))
def test_huge_counts_are_finite_and_tend_to_the_asymptote(m: int, per_block: int) -> None:
    n = m * per_block
    ratio = equal_count_probability(m, n) / equal_count_asymptote(m, n)
    assert 0 < equal_count_probability(m, n) < 1
    assert ratio - 1 == pytest.approx((1 - m * m) / (12 * n), rel=0.05, abs=1e-12)


def test_the_largest_case_of_all() -> None:
    assert 0 < equal_count_probability(64, 64 * 10**9) < 1e-250
    assert equal_count_probability(36, 36 * 10**9) > 0


@pytest.mark.parametrize(("m", "n", "ratio"), [(2, 20, 0.98758), (6, 60, 0.9526), (6, 600, 0.99515)])
def test_how_fast_the_asymptote_is_reached(m: int, n: int, ratio: float) -> None:
    assert equal_count_probability(m, n) / equal_count_asymptote(m, n) == pytest.approx(ratio, rel=5e-5)


def test_lemma_1_by_simulation() -> None:
    counts = np.random.default_rng(0).multinomial(12, [1 / 6] * 6, size=200_000)
    found = (counts == 2).all(axis=1).mean()
    expected = equal_count_probability(6, 12)
    assert expected == pytest.approx(0.003438, abs=5e-7)
    assert abs(found - expected) < 4 * math.sqrt(expected / 200_000)


@pytest.mark.parametrize(("m", "n"), [(0, 6), (-1, 6), (6, -6)])
def test_impossible_numbers(m: int, n: int) -> None:
    with pytest.raises(FairnasError, match=f"^m = {m}, n = {n}; give m of 1 or more and n of 0 or more$"):
        equal_count_probability(m, n)


@given(st.integers(1, 9), st.integers(0, 40))
def test_equation_1_is_the_binomial_distribution(m: int, n: int) -> None:
    share = Fraction(1, m)
    weights = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    mean = sum(k * w for k, w in enumerate(weights))
    variance = sum((k - mean) ** 2 * w for k, w in enumerate(weights))
    assert sum(weights) == 1
    assert uniform_mean(m, n) == pytest.approx(float(mean), rel=1e-12)
    assert uniform_variance(m, n) == pytest.approx(float(variance), rel=1e-12)


def test_footnote_2() -> None:
    assert choices_per_step(6, 19) == 720**18
    assert choices_per_step(6, 16) == 720**15
    assert choices_per_step(6, 1) == 1


@pytest.mark.parametrize(("m", "layers"), [(2, 1), (2, 3), (3, 2), (3, 3), (4, 2)])
def test_footnote_2_by_counting_all_steps(m: int, layers: int) -> None:
    orders = list(itertools.permutations(range(m)))
    steps = {frozenset(zip(*permutations, strict=True)) for permutations in itertools.product(orders, repeat=layers)}
    assert choices_per_step(m, layers) == len(steps)


def test_table_1_has_one_method_that_is_strictly_fair() -> None:
    assert [row.method for row in TABLE_1 if row.strict_fair] == ["FairNAS"]
    assert {row.method for row in TABLE_1 if row.expectation_fair} == {
        *("FairNAS", "Single Path One-Shot", "Single-Path NAS")
    }
    assert len({row.method for row in TABLE_1}) == len(TABLE_1) == 8
    assert {row.memory for row in TABLE_1} == {"SP", "TP", "SN"}
    costs = {row.method: (row.train_gpu_days, row.search_gpu_days) for row in TABLE_1}
    assert costs["FairNAS"] == (10, 2)
