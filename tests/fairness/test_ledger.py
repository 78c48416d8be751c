"""The ledger and its verdicts."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import CheckpointError, UnfairTraining
from fairnas.fairness import Ledger, PathDropout, StrictSampler, UniformSampler, count_passes
from fairnas.randomness import generator


def trained_by(paths, choices) -> list[list[bool]]:
    return [[any(path[layer] == c for path in paths) for c in range(m)] for layer, m in enumerate(choices)]


def record(ledger: Ledger, paths, trained=None) -> None:
    trained = trained_by(paths, ledger.choices) if trained is None else trained
    ledger.record(count_passes(paths, ledger.choices), np.concatenate(trained).astype(np.int64), len(paths))


def filled(strategy: str, choices, steps: int, draw, level_every: int = 1) -> Ledger:
    ledger = Ledger(strategy, choices, level_every)
    for step in range(steps):
        record(ledger, draw(step))
    return ledger


def biased(choices, seed: int, extra: float):
    """A sampler that takes choice 0 a little more often than its share."""

    def draw(step: int):
        rng = generator(seed, "biased", step)
        return (tuple(0 if rng.random() < extra else int(rng.integers(m)) for m in choices),)

    return draw


SPACES = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple)
STEPS = SPACES.flatmap(
    lambda choices: st.tuples(
        st.just(choices),
        st.lists(
            st.lists(st.tuples(*(st.integers(0, count - 1) for count in choices)), min_size=1, max_size=4), max_size=6
        ),
    )
)


@pytest.mark.slow
@given(STEPS, st.randoms(use_true_random=False))
def test_counts_are_those_of_counting_one_by_one(drawn, rng) -> None:
    choices, steps = drawn
    ledger = Ledger("any", choices)
    passes, updates = ([[0] * count for count in choices] for _ in range(2))
    for paths in steps:
        trained = [[rng.random() < 0.5 for _ in range(count)] for count in choices]
        record(ledger, paths, trained)
        for layer, count in enumerate(choices):
            for path in paths:
                passes[layer][path[layer]] += 1
            for choice in range(count):
                updates[layer][choice] += trained[layer][choice]
    assert [row.tolist() for row in ledger.passes] == passes
    assert [row.tolist() for row in ledger.updates] == updates
    assert (ledger.steps, ledger.backward_passes) == (len(steps), sum(map(len, steps)))
    audit = ledger.audit()
    every = [count for row in updates for count in row]
    assert (audit.updates_min, audit.updates_max) == (min(every), max(every))
    level = all(len(set(row)) == 1 for row in (*passes, *updates))
    assert audit.strict_fair == level
    if level:
        ledger.require_level()
        assert audit.expectation_fair
    else:
        with pytest.raises(UnfairTraining):
            ledger.require_level()


@pytest.mark.slow
@given(STEPS)
def test_saving_goes_round(drawn) -> None:
    choices, steps = drawn
    ledger = Ledger("strict", choices)
    for paths in steps:
        record(ledger, paths)
    plain = json.loads(json.dumps(ledger.to_dict()))
    back = Ledger.from_dict(plain)
    assert back.to_dict() == ledger.to_dict() == plain
    assert back.audit() == ledger.audit()
    record(back, [(0,) * len(choices)])  # and goes on counting
    assert back.steps == ledger.steps + 1
    assert back.passes[0][0] == ledger.passes[0][0] + 1


def test_an_uneven_ledger_names_the_layer_and_the_counts() -> None:
    ledger = Ledger("strict", (2, 2))
    record(ledger, [(0, 0), (1, 1)], [[True, True], [True, True]])
    ledger.require_level()
    record(ledger, [(0, 0), (1, 0)], [[True, True], [True, False]])
    with pytest.raises(UnfairTraining) as caught:
        ledger.require_level()
    assert str(caught.value) == (
        "strict fairness is broken after step 2: passes of the choice blocks in layer 1 are [3, 1], which must be equal"
    )
    assert not isinstance(caught.value, ValueError)  # never the user's fault


def test_a_strategy_that_draws_fairly_and_trains_otherwise_is_noticed() -> None:
    ledger = Ledger("strict", (2, 3))
    record(ledger, [(0, 0), (1, 1), (0, 2), (1, 0), (0, 1), (1, 2)], [[True, True], [True, False, True]])
    assert not ledger.audit().strict_fair
    assert ledger.audit().expectation_fair
    with pytest.raises(UnfairTraining, match=re.escape("updates of the choice blocks in layer 1 are [1, 0, 1]")):
        ledger.require_level()


@pytest.mark.parametrize("choices", [(6,) * 16, (3, 3, 3), (2, 3, 6, 1), (4, 5)])
def test_strict_sampling_is_strictly_fair_with_no_variance(choices) -> None:
    sampler = StrictSampler(choices, 1)
    ledger = filled("strict", choices, 20 * sampler.fairness_period, sampler.paths)
    audit = ledger.audit()
    assert audit.strict_fair
    assert audit.expectation_fair
    assert (audit.variance_ratio, audit.p_value) == (0.0, 1.0)
    assert (audit.strategy, audit.steps, audit.backward_passes) == (
        "strict",
        20 * sampler.fairness_period,
        20 * sampler.fairness_period * sampler.paths_per_step,
    )
    if len(set(choices)) == 1:
        assert audit.updates_min == audit.updates_max == 20


def test_uniform_sampling_is_fair_in_expectation_only_with_the_variance_of_equation_1() -> None:
    choices = (6,) * 16
    audits = [filled("uniform", choices, 400, UniformSampler(choices, seed).paths).audit() for seed in range(6)]
    assert not any(audit.strict_fair for audit in audits)
    assert all(audit.expectation_fair for audit in audits)
    # the mean of 6 x 16 sample variances of 5 degrees of freedom each
    assert np.mean([audit.variance_ratio for audit in audits]) == pytest.approx(1, abs=4 * np.sqrt(2 / (96 * 5)))
    assert all(0.4 < audit.variance_ratio < 1.8 for audit in audits)
    assert all(audit.updates_min < 400 / 6 < audit.updates_max for audit in audits)


@pytest.mark.slow
def test_p_values_of_a_fair_sampler_are_uniform() -> None:
    """A fair sampler is called unfair as rarely as `SIGNIFICANCE` says, with equal and unequal choices."""
    from scipy.stats import kstest

    choices = (2, 3, 5, 1)
    p_values = []
    for seed in range(120):
        ledger = Ledger("uniform", choices)
        genomes = generator(seed, "test").integers(choices, size=(200, 4))
        for genome in genomes.tolist():
            record(ledger, [tuple(genome)])
        p_values.append(ledger.audit().p_value)
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_a_biased_sampler_is_found_unfair() -> None:
    choices = (6,) * 8
    audit = filled("mine", choices, 600, biased(choices, 0, extra=0.06)).audit()
    assert not audit.expectation_fair
    assert not audit.strict_fair
    assert audit.p_value < 0.001
    assert audit.variance_ratio > 2
    assert filled("mine", choices, 600, biased(choices, 0, extra=0.0)).audit().expectation_fair


def test_a_block_that_is_never_trained_is_found() -> None:
    audit = filled("mine", (3, 3), 100, lambda step: ((step % 2, step % 3),)).audit()
    assert (audit.updates_min, audit.updates_max) == (0, 50)
    assert not audit.expectation_fair


def test_an_empty_ledger_and_layers_without_choice_have_a_verdict() -> None:
    for ledger in (Ledger("strict", (6, 6)), filled("strict", (1, 1), 5, lambda step: ((0, 0),))):
        audit = ledger.audit()
        assert audit.strict_fair
        assert audit.expectation_fair
        assert (audit.p_value, audit.variance_ratio) == (1.0, 0.0)
        ledger.require_level()


def test_k_passes_on_one_path_are_fair_in_expectation_with_k_times_the_variance() -> None:
    """Pearson's test, which takes passes for independent, would call this unfair."""
    choices, k = (6,) * 16, 6
    sampler = UniformSampler(choices, 0)
    audit = filled("uniform_k", choices, 400, lambda step: sampler.paths(step) * k).audit()
    assert audit.expectation_fair
    assert not audit.strict_fair
    assert audit.variance_ratio == pytest.approx(k, rel=0.5)


@pytest.mark.slow
def test_p_values_are_uniform_too_where_several_blocks_are_trained_at_once() -> None:
    from scipy.stats import kstest

    choices, p_values = (2, 3, 5), []
    for seed in range(100):
        ledger, dropout = Ledger("one_shot", choices), PathDropout(choices, seed)
        for step in range(120):
            active = dropout.active(step, step / 240)
            passes = np.concatenate([np.isin(np.arange(m), kept) for m, kept in zip(choices, active, strict=True)])
            ledger.record(passes.astype(np.int64), passes.astype(np.int64), 1)
        p_values.append(ledger.audit().p_value)
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_within_a_cycle_the_verdict_is_that_of_the_last_whole_one() -> None:
    choices = (6, 7)
    sampler = StrictSampler(choices, 0)
    for steps, level_at in ((5, 0), (6, 6), (11, 6), (12, 12)):
        audit = filled("strict", choices, steps, sampler.paths, level_every=sampler.fairness_period).audit()
        assert (audit.strict_fair, audit.level_every, audit.level_at) == (steps >= 6, 6, level_at)
    broken = filled("strict", choices, 5, sampler.paths, level_every=6)
    for _ in range(3):
        record(broken, [(0, 0)])
    assert not broken.audit().strict_fair


def test_last_steps_and_gradient_norms() -> None:
    ledger = Ledger("mine", (2, 1))
    record(ledger, [(0, 0)])
    record(ledger, [(1, 0)], [[False, True], [True]])
    record(ledger, [(1, 0)], [[False, False], [True]])
    assert [row.tolist() for row in ledger.last_step] == [[1, 2], [3]]
    assert ledger.audit().gradient_share == (1, 1)  # nothing known
    ledger.set_gradient_norms(np.array([3.0, 1.0, 5.0]))
    assert [row.tolist() for row in ledger.gradient_norms] == [[3, 1], [5]]
    assert ledger.audit().gradient_share == (0.5, 1.5)


GOOD = {
    "strategy": "strict",
    "steps": 1,
    "backward_passes": 2,
    "architecture_passes": 0,
    "block_runs": 2,
    "level_every": 1,
    "level_at": 1,
    "scatter": [0.0],
    "passes": [[1, 1]],
    "updates": [[1, 1]],
    "last_step": [[1, 1]],
    "gradient_norms": [[0.5, 0.25]],
    "chain": [],
}


@pytest.mark.parametrize(
    "change",
    [
        {"passes": None},
        {"passes": []},
        {"passes": [[]], "updates": [[]]},
        {"passes": [[1, 1, 1]]},
        {"passes": [[1, 1], [1, 1]]},
        {"passes": [[1, -1]]},
        {"passes": [[1, 0.5]]},
        {"passes": [[1, "1"]]},
        {"passes": [[[1], [1]]]},
        {"passes": 3},
        {"updates": [[1, 2**70]]},
        {"steps": "many"},
        {"steps": -1},
        {"backward_passes": None},
        {"level_at": -1},
        {"architecture_passes": -1},
        {"block_runs": "2"},
        {"scatter": []},
        {"scatter": [-1.0]},
        {"scatter": ["0"]},
        {"last_step": [[1]]},
        {"gradient_norms": [[0.5, float("nan")]]},
        {"gradient_norms": [[0.5]]},
    ],
    ids=str,
)
def test_garbage_is_no_ledger(change) -> None:
    assert Ledger.from_dict(GOOD).to_dict() == GOOD
    with pytest.raises(CheckpointError, match=r"^this is not a ledger: .*; train again$"):
        Ledger.from_dict({**GOOD, **change})


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_ledger_that_lacks_something(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"^this is not a ledger: KeyError: '{key}'; train again$"):
        Ledger.from_dict({name: value for name, value in GOOD.items() if name != key})


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda x: st.lists(x, max_size=3)))
@settings(max_examples=50)
def test_other_data_are_refused(plain) -> None:
    match plain:
        case [[int(a), int(b)]] if 0 <= a < 2**63 and 0 <= b < 2**63:
            return  # counts of two choices, as in `GOOD`
    for wrong in (plain, {**GOOD, "passes": plain}, {**GOOD, "updates": plain}):
        with pytest.raises(CheckpointError):
            Ledger.from_dict(wrong)
