"""Contrasts: when a difference between two ways of training may be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.analysis import contrast

accuracies = st.lists(st.integers(0, 300).map(lambda hits: hits / 300), min_size=2, max_size=8)


def test_the_interval_is_students_over_paired_differences():
    scipy_stats = pytest.importorskip("scipy.stats")
    ours, theirs = [0.90, 0.91, 0.935, 0.93], [0.80, 0.82, 0.84, 0.81]
    found = contrast(ours, theirs)
    expected = scipy_stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.difference == pytest.approx(0.10125)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert (found.n, found.overlap, found.certain) == (4, False, True)


def test_pairing_removes_what_seeds_have_in_common_but_overlap_still_forbids_a_winner():
    found = contrast([0.5, 0.7, 0.9], [0.49, 0.69, 0.89])
    low, high = found.interval
    assert low > 0.009
    assert high < 0.011
    assert found.overlap
    assert not found.certain


def test_without_overlap_a_wide_interval_forbids_a_winner():
    found = contrast([0.9, 0.99], [0.89, 0.1])
    assert not found.overlap
    assert found.interval[0] < 0 < found.interval[1]
    assert not found.certain


def test_one_seed_proves_nothing_and_a_diverged_one_counts_for_neither():
    single = contrast([0.9, None], [0.1, 0.2])
    assert (single.difference, single.interval, single.n, single.certain) == (0.8, None, 1, False)
    assert contrast([None], [0.2]) is None
    assert contrast([0.9, None, 0.8], [0.1, 0.9, 0.2]).difference == pytest.approx(0.7)


@given(accuracies, st.data())
def test_turning_two_ways_round_turns_the_sign_and_nothing_else(first, data):
    second = data.draw(st.lists(st.sampled_from(first), min_size=len(first), max_size=len(first)))
    one, other = contrast(first, second), contrast(second, first)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert (one.overlap, one.certain) == (other.overlap, other.certain)
    if one.certain:
        assert min(first) > max(second) or max(first) < min(second)
