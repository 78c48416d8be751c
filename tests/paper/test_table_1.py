"""Table 1, measured: equal compute, what is counted, verdicts beside claims, and that a second call goes on."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairnas.config import DataConfig, Resources, RunConfig, SearchConfig, StandAloneConfig, TrainConfig
from fairnas.data import training_batches
from fairnas.errors import ConfigError, RunDirectoryError, UnknownNameError
from fairnas.fairness import Ledger
from fairnas.fairness.ledger import gini
from fairnas.paper import step_profile
from fairnas.paper import table_1_study as comparing
from fairnas.paper.step_profile import NOMINAL_STEPS, SystemProfile, profile, windows, with_first_choices
from fairnas.paper.table_1_page import memory_class, memory_verdict
from fairnas.paper.table_1_study import RESULT, SystemComparison, measure_table_1
from fairnas.paper.table_1_systems import BESIDE, TABLE_1_SYSTEMS, check_systems, plan_systems, system_config
from fairnas.pipeline.experiment import open_data
from fairnas.progress import SilentNarrator
from fairnas.space import get_space
from fairnas.train import STRATEGIES, make_strategy, supernet_training
from tests.train import processes

pytestmark = [pytest.mark.slow, pytest.mark.full]

BASE = RunConfig(
    recipe="digits",
    space=f"{processes.__file__}:SPACE",  # three layers of four choices
    data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
    train=TrainConfig(epochs=2, batch_size=20, lr=0.05),
    search=SearchConfig(population=6, generations=2),
    stand_alone=StandAloneConfig(epochs=1, seeds=1),
    resources=Resources(processes=1),
)
SYSTEMS = ("strict", "uniform", "darts")
GIVEN = SystemComparison(BASE, SYSTEMS, seeds=1, models=8, truth=None, command="fairnas compare")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny Table 1; tests must not change it."""
    out = tmp_path_factory.mktemp("compare") / "table1"
    return out, measure_table_1(out, GIVEN, SilentNarrator())


def test_every_number_of_the_table_is_what_the_run_directories_hold(measured):
    out, numbers = measured
    assert list(numbers["systems"]) == list(SYSTEMS)
    for name, system in numbers["systems"].items():
        (training,) = system["trainings"]
        ledger = Ledger.from_dict(json.loads((out / f"{name}-s0" / "ledger.json").read_text()))
        assert training["path_images"] == ledger.block_runs / 3 * 20
        assert training["audit"]["updates_min"] == min(row.min() for row in ledger.updates)
        assert training["backward_passes"] == ledger.backward_passes + ledger.architecture_passes
        assert training["curve"][-1][0] == 1
        assert training["curve"][-1][1:] == pytest.approx(ledger.unevenness())
        assert len(training["derived"]) == 3
        assert (training["preference_tau"] is not None) is (name == "darts")
        assert training["derived_by"] == ("its own rule" if name == "darts" else "search")
    compute = [system["trainings"][0]["path_images"] for system in numbers["systems"].values()]
    assert max(compute) <= 1.5 * min(compute)
    assert json.loads((out / "table1.json").read_text()) == {k: v for k, v in numbers.items() if k != "page"}


@pytest.mark.parametrize(
    ("claimed", "ratio", "whole", "verdict"),
    [
        ("SP", 1.1, 4.5, "confirmed"),
        ("SP", 1.9, 1.5, "contradicted"),
        ("TP", 1.9, 4.5, "confirmed"),
        ("TP", 4.5, 4.5, "contradicted"),
        ("SN", 4.5, 4.5, "confirmed"),
        ("SN", 1.9, 4.5, "contradicted"),
        ("SN", 1.1, 1.5, "contradicted"),
        ("SN", 1.9, 1.5, "not measurable"),  # three choices, one of them the identity
        ("TP", 1.9, 1.5, "not measurable"),
    ],
)
def test_memory_is_judged_where_two_paths_and_all_can_be_told_apart(claimed, ratio, whole, verdict):
    assert memory_verdict(claimed, ratio, whole).verdict == verdict


def test_verdicts_stand_beside_the_claims(measured):
    systems = measured[1]["systems"]
    strict, uniform, darts = (systems[name]["verdicts"] for name in SYSTEMS)
    assert {found["verdict"] for found in strict.values()} == {"confirmed"}
    assert {found["verdict"] for found in uniform.values()} == {"confirmed"}
    # every block is in every step, so counts are level; but it trains no single paths (definition 1)
    assert {found["verdict"] for found in darts.values()} == {"confirmed"}
    assert darts["expectation fairness"]["measured"].startswith("no: several blocks of a layer at once")
    page = (measured[0] / "table1.html").read_text()
    assert "Table 1, measured" in page
    assert "no, several paths at once" in page


def test_a_second_call_trains_nothing_and_more_systems_and_seeds_may_join(measured, monkeypatch):
    out, before = measured
    monkeypatch.setattr(comparing, "_train_and_judge", None)
    assert measure_table_1(out, GIVEN, SilentNarrator()) == before
    fewer = dataclasses.replace(GIVEN, systems=("uniform",))
    assert list(measure_table_1(out, fewer, SilentNarrator())["systems"]) == ["uniform"]
    with pytest.raises(RunDirectoryError, match=r"with other settings \(models is 8, given 12\)"):
        measure_table_1(out, dataclasses.replace(GIVEN, models=12), SilentNarrator())


@pytest.mark.full
def test_a_stopped_comparison_goes_on_to_the_same_numbers(measured, tmp_path):
    calls = 0

    def stop():
        nonlocal calls
        calls += 1
        return calls >= 60

    out = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        measure_table_1(out, GIVEN, SilentNarrator(), stop)
    (out / "profiles.json").write_text((measured[0] / "profiles.json").read_text())  # times differ, all else must not
    again = measure_table_1(out, GIVEN, SilentNarrator())
    assert {k: v for k, v in again.items() if k != "page"} == {k: v for k, v in measured[1].items() if k != "page"}


# Plans --------------------------------------------------------------------------------------------------------


@given(cost=st.floats(0.5, 40), epochs=st.integers(1, 400))
def test_systems_train_as_long_as_equal_compute_lets_them(cost, epochs):
    space, data = _opened()
    base = dataclasses.replace(BASE, train=dataclasses.replace(BASE.train, epochs=epochs))
    profiles = {"strict": SystemProfile(4.0, 1, 1, 1), "darts": SystemProfile(cost, 1, 1, 1)}
    strict, darts = plan_systems(base, ("strict", "darts"), profiles, space, data)
    assert strict.train.epochs == epochs
    one_epoch = darts.path_images / darts.train.epochs
    assert abs(darts.path_images - strict.path_images) <= one_epoch / 2 + 1e-6 or darts.train.epochs == 1


def _opened(cache=[]):  # noqa: B006 - opened once
    cache or cache.append(open_data(BASE))
    return cache[0]


def test_the_list_holds_every_row_of_the_papers_table():
    from fairnas.fairness.theory import TABLE_1

    known = [name for name in (*TABLE_1_SYSTEMS, *BESIDE) if name in STRATEGIES or name == "uniform_k_slow"]
    claims = {STRATEGIES[name].claims for name in known if name in STRATEGIES} - {""}
    assert claims == {row.method for row in TABLE_1}
    assert system_config(BASE.train, "uniform_k_slow", (6, 6)).lr_scale == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("systems", "changes", "error", "message"),
    [
        (("stric",), {}, UnknownNameError, "unknown strategy 'stric'; did you mean 'strict'"),
        (("strict", "strict"), {}, ConfigError, "give each one once"),
        (
            ("strict",),
            {"lr_scale": 0.5},
            ConfigError,
            "train.lr_scale is 0.5, but each system has its own",
        ),
        ((), {}, ConfigError, "--strategies are none; give each one once, and at least one"),
    ],
)
def test_wrong_systems_are_refused_in_one_line(systems, changes, error, message):
    base = dataclasses.replace(BASE, train=dataclasses.replace(BASE.train, **changes))
    with pytest.raises(error, match=message) as caught:
        check_systems(base, systems, get_space("digits"))
    assert "\n" not in str(caught.value)


# Profiles and unevenness --------------------------------------------------------------------------------------


def test_profiles_tell_one_path_from_the_whole_supernet():
    space, data = _opened()
    found = {
        name: profile(space, data, dataclasses.replace(BASE.train, strategy=name), 0, torch.device("cpu"))
        for name in ("uniform", "strict", "darts")
    }
    assert [found[name].paths_per_step for name in found] == [1, 4, 8]
    assert memory_class(found["strict"].peak / found["uniform"].peak) == "SP"
    assert memory_class(found["darts"].peak / found["uniform"].peak) == "SN"
    # the mixture grows with the number of choices, a single path does not
    assert found["darts"].peak > 1.8 * found["darts"].peak_of_two
    assert found["uniform"].peak < 1.9 * found["uniform"].peak_of_two


@pytest.mark.full
def test_memory_is_that_of_the_system_whatever_executor_trains_it():
    space, data = _opened()
    cpu = torch.device("cpu")
    plain, layers = (
        profile(space, data, BASE.train, 0, cpu, Resources(executor=name)) for name in ("auto", "lockstep")
    )
    assert layers.peak == pytest.approx(plain.peak, rel=0.1)
    assert layers.peak_of_two == pytest.approx(plain.peak_of_two, rel=0.1)
    assert layers.paths_per_step == plain.paths_per_step


@pytest.mark.parametrize("name", STRATEGIES)
def test_windows_see_the_architecture_taught_as_often_as_a_whole_training_does(name):
    strategy = make_strategy(TrainConfig(strategy=name), (6, 6, 6), 0)
    tried = windows(strategy)
    assert sum(weight for _, weight in tried) == pytest.approx(1)
    assert all(steps[0] >= 0 and steps[-1] < NOMINAL_STEPS for steps, _ in tried)

    def taught(steps):
        learns = [
            step
            for step in steps
            if step >= strategy.warm_up * NOMINAL_STEPS and not (step + 1) % strategy.architecture_period
        ]
        return len(learns) / len(steps)

    whole = taught(range(NOMINAL_STEPS // strategy.architecture_period * strategy.architecture_period))
    assert sum(weight * taught(steps) for steps, weight in tried) == pytest.approx(whole, rel=0.02)


@pytest.mark.full
def test_the_compute_of_a_step_is_that_of_a_whole_training():
    """ENAS teaches its controller after every seventh step, by validation batches of ten paths."""
    space, data = _opened()
    config = dataclasses.replace(BASE.train, strategy="enas")
    device = torch.device("cpu")
    training = supernet_training(space, config, 0, device)
    batches = itertools.cycle(training_batches(training.images(data), batch_size=20, seed=0, epoch=0, device=device))
    for step in range(28):
        training.step([next(batches)], step, 28)
    found = profile(space, data, config, 0, device)
    assert found.paths_per_step == pytest.approx(training.ledger.block_runs / 28 / space.depth)


def test_a_system_that_diverges_first_leaves_the_others_their_table(tmp_path, monkeypatch):
    def diverged(experiment, genomes):
        judged(experiment, genomes)
        if experiment.config.train.strategy == "strict":
            experiment.run.write_json(RESULT, {"status": "diverged", "reason": "the loss is nan"})

    judged = comparing._train_and_judge
    monkeypatch.setattr(comparing, "_train_and_judge", diverged)
    given = dataclasses.replace(GIVEN, systems=("strict", "uniform"))
    numbers = measure_table_1(tmp_path / "table1", given, SilentNarrator())
    assert numbers["networks"] == 8
    assert numbers["systems"]["strict"]["diverged"] == ["the loss is nan"]
    assert len(numbers["systems"]["uniform"]["trainings"]) == 1


def test_fewer_choices_are_the_first_ones():
    space = with_first_choices(get_space("digits"), 2)
    assert space.choices == (2,) * 8
    assert [layer.choices for layer in space.layers] == [layer.choices[:2] for layer in get_space("digits").layers]


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8), st.integers(1, 9))
def test_gini_is_half_the_relative_mean_difference(amounts, factor):
    row = np.array(amounts)
    found = gini(row)
    assert 0 <= found <= (len(row) - 1) / len(row) + 1e-12
    assert found == pytest.approx(gini(factor * row))
    if row.sum():
        pairs = np.abs(row[:, None] - row[None]).mean()
        assert found == pytest.approx(pairs / (2 * row.mean()))
    assert gini(np.full(4, factor)) == pytest.approx(0)


WHOLE_SUPERNET = {"one_shot", "darts", "darts_second_order", "fbnet"}
ONE_OF_EACH = {"one_shot", "strict"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ONE_OF_EACH else pytest.mark.full) for name in STRATEGIES]
)
def test_every_strategy_holds_what_its_class_of_memory_does(name, monkeypatch):
    monkeypatch.setattr(step_profile, "windows", lambda strategy: [(range(1), 1.0)])
    monkeypatch.setattr(step_profile, "TRACED", ((0.0, 1), (0.9, 5)))
    space, data = _opened()
    peaks = {
        each: profile(space, data, dataclasses.replace(BASE.train, strategy=each), 0, torch.device("cpu"))
        for each in ("uniform", name)
    }
    ratio, of_two = (
        peaks[name].peak / peaks["uniform"].peak,
        peaks[name].peak_of_two / peaks["uniform"].peak_of_two,
    )
    if name in WHOLE_SUPERNET:
        assert ratio > 1.4 * of_two > 1.4
    else:
        assert ratio < 1.3
