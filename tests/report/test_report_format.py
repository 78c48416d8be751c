"""Numbers as text."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fairnas.report import format as report_format


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (388e6, "388 M"),
        (4.5e6, "4.50 M"),
        (73_100, "0.0731 M"),
        (1_234e6, "1,234 M"),
        (0, "0.00 M"),
        (12, "0.000012 M"),
    ],
)
def test_millions_carry_three_digits(value, shown):
    assert report_format.millions(value) == shown.replace(" ", "\u00a0")


def test_percent_shows_two_digits_only_where_images_carry_them():
    assert report_format.percent(0.7534) == "75.3\u00a0%"
    assert report_format.percent(0.7534, images=300) == "75.3\u00a0%"
    assert report_format.percent(0.7534, images=50_000) == "75.34\u00a0%"


@pytest.mark.parametrize(
    "write",
    [report_format.percent, report_format.millions, report_format.whole, report_format.decimal, report_format.p_value],
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(write, value):
    assert write(value) == "\u2013"
    assert not report_format.is_known(value)


def test_decimal_has_a_real_minus_sign():
    assert report_format.decimal(-0.236) == "\u22120.24"


def test_p_values():
    assert report_format.p_value(0.0431) == "= 0.043"
    assert report_format.p_value(1e-9) == "below 0.001"


def test_sizes_counts_lists_and_intervals():
    assert report_format.size(412_300) == "412\u00a0kB"
    assert report_format.size(12) == "1\u00a0kB"
    assert report_format.size(16_300_000) == "16.3\u00a0MB"
    assert report_format.counted(1, "pass", "passes") == "1 pass"
    assert report_format.counted(4_320, "pass", "passes") == "4,320 passes"
    assert [report_format.listed(x) for x in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert report_format.interval("95.5\u00a0%", "99.0\u00a0%") == "95.5 to 99.0\u00a0%"


def test_wilson_interval_known_value():
    low, high = report_format.wilson_interval(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)


@settings(deadline=None, max_examples=30)
@given(images=st.integers(1, 100_000), data=st.data())
def test_wilson_interval_is_that_of_scipy_for_whole_counts(images, data):
    hits = data.draw(st.integers(0, images))
    theirs = binomtest(hits, images).proportion_ci(method="wilson")
    assert report_format.wilson_interval(hits / images, images) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


@settings(deadline=None)
@given(images=st.integers(1, 100_000), share=st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_stays_between_0_and_1(images, share):
    low, high = report_format.wilson_interval(share, images)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert high > low
