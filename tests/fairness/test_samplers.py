"""Samplers of paths: strict fairness as a law, uniform sampling as a distribution."""

import collections
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import UnfairTraining
from fairnas.fairness import Ledger, PathDropout, PathSampler, StrictSampler, UniformSampler, count_passes

SEEDS = st.integers(0, 2**63)
ANY_CHOICES = st.lists(st.integers(1, 7), min_size=1, max_size=6).map(tuple)
EQUAL_CHOICES = st.builds(lambda m, layers: (m,) * layers, st.integers(1, 9), st.integers(1, 8))


def chi_square(observed, expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in observed)


def counts_of(paths, choices) -> list[list[int]]:
    """Number of paths through each block, by brute force."""
    seen = collections.Counter((layer, choice) for path in paths for layer, choice in enumerate(path))
    return [[seen[layer, choice] for choice in range(count)] for layer, count in enumerate(choices)]


def record(ledger: Ledger, paths) -> None:
    passes = count_passes(paths, ledger.choices)
    ledger.record(passes, np.minimum(passes, 1), len(paths))


def is_level(paths, choices) -> bool:
    return all(len(set(row)) == 1 for row in counts_of(paths, choices))


# Strict fairness ----------------------------------------------------------------------------------------------


@given(EQUAL_CHOICES, SEEDS, st.integers(0, 10**9), st.integers(1, 5))
def test_with_equal_choices_every_step_trains_each_block_exactly_once(choices, seed, first, steps) -> None:
    sampler = StrictSampler(choices, seed)
    assert (sampler.fairness_period, sampler.paths_per_step) == (1, choices[0])
    for step in range(first, first + steps):
        paths = sampler.paths(step)
        assert counts_of(paths, choices) == [[1] * choices[0]] * len(choices)
        assert all(type(choice) is int for path in paths for choice in path)


@given(ANY_CHOICES, SEEDS, st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=60)
def test_with_any_choices_all_blocks_of_a_layer_are_level_at_the_end_of_every_cycle(
    choices, seed, first, cycles
) -> None:
    sampler = StrictSampler(choices, seed)
    ledger = Ledger("strict", choices)
    paths = []
    for step in range(first * sampler.fairness_period, (first + cycles) * sampler.fairness_period):
        drawn = sampler.paths(step)
        assert len(drawn) == sampler.paths_per_step
        paths += drawn
        record(ledger, drawn)
        if (step + 1) % sampler.fairness_period == 0:
            assert is_level(paths, choices)
            ledger.require_level()
    each = cycles * sampler.fairness_period * sampler.paths_per_step
    assert counts_of(paths, choices) == [[each // m] * m for m in choices]


@given(ANY_CHOICES)
def test_steps_and_cycles_are_as_documented(choices) -> None:
    sampler = StrictSampler(choices, 0)
    multiple = math.lcm(*choices)
    if multiple <= 4 * max(choices):
        assert (sampler.paths_per_step, sampler.fairness_period) == (multiple, 1)
    else:
        assert sampler.paths_per_step == max(choices)
        per_cycle = sampler.paths_per_step * sampler.fairness_period
        assert per_cycle % multiple == 0
        assert sampler.fairness_period == multiple // max(choices)  # the shortest that is level


@given(ANY_CHOICES, SEEDS, st.integers(0, 10**6))
def test_every_step_updates_every_block(choices, seed, step) -> None:
    """Numbers of updates are equal after every step, for any numbers of choices."""
    paths = StrictSampler(choices, seed).paths(step)
    assert all(count >= 1 for row in counts_of(paths, choices) for count in row)


def test_within_a_long_cycle_passes_may_be_uneven_but_not_updates() -> None:
    choices = (6, 7)
    sampler = StrictSampler(choices, 0)
    assert (sampler.paths_per_step, sampler.fairness_period) == (7, 6)
    ledger = Ledger("strict", choices)
    for step in range(6):
        paths = sampler.paths(step)
        assert sorted(counts_of(paths, choices)[0]) == [1, 1, 1, 1, 1, 2]
        assert counts_of(paths, choices)[1] == [1] * 7
        record(ledger, paths)
        if step < 5:
            with pytest.raises(UnfairTraining, match=r"passes of the choice blocks in layer 0"):
                ledger.require_level()
    ledger.require_level()
    assert ledger.audit().strict_fair


def test_permutations_are_uniform_and_independent_between_layers_and_steps() -> None:
    sampler = StrictSampler((3, 3, 3), 11)
    orders = {order: number for number, order in enumerate(itertools.permutations(range(3)))}
    steps = 7200
    drawn = np.array([[orders[order] for order in zip(*sampler.paths(step), strict=True)] for step in range(steps)])
    for layer in range(3):
        assert (
            chi_square(np.bincount(drawn[:, layer], minlength=6), steps / 6) < 20.5
        )  # 5 degrees of freedom, p = 0.001
    pairs = [(drawn[:, a], drawn[:, b]) for a, b in ((0, 1), (1, 2), (0, 2))]
    pairs += [(drawn[:-1, layer], drawn[1:, layer]) for layer in range(3)]
    for left, right in pairs:
        joint = np.bincount(6 * left + right, minlength=36)
        assert chi_square(joint, len(left) / 36) < 66.6  # 35 degrees of freedom, p = 0.001


def test_paths_of_a_step_are_uniform_over_the_space() -> None:
    """Each path alone is a uniform draw (the paper's step is as good as m uniform ones), also with unequal choices."""
    for choices, position, limit in (((2, 3), 0, 20.5), ((2, 3), 5, 20.5), ((5, 6), 0, 58.3), ((5, 6), 5, 58.3)):
        sampler = StrictSampler(choices, 5)
        counts = collections.Counter(sampler.paths(step)[position] for step in range(3000))
        genomes = list(itertools.product(*map(range, choices)))
        assert chi_square([counts[genome] for genome in genomes], 3000 / len(genomes)) < limit  # p = 0.001


# Both ---------------------------------------------------------------------------------------------------------

SAMPLERS = (StrictSampler, UniformSampler)


@pytest.mark.parametrize("kind", SAMPLERS)
@given(choices=ANY_CHOICES, seed=SEEDS, steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
@settings(max_examples=40)
def test_what_a_step_draws_depends_on_the_step_alone(kind, choices, seed, steps) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, other = kind(choices, seed), kind(choices, seed)
    drawn = {step: one.paths(step) for step in steps}
    assert {step: other.paths(step) for step in reversed(steps)} == drawn
    assert {step: kind(choices, seed).paths(step) for step in steps} == drawn
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    for paths in drawn.values():
        for path in paths:
            assert len(path) == len(choices)
            assert all(0 <= choice < count for choice, count in zip(path, choices, strict=True))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_seeds_and_steps_draw_differently(kind) -> None:
    drawn = [kind((6,) * 16, seed).paths(step) for seed in range(3) for step in range(20)]
    assert len(set(drawn)) == 60


@pytest.mark.parametrize(("kind", "promise"), [(StrictSampler, "strict"), (UniformSampler, "expectation")])
def test_promises(kind, promise: str) -> None:
    sampler: PathSampler = kind((6,) * 4, 0)
    assert sampler.fairness == promise
    assert len(sampler.paths(0)) == sampler.paths_per_step


# Uniform sampling ---------------------------------------------------------------------------------------------


def test_uniform_sampler_is_uniform_and_independent_between_layers() -> None:
    choices, steps = (2, 3, 4), 4800
    sampler = UniformSampler(choices, 3)
    assert (sampler.fairness_period, sampler.paths_per_step) == (1, 1)
    counts = collections.Counter(path for step in range(steps) for path in sampler.paths(step))
    expected = steps / 24
    assert chi_square([counts[genome] for genome in itertools.product(*map(range, choices))], expected) < 49.7


def test_uniform_sampling_is_not_level_which_is_the_papers_point() -> None:
    sampler = UniformSampler((6,) * 16, 0)
    paths = [path for step in range(600) for path in sampler.paths(step)]
    assert not is_level(paths, (6,) * 16)


# Path dropout -------------------------------------------------------------------------------------------------


@given(ANY_CHOICES, SEEDS, st.integers(0, 10**6), st.floats(0, 1))
def test_path_dropout_never_cuts_the_chain(choices, seed, step, chance) -> None:
    active = PathDropout(choices, seed).active(step, chance)
    assert active == PathDropout(choices, seed).active(step, chance)
    for count, kept in zip(choices, active, strict=True):
        assert kept == tuple(sorted(set(kept)))
        assert kept
        assert all(0 <= choice < count for choice in kept)


def test_path_dropout_drops_each_block_with_the_chance_that_would_empty_the_layer() -> None:
    choices, steps, chance = (2, 6), 6000, 0.05
    dropout = PathDropout(choices, 0)
    assert all(dropout.active(step, 0) == ((0, 1), (0, 1, 2, 3, 4, 5)) for step in range(50))
    assert all(len(kept) == 1 for step in range(50) for kept in dropout.active(step, 1))
    drawn = [dropout.active(step, chance) for step in range(steps)]
    for layer, count in enumerate(choices):
        kept = np.bincount([choice for active in drawn for choice in active[layer]], minlength=count) / steps
        expected = 1 - chance ** (1 / count) + chance / count  # kept, or saved where all were dropped
        assert kept == pytest.approx(expected, abs=4 * math.sqrt(0.25 / steps))


@given(ANY_CHOICES.flatmap(lambda c: st.tuples(st.just(c), st.lists(st.tuples(*(st.integers(0, m - 1) for m in c))))))
def test_passes_are_counted_as_by_hand(drawn) -> None:
    choices, paths = drawn
    flat = count_passes(paths, choices) if paths else np.zeros(sum(choices), int)
    assert flat.tolist() == [count for row in counts_of(paths, choices) for count in row]
