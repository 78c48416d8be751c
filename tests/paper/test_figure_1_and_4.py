"""Figures: what is trained, that a second call goes on, and that numbers are what the run directories hold."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from fairnas.config import DataConfig, RunConfig, TrainConfig
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.fairness import StrictSampler, equal_count_probability
from fairnas.paper import supernet_runs
from fairnas.paper.figure_1_arms import plan_arms, require_common_settings
from fairnas.paper.figure_1_study import FigureOne, draw_figure_1
from fairnas.paper.figure_4 import BLOCKS, draw_figure_4, equal_counts, multiples, simulate
from fairnas.paper.supernet_runs import stratified_genomes
from fairnas.pipeline import Experiment
from fairnas.progress import SilentNarrator
from fairnas.rundir import RunDirectory
from fairnas.space import get_space
from fairnas.train import DivergedError, make_strategy

pytestmark = [pytest.mark.slow, pytest.mark.full]

BASE = RunConfig(
    recipe="digits",
    space="digits",
    data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
    train=TrainConfig(epochs=2, batch_size=40, lr=0.05),
)
FIGURE = FigureOne(BASE, seeds=2, models=12, command="fairnas figure 1")
ARMS = ("strict", "uniform_k", "uniform_k_slow", "uniform", "uniform_long")


class Listening(SilentNarrator):
    def __init__(self):
        self.stages, self.said = [], []

    def stage(self, number, total, title, upcoming):
        self.stages.append((number, total, title, upcoming))

    def say(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A tiny Figure 1, drawn once; tests must not change it."""
    out = tmp_path_factory.mktemp("figures") / "figure1"
    narrator = Listening()
    return out, draw_figure_1(out, FIGURE, narrator), narrator


# Arms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", [(6, 6, 6), (3, 2), (4, 4, 1), (7, 5, 9)])
def test_arms_cost_what_strict_fairness_costs_or_have_its_epochs(choices):
    arms = plan_arms(BASE, choices, steps_per_epoch=7)
    assert [arm.name for arm in arms] == list(ARMS)
    strict = arms[0]
    for arm in arms:
        strategy = make_strategy(arm.train, choices, 0)
        assert arm.backward_passes == strategy.passes_per_step * 7 * arm.train.epochs
        assert strategy.batches_per_step == 1
        assert (arm.backward_passes == strict.backward_passes) == (arm.name != "uniform")
        assert (arm.train.epochs == strict.train.epochs) == (arm.name != "uniform_long")
    by_name = {arm.name: arm.train for arm in arms}
    assert by_name["uniform_k"].k == strict.passes_per_step
    assert by_name["uniform_k_slow"].lr_scale == pytest.approx(1 / strict.passes_per_step)
    assert by_name["uniform_k"].lr_scale == by_name["uniform"].lr_scale == 1
    assert all(arm.train.lr == BASE.train.lr for arm in arms)


def test_k_is_m_where_all_layers_have_m_choices():
    assert plan_arms(BASE, get_space("digits").choices, 7)[1].train.k == 6


@pytest.mark.parametrize("key", ["strategy", "k", "lr_scale", "accumulate", "path_dropout"])
def test_settings_of_the_arms_are_refused(key):
    value = {"strategy": "uniform", "accumulate": True, "k": 3}.get(key, 0.5)
    train = dataclasses.replace(BASE.train, **{key: value})
    with pytest.raises(ConfigError, match=f"train.{key} is {value}, but the arms set it; leave it out"):
        require_common_settings(dataclasses.replace(BASE, train=train))


def test_stratified_genomes_hold_every_choice_block_equally_often():
    for name, count in (("digits", 960), ("mobilenet_v2", 12)):
        space = get_space(name)
        genomes = stratified_genomes(space, count)
        assert len(genomes) == count
        for layer, choices in enumerate(space.choices):
            counts = Counter(genome[layer] for genome in genomes)
            assert [counts[choice] for choice in range(choices)] == [count // choices] * choices
    assert genomes == stratified_genomes(space, count)
    assert set(stratified_genomes(get_space("digits"), 12)).isdisjoint(StrictSampler((6,) * 8, 0).paths(0))


@pytest.mark.parametrize("count", [0, 5, 13, -6])
def test_a_number_of_models_that_cannot_be_stratified_is_refused(count):
    with pytest.raises(ConfigError, match=f"--models is {count}; give a multiple of 6"):
        stratified_genomes(get_space("digits"), count)


# Figure 1 -----------------------------------------------------------------------------------------------------


def test_every_training_is_an_ordinary_finished_run_and_arms_share_seed_and_images(drawn):
    out, _, narrator = drawn
    assert [title for _, _, title, _ in narrator.stages][:2] == ["SF, seed 0", "EF k=6, seed 0"]
    assert [(number, total) for number, total, _, _ in narrator.stages] == [(n, 10) for n in range(1, 11)]
    for seed in (0, 1):
        runs = [RunDirectory.open(out / f"{arm}-s{seed}") for arm in ARMS]
        assert all(run.is_finished("train") and not run.damaged_files("train") for run in runs)
        assert {run.config.seed for run in runs} == {seed}
        assert len({run.read_json("data.json")["fingerprint"] for run in runs}) == 1
        assert len({tuple(run.read_json("stratified.json")["genomes"]) for run in runs}) == 1


def test_the_numbers_are_those_of_the_runs(drawn):
    out, numbers, _ = drawn
    written = json.loads((out / "figure1.json").read_text())
    assert written == json.loads(json.dumps({key: value for key, value in numbers.items() if key != "page"}))
    assert [arm["name"] for arm in written["arms"]] == list(ARMS)
    for arm in written["arms"]:
        for training in arm["trainings"]:
            run = RunDirectory(out / training["run"])
            top1 = run.read_json("stratified.json")["top1"]
            assert len(top1) == 12
            assert training["mean"] == pytest.approx(np.mean(top1))
            assert training["std"] == pytest.approx(np.std(top1))
            assert training["delta"] == pytest.approx(max(top1) - min(top1))
            assert training["fairness"]["backward_passes"] == arm["backward_passes"]
            rows = run.metrics("train")
            assert [point["mean"] for point in training["curve"]] == [row["one_shot_top1_mean"] for row in rows]
            assert training["curve"][-1]["backward_passes"] == arm["backward_passes"]
        assert arm["mean"]["mean"] == pytest.approx(np.mean([training["mean"] for training in arm["trainings"]]))
        assert arm["mean"]["std_over_seeds"] == pytest.approx(
            np.std([training["mean"] for training in arm["trainings"]], ddof=1)
        )
    costs = {arm["name"]: arm["backward_passes"] for arm in written["arms"]}
    assert costs["uniform"] * 6 == costs["strict"] == costs["uniform_long"] == costs["uniform_k"]
    assert set(written["differences"]["equal_compute"]["mean"]) == {"uniform_k", "uniform_k_slow", "uniform_long"}
    assert set(written["differences"]["equal_epochs"]["mean"]) == {"uniform_k", "uniform_k_slow", "uniform"}
    strict = written["arms"][0]["trainings"][0]["fairness"]
    assert (strict["strict_fair"], strict["variance_ratio"]) == (True, 0)


@pytest.mark.slow
def test_a_second_call_does_nothing_again_and_says_so(drawn, monkeypatch):
    out, numbers, _ = drawn
    monkeypatch.setattr("fairnas.paper.figure_1_study.train_and_score", lambda *_: pytest.fail("done before"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    narrator = Listening()
    assert draw_figure_1(out, FIGURE, narrator) == numbers
    assert narrator.said.count("SF, seed 1: done before") == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_settings_and_foreign_folders_are_refused_in_one_line(drawn, tmp_path):
    out, _, _ = drawn
    other = dataclasses.replace(FIGURE, seeds=3, base=dataclasses.replace(BASE, seed=4))
    with pytest.raises(RunDirectoryError, match=r"other settings \(seeds is 2, given 3, seed is 0, given 4\)"):
        draw_figure_1(out, other, SilentNarrator())
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="is not the folder of a figure; give a new or an empty --out"):
        draw_figure_1(tmp_path, FIGURE, SilentNarrator())
    with pytest.raises(ConfigError, match="--seeds is 0; give 1 or more"):
        draw_figure_1(tmp_path / "new", dataclasses.replace(FIGURE, seeds=0), SilentNarrator())
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.full
def test_resources_may_change_when_a_figure_goes_on(drawn):
    out, numbers, _ = drawn
    resources = dataclasses.replace(BASE.resources, checkpoint_seconds=5.0)
    changed = dataclasses.replace(FIGURE, base=dataclasses.replace(BASE, resources=resources))
    assert draw_figure_1(out, changed, SilentNarrator())["arms"] == numbers["arms"]


@pytest.mark.slow
@pytest.mark.full
def test_stopped_anywhere_it_goes_on_and_ends_the_same(drawn, tmp_path):
    _, numbers, _ = drawn
    out, interruptions = tmp_path / "figure1", 0
    figure = dataclasses.replace(FIGURE, seeds=1)
    while True:
        asked = 0

        def stop():
            nonlocal asked
            asked += 1
            return asked > 17  # steps of a training and portions of a scoring, wherever that is

        try:
            found = draw_figure_1(out, figure, SilentNarrator(), stop)
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 3
    for arm, undisturbed in zip(found["arms"], numbers["arms"], strict=True):
        assert arm["trainings"] == undisturbed["trainings"][:1]


def test_scores_that_are_damaged_or_belong_to_other_weights_are_made_again(drawn):
    out, _, _ = drawn
    run = RunDirectory(out / "uniform-s0")
    assert supernet_runs.is_done(run, 12)
    assert not supernet_runs.is_done(run, 18)
    path = run.path / "stratified.json"
    good = path.read_text()
    try:
        for bad in ("{", "[]", '{"status": "done"}', good.replace('"checkpoint": "', '"checkpoint": "0')):
            path.write_text(bad)
            assert not supernet_runs.is_done(run, 12), bad
    finally:
        path.write_text(good)


def test_each_genome_gets_its_own_score_also_if_it_was_drawn_twice(drawn, monkeypatch):
    out, _, _ = drawn
    genomes = stratified_genomes(get_space("digits"), 24)
    genomes = (*genomes, genomes[3])
    monkeypatch.setattr(
        supernet_runs, "score_on_validation", lambda _, portion: [{"top1": sum(genome) / 40} for genome in portion]
    )
    experiment = Experiment(RunDirectory(out / "strict-s0"))
    assert supernet_runs.score_top1(experiment, genomes) == [sum(genome) / 40 for genome in genomes]


@pytest.mark.slow
@pytest.mark.full
def test_an_arm_that_diverges_is_a_result_and_is_not_trained_again(tmp_path, monkeypatch):
    real, calls = supernet_runs.run_stage, []

    def diverging(experiment, name):
        calls.append(experiment.run.path.name)
        if experiment.config.train.strategy == "uniform_k":
            raise DivergedError("the loss is nan at step 3")
        real(experiment, name)

    monkeypatch.setattr(supernet_runs, "run_stage", diverging)
    figure = dataclasses.replace(FIGURE, seeds=1)
    first = draw_figure_1(tmp_path / "out", figure, SilentNarrator())
    assert len(calls) == 5
    assert draw_figure_1(tmp_path / "out", figure, SilentNarrator()) == first
    assert len(calls) == 5
    arms = {arm["name"]: arm for arm in first["arms"]}
    assert arms["uniform_k"]["trainings"][0]["diverged"] == "the loss is nan at step 3"
    assert arms["uniform_k"]["mean"] == {"mean": None, "std_over_seeds": None, "n": 0}
    assert arms["uniform_k"]["backward_passes"] == arms["strict"]["backward_passes"]
    assert arms["strict"]["mean"]["n"] == 1
    assert first["differences"]["equal_compute"]["mean"]["uniform_k"] is None


# Figure 4 -----------------------------------------------------------------------------------------------------


def test_curves_are_lemma_1_at_multiples_of_m():
    for m in BLOCKS:
        curve = equal_counts(m, 1000, 0)
        assert all(n % m == 0 for n in curve.n)
        assert list(curve.n) == sorted(set(curve.n))
        assert curve.n[-1] > 1_000_000
        assert list(curve.exact) == [equal_count_probability(m, n) for n in curve.n]
        assert all(a > b for a, b in zip(curve.exact, curve.exact[1:], strict=False))
        assert curve.asymptote[-1] / curve.exact[-1] == pytest.approx(1, abs=1e-5)
        assert all(point.exact * 1000 >= 10 for point in curve.simulated)
    assert multiples(6, 40) == (6, 12, 18, 24, 30, 36)


def test_the_simulation_agrees_with_lemma_1():
    rng = np.random.default_rng(0)
    for m, n in ((2, 2), (2, 14), (3, 9), (6, 6), (6, 12)):
        chance, repetitions = equal_count_probability(m, n), 40_000
        expected = chance * repetitions
        assert abs(simulate(m, n, repetitions, rng) - expected) < 4.5 * (expected * (1 - chance)) ** 0.5, (m, n)


def test_a_simulation_of_other_than_uniform_draws_would_be_noticed():
    class Unfair:
        def integers(self, m, size, dtype):
            return np.random.default_rng(0).choice(m, size=size, p=[0.7, 0.3]).astype(dtype)

    expected = equal_count_probability(2, 14) * 40_000
    assert abs(simulate(2, 14, 40_000, Unfair()) - expected) > 10 * expected**0.5


def test_figure_4_writes_its_page_and_its_numbers(tmp_path):
    numbers = draw_figure_4(tmp_path, 2000, 0, "fairnas figure 4")
    written = json.loads((tmp_path / "figure4.json").read_text())
    assert [curve["m"] for curve in written["curves"]] == [2, 3, 4, 5, 6]
    assert written["sentences"] == numbers["sentences"]
    assert "f(2, n) falls below 0.2 at n = 16" in written["sentences"][0]
    points = [point for curve in written["curves"] for point in curve["simulated"]]
    held = sum(point["low"] <= point["exact"] <= point["high"] for point in points)
    assert f"{held} of {len(points)} simulated points" in written["sentences"][3]
    assert held > 0.85 * len(points)
    assert numbers == draw_figure_4(tmp_path, 2000, 0, "fairnas figure 4")
    assert "2.48\u00a0\u00d7\u00a010⁻¹⁷" in (tmp_path / "figure4.html").read_text()  # f(6, 6,000,000)
    with pytest.raises(ConfigError, match="--repetitions is 5; give 100 or more"):
        draw_figure_4(tmp_path, 5, 0, "")
