"""Randomness is a function of seed, purpose and position."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.randomness import derived_seed, generator

SEEDS = st.integers(0, 2**64)
PLACES = st.tuples(SEEDS, st.sampled_from(("paths", "batches", "weights")), st.integers(0, 10**6), st.integers(0, 9))


@given(PLACES, PLACES)
def test_the_same_place_gives_the_same_numbers_and_another_place_others(a, b) -> None:
    assert derived_seed(*a) == derived_seed(*a)
    assert generator(*a).integers(2**63) == derived_seed(*a)
    assert 0 <= derived_seed(*a) < 2**63
    assert (derived_seed(*a) == derived_seed(*b)) == (a == b)


def test_order_of_positions_matters() -> None:
    drawn = [derived_seed(0, "paths", *position) for position in itertools.product(range(6), repeat=2)]
    assert len(set(drawn)) == 36


def test_numbers_stay_the_same_for_ever() -> None:
    """Runs of earlier versions can only be continued and repeated while these stay."""
    assert generator(0, "paths", 1234).integers(100, size=5).tolist() == [27, 62, 40, 72, 8]


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        generator(-1, "paths")
