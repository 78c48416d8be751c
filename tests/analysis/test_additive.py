"""The sum over layers: known costs are found again, whatever the machine's pace, and written as numbers above zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.analysis.additive import fit_additive, unknowns
from fairnas.fairness import StrictSampler


def additive(choices: tuple[int, ...], seed: int) -> tuple[float, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return float(rng.uniform(1, 3)), [rng.uniform(0.1, 1, count) for count in choices]


def total(costs: tuple[float, list[np.ndarray]], genome) -> float:
    return costs[0] + sum(row[choice] for row, choice in zip(costs[1], genome, strict=True))


def measured(choices, costs, seed: int, noise: float = 0.0, per_unknown: float = 3, paces: bool = True):
    """Networks of strict-fair steps, each step at a pace of its own."""
    rng, sampler = np.random.default_rng(seed), StrictSampler(choices, seed)
    steps = int(np.ceil(per_unknown * unknowns(choices) / sampler.paths_per_step)) + 2 * max(choices)
    genomes, values, groups = [], [], []
    for step in range(steps):
        pace = rng.uniform(0.6, 1.5) if paces else 1.0
        for genome in sampler.paths(step):
            genomes.append(genome)
            values.append(pace * total(costs, genome) * (1 + noise * rng.standard_normal()))
            groups.append(step)
    return genomes, values, groups


@settings(max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**20))
def test_exact_measurements_give_exact_differences_at_any_pace(choices, seed) -> None:
    choices = tuple(choices)
    costs = additive(choices, seed)
    fit = fit_additive(choices, *measured(choices, costs, seed))
    rng = np.random.default_rng(seed)
    genomes = [tuple(rng.integers(choices).tolist()) for _ in range(5)]
    ratios = [fit(genome) / total(costs, genome) for genome in genomes]
    assert ratios == pytest.approx([ratios[0]] * 5, rel=1e-6)  # the scale is that of the average pace
    assert np.mean(fit.paces) == pytest.approx(1)
    assert all(sum(row) == pytest.approx(0, abs=1e-9) for row in fit.layers)


def test_noise_averages_out() -> None:
    choices = (6,) * 10
    costs = additive(choices, 1)
    fit = fit_additive(choices, *measured(choices, costs, 1, noise=0.02, paces=False))
    rng = np.random.default_rng(2)
    genomes = [tuple(rng.integers(choices).tolist()) for _ in range(200)]
    errors = [abs(fit(genome) / total(costs, genome) - 1) for genome in genomes]
    assert np.median(errors) < 0.012  # of single measurements: 0.0135


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 2**20), st.floats(-1, 3))
def test_levels_change_no_prediction_and_leave_no_number_below_zero(choices, seed, wrong) -> None:
    choices = tuple(choices)
    costs = additive(choices, seed)
    fit = fit_additive(choices, *measured(choices, costs, seed, paces=False))
    fixed, rows = fit.with_levels([row.mean() + wrong for row in costs[1]])
    assert min(fixed, *(min(row) for row in rows)) >= 0
    rng = np.random.default_rng(seed)
    for _ in range(5):
        genome = tuple(rng.integers(choices).tolist())
        assert fixed + sum(row[c] for row, c in zip(rows, genome, strict=True)) == pytest.approx(total(costs, genome))
    if wrong == 0:
        assert fixed == pytest.approx(costs[0])


def test_right_levels_give_every_number_back() -> None:
    choices = (3, 1, 4)
    costs = additive(choices, 5)
    fit = fit_additive(choices, *measured(choices, costs, 5, paces=False))
    fixed, rows = fit.with_levels([row.mean() for row in costs[1]])
    assert fixed == pytest.approx(costs[0])
    assert [list(row) for row in rows] == [pytest.approx(row.tolist()) for row in costs[1]]


def test_a_group_without_networks_keeps_its_pace() -> None:
    fit = fit_additive((2,), [(0,), (1,)], [2.0, 3.0], [0, 0], 3)
    assert fit.paces == pytest.approx((1, 1, 1))
    assert (fit((0,)), fit((1,))) == pytest.approx((2, 3))


def test_few_networks_give_their_mean_and_no_wild_numbers() -> None:
    fit = fit_additive((6,) * 8, [(0,) * 8, (1,) * 8], [2.0, 3.0], [0, 0])
    assert fit((0,) * 8) < fit((1,) * 8)
    assert 1 < fit((5,) * 8) < 4
