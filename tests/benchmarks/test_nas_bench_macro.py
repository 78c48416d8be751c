"""The study of NAS-Bench-Macro, on scikit-learn's digits: a few steps, a few networks."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from benchmarks import nas_bench_macro
from benchmarks.macro_study import table, trainings
from benchmarks.macro_study.arms import ARMS, BATCH_SIZE, Data, DistinctSampler, length_of, some_networks
from benchmarks.macro_study.table import TruthComparison, depth_of, over_seeds, read_truth, scored_trainings, yardsticks
from benchmarks.macro_study.trainings import Job, Scoring, run_scoring, run_training, snapshot
from fairnas.analysis.nas_bench_macro import TrueNetwork
from fairnas.analysis.ranking import RankAgreement
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.fairness import StrictSampler
from fairnas.space import format_genome, get_space
from fairnas.train import make_strategy, read_checkpoint

SPACE = get_space("nas_bench_macro")
TINY = Data("digits", train_per_class=7, validation_per_class=4, image_size=8)
STEP = 3 * 7 * 10  # a budget of one epoch of one strict step


def silent(text: str) -> None:
    """Ignore all messages."""


def tiny_job(out: Path, arm: str = "strict", seed: int = 0, steps: int = 1, **changes: Any) -> Job:
    return dataclasses.replace(Job(out, TINY, arm, seed, steps * STEP, 0.01), **changes)


@pytest.fixture
def quick_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval over 3,969 networks takes seconds, and is tested elsewhere."""

    def without_interval(predicted: list[float], truth: list[float]) -> RankAgreement:
        if len(set(predicted)) == 1:
            return RankAgreement(math.nan, (math.nan, math.nan), len(truth), math.nan, math.nan)
        tau, rho = kendalltau(predicted, truth), spearmanr(predicted, truth)
        return RankAgreement(tau.statistic, (-1.0, 1.0), len(truth), tau.pvalue, rho.statistic)

    monkeypatch.setattr(table, "rank_agreement", without_interval)


# Arms -----------------------------------------------------------------------------------------------------------


@given(st.integers(300, 3_000_000), st.integers(14, 4500))
def test_equal_compute_is_exactly_equal(budget: int, per_class: int) -> None:
    data = Data(train_per_class=per_class)
    lengths = {name: length_of(arm, budget, data, SPACE) for name, arm in ARMS.items()}
    strict = lengths["strict"]
    assert strict.per_class <= per_class
    steps = strict.per_class * 10 // BATCH_SIZE
    assert strict.path_images == 3 * strict.epochs * steps * BATCH_SIZE <= budget
    for name, arm in ARMS.items():
        assert lengths[name].path_images == strict.path_images * arm.compute
        assert lengths[name].per_class == strict.per_class
    assert lengths["uniform_equal_epochs"].epochs == strict.epochs == lengths["ef"].epochs
    assert lengths["uniform"].epochs == 3 * strict.epochs


def test_a_budget_below_one_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger --budget"):
        length_of(ARMS["strict"], 100, Data(), SPACE)


def test_distinct_networks_are_drawn_equally_often() -> None:
    networks = some_networks(SPACE, 5, "test")
    sampler = DistinctSampler(networks, seed=0)
    drawn = [sampler.paths(step)[0] for step in range(1000)]
    assert sampler.paths(7) == sampler.paths(7)
    assert all(150 < drawn.count(network) < 250 for network in networks)


def test_every_arm_trains_what_its_strategy_says() -> None:
    for arm in ARMS.values():
        strategy = make_strategy(trainings.train_config(arm, 1, 0.1), SPACE.choices, 0)
        assert isinstance(strategy.sampler, StrictSampler) == arm.strategy.startswith("strict")
        assert strategy.passes_per_step == (1 if arm.strategy == "uniform" else 3)


# Trainings and scores -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_any_place_it_ends_with_the_same_files(tmp_path, monkeypatch) -> None:
    points = {"points": (0.5, 1.0)}
    whole = tiny_job(tmp_path / "whole", steps=4, **points)
    facts = run_training(whole, silent)
    assert facts["status"] == "done"
    assert facts["strict_fair"]
    assert facts["points"] == [2, 4]
    assert facts["backward_passes"] == 3 * 4
    assert facts["path_images"] == 3 * 4 * 64

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    job = tiny_job(tmp_path / "killed", steps=4, **points)
    with monkeypatch.context() as patch:  # after the checkpoint of a snapshot, before the snapshot
        patch.setattr(trainings, "write_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(job, silent)
    assert not snapshot(job, 2).exists()
    with monkeypatch.context() as patch:  # before the end
        patch.setattr(trainings, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(job, silent)
    assert snapshot(job, 4).exists()
    assert run_training(job, silent) == facts
    for step in (2, 4):
        ours, theirs = (read_checkpoint(snapshot(each, step), "supernet") for each in (job, whole))
        assert ours["identity"] == theirs["identity"]
        assert all(torch.equal(ours["network"][name], tensor) for name, tensor in theirs["network"].items())

    scoring = Scoring("recalibrated", networks=12, images=20, calibration=16)
    expected = run_scoring(whole, 4, scoring, silent)
    seen = []

    def killed_after_two(text: str) -> None:
        seen.append(text)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_scoring(job, 4, scoring, killed_after_two)
    partial = json.loads(trainings.scores_path(job, 4, scoring).read_text())
    assert 0 < len(partial["scores"]) < 12 == partial["wanted"]
    assert run_scoring(job, 4, scoring, silent) == expected
    assert list(expected) == sorted(expected)


@pytest.mark.slow
def test_mean_weights_are_those_of_the_last_snapshots(tmp_path, monkeypatch) -> None:
    job = tiny_job(tmp_path, steps=4, points=(0.5, 0.75, 1.0))
    run_training(job, silent)
    states = [read_checkpoint(snapshot(job, step), "supernet")["network"] for step in (2, 3, 4)]
    mean = trainings.mean_weights(states[1:])  # half of the training is too early
    name = "stem.0.0.weight"
    assert torch.allclose(mean[name], (states[1][name] + states[2][name]) / 2)
    assert not torch.allclose(mean[name], states[2][name])
    assert all(mean[key].dtype == tensor.dtype for key, tensor in states[2].items())
    scoring = Scoring("batch", networks=4, images=20)
    last = run_scoring(job, 4, scoring, silent)
    used = []
    monkeypatch.setattr(trainings, "mean_weights", lambda given: used.extend(given) or mean)
    averaged = run_scoring(job, 4, dataclasses.replace(scoring, averaged=True), silent)
    assert [each[name].tolist() for each in used] == [each[name].tolist() for each in states[1:]]
    monkeypatch.undo()
    assert averaged.keys() == last.keys()
    assert averaged != last
    names = [format_genome(genome) for genome in some_networks(SPACE, 4, "scored networks")]
    truth = {name: TrueNetwork(0.9 + place / 100, (0.9,), 1, 1) for place, name in enumerate(names)}
    (found,) = scored_trainings(tmp_path, TruthComparison(truth))
    assert sorted(row["averaged"] for row in found["scored"]) == [False, True]
    assert [row["averaged"] for row in over_seeds([found])] == [row["averaged"] for row in found["scored"]]
    one_step = tiny_job(tmp_path / "one", steps=2, points=(0.5, 1.0))
    run_training(one_step, silent)
    alone = run_scoring(one_step, 2, dataclasses.replace(scoring, averaged=True), silent)
    assert alone == run_scoring(one_step, 2, scoring, silent)


@pytest.mark.slow
def test_another_learning_rate_does_not_go_on_with_a_training(tmp_path) -> None:
    run_training(tiny_job(tmp_path), silent)
    with pytest.raises(RunDirectoryError, match=r"0\.01, given 0\.02"):
        run_training(tiny_job(tmp_path, lr=0.02), silent)


@pytest.mark.slow
def test_a_training_that_diverges_is_a_result(tmp_path) -> None:
    job = tiny_job(tmp_path, steps=3, lr=1e30)
    facts = run_training(job, silent)
    assert facts["status"] == "diverged"
    assert run_training(job, silent) == facts
    assert trainings.mean_top1(job) is None


# Table ----------------------------------------------------------------------------------------------------------


def test_yardsticks_are_those_of_the_benchmark(macro_truth, tmp_path, quick_bootstrap) -> None:
    truth = _saved_truth(macro_truth, tmp_path)
    found = yardsticks(TruthComparison(truth))
    assert found["networks"] == 3969
    assert found["seed_to_seed"] == pytest.approx([0.88] * 3, abs=0.005)
    taus = {name: row["tau"] for name, row in found["predictors"].items()}
    assert taus == pytest.approx({"depth": 0.68, "madds": 0.55, "params": 0.21}, abs=0.01)


def test_depth_counts_inverted_residuals() -> None:
    assert depth_of(SPACE.parse("00000000")) == 0
    assert depth_of(SPACE.parse("20010012")) == 4


def test_the_table_is_scipys(tmp_path, quick_bootstrap) -> None:
    names = [format_genome(genome) for genome in some_networks(SPACE, 6, "test")]
    truth = {name: TrueNetwork(0.9 + place / 100, (0.9,), 1, 1) for place, name in enumerate(names)}
    by_seed = [[0.1, 0.2, 0.2, 0.4, 0.3, 0.6], [0.3] * 6]
    for seed, top1 in enumerate(by_seed):
        folder = tmp_path / f"strict-1-s{seed}"
        facts = {
            "arm": "strict",
            "image_size": 8,
            "budget": 100,
            "lr": 0.1,
            "seed": seed,
            "identity": "x",
            "path_images": 99,
        }
        trainings.write_json(folder / "training.json", {**facts, "steps": 10, "status": "done"})
        scores = {name: {"top1": value, "loss": -value} for name, value in zip(names, top1, strict=True)}
        content = {"identity": "x", "step": 10, "wanted": 6, **dataclasses.asdict(Scoring("batch")), "scores": scores}
        trainings.write_json(folder / "scores-a.json", content)
        trainings.write_json(folder / "scores-b.json", {**content, "step": 5, "wanted": 7})  # not complete
    found = list(scored_trainings(tmp_path, TruthComparison(truth, tmp_path / "agreement.json")))
    again = list(scored_trainings(tmp_path, TruthComparison(truth, tmp_path / "agreement.json")))
    assert [len(facts["scored"]) for facts in found] == [1, 1]
    first = found[0]["scored"][0]
    expected = kendalltau(by_seed[0], range(6)).statistic
    assert first["by_top1"]["tau"] == first["by_loss"]["tau"] == pytest.approx(expected)
    assert first == again[0]["scored"][0]
    assert math.isnan(found[1]["scored"][0]["by_top1"]["tau"])
    assert first["one_shot_range"] == [0.1, 0.6]
    assert first["lambda"] == pytest.approx(0.5 - 0.05)
    (both,) = table.committees(
        tmp_path, TruthComparison(truth)
    )  # the second seed scores all alike, so it changes no order
    assert (both["seeds"], both["networks"], both["path_images"]) == (2, 6, 99)
    assert both["by_top1"]["tau"] == both["by_loss"]["tau"] == pytest.approx(expected)
    (row,) = over_seeds([found[0], {**found[0], "seed": 2}])
    assert row["seeds"] == 2
    assert row["tau"] == {"mean": pytest.approx(expected), "low": pytest.approx(expected), "high": row["tau"]["mean"]}


@pytest.mark.slow
def test_several_supernets_together_are_judged_by_their_mean_score(tmp_path, macro_truth, quick_bootstrap) -> None:
    truth = _saved_truth(macro_truth, tmp_path)
    names = sorted(truth, key=lambda name: truth[name].top1)[:400:80]
    # each puts another pair the wrong way round; their mean has all in order
    for seed, top1 in enumerate(([0.1, 0.3, 0.2, 0.6, 0.8], [0.2, 0.1, 0.5, 0.6, 0.9])):
        facts = {"arm": "strict", "image_size": 8, "budget": 100, "lr": 0.1, "seed": seed, "identity": "x"}
        facts |= {"path_images": 99, "steps": 10, "status": "done"}
        trainings.write_json(tmp_path / f"s{seed}" / "training.json", facts)
        scores = {name: {"top1": value, "loss": -value} for name, value in zip(names, top1, strict=True)}
        content = {"identity": "x", "step": 10, "wanted": 5, **dataclasses.asdict(Scoring("batch")), "scores": scores}
        trainings.write_json(tmp_path / f"s{seed}" / "scores-a.json", content)
    judge = TruthComparison(truth)
    alone = [facts["scored"][0]["by_top1"]["tau"] for facts in scored_trainings(tmp_path, judge)]
    (both,) = table.committees(tmp_path, judge)
    assert max(alone) < 1
    assert both["by_top1"]["tau"] == both["by_loss"]["tau"] == pytest.approx(1)


def test_tau_at_equal_depth_is_the_mean_over_depths_by_pairs() -> None:
    predicted = {"22222222": 0.1, "11111111": 0.2, "12222222": 0.3, "01111111": 0.5, "02222222": 0.4, "00000000": 9.0}
    truth = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]  # three of 8 layers in order, two of 7 the wrong way round, one alone
    assert table.equal_depth_tau(predicted, truth) == pytest.approx((3 * 1 + 1 * -1) / 4)
    assert table.equal_depth_tau({"00000000": 1.0}, [0.5]) is None


def _saved_truth(macro_truth: dict[str, Any], folder: Path) -> table.Truth:
    path = folder / "truth.json"
    path.write_text(json.dumps(macro_truth))
    return read_truth(path)


# The program ----------------------------------------------------------------------------------------------------

FLAGS = (
    *("--data", "digits", "--image-size", "8"),
    *("--train-per-class", "7", "--validation-per-class", "4", "--processes", "1"),
    *("--budget", "420", "--tune-budget", "210", "--points", "0.5", "1", "--networks", "6", "--curve-networks", "4"),
    *("--images", "20", "--calibration", "16", "--rates", "0.01", "1e30"),
)


@pytest.mark.slow
@pytest.mark.full
def test_the_program_does_what_is_missing_and_no_more(macro_truth, tmp_path, quick_bootstrap, capsys) -> None:
    _saved_truth(macro_truth, tmp_path)
    out = tmp_path / "study"
    where = ("--truth", str(tmp_path / "truth.json"), "--out", str(out), *FLAGS)
    assert nas_bench_macro.main([*where, "--arms", "strict", "--seeds", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["learning_rates"]["strict"]["lr"] == 0.01
    assert result["learning_rates"]["strict"]["tried"]["1e+30"] is None
    assert set(result["learning_rates"]) == {"strict"}
    ends = {row["statistics"]: row for row in result["arms"] if row["last"]}
    assert set(ends) == {"batch", "running", "recalibrated"}
    assert all((row["seeds"], row["networks"], row["path_images"]) == (2, 6, 384) for row in ends.values())
    (half,) = (row for row in result["arms"] if not row["last"])
    assert {row["statistics"] for row in result["committees"]} == {"batch", "running", "recalibrated"}
    assert (half["path_images"], half["networks"], half["statistics"]) == (192, 4, "batch")
    assert result["yardsticks"]["predictors"]["depth"]["n"] == 3969
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    arms = ("--arms", "strict", "uniform_distinct", "--seeds", "1", "--statistics", "batch")
    assert nas_bench_macro.main([*where, *arms]) == 0
    printed = capsys.readouterr().out
    for part in ("uniform_distinct", "recalibrated", "depth", "learning rate of uniform: 0.01", "1e+30: -"):
        assert part in printed
    changed = {path for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert {path.name for path in changed} <= {"learning_rates-8px.json", "agreement.json"}
    assert nas_bench_macro.main([*where, "--table"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.slow
def test_wrong_flags_are_one_line(macro_truth, tmp_path, capsys) -> None:
    _saved_truth(macro_truth, tmp_path)
    where = ("--truth", str(tmp_path / "truth.json"), "--out", str(tmp_path / "study"))
    for wrong, says in (
        (("--points", "0.5"), "must rise to 1"),
        (("--arms", "strickt"), "did you mean 'strict'"),
        (("--truth", str(tmp_path / "no.json")), "cannot read"),
    ):
        assert nas_bench_macro.main([*where, *wrong]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_few_trained_networks_correct_what_is_wrong_for_all_of_a_depth(macro_truth, tmp_path) -> None:
    """A supernet that gives too little credit for depth, and is right otherwise."""
    truth = _saved_truth(macro_truth, tmp_path)
    names = [format_genome(genome) for genome in some_networks(SPACE, 120, "test")]
    scores = {
        name: {"top1": truth[name].top1 - 0.03 * depth_of(SPACE.parse(name)), "loss": 1 - truth[name].top1}
        for name in names
    }
    found = {row["predictor"]: row for row in table.corrected(scores, truth, 13)}
    assert found["cross-entropy"]["tau"] == pytest.approx(1)
    assert found["top-1"]["tau"] + 0.1 < found["top-1, depth"]["tau"]
    assert found["depth, multiply-adds"]["tau"] < 0.8
    low, high = found["top-1, depth"]["tau_range"]
    assert low <= found["top-1, depth"]["tau"] <= high
    for row in found.values():  # what the trained networks say of a sum is what holds for the others
        assert row["verdict"] == pytest.approx(row["tau"], abs=0.06)
        assert row["verdict_range"][0] < row["tau_range"][0] <= row["tau"] or row["tau"] == pytest.approx(1)
    assert found["cross-entropy"]["lost"] == 0
    assert found["top-1"]["lost"] > found["top-1, depth"]["lost"] > 0
    assert table.corrected(scores, truth, 60) == []  # as many must be left to be judged
    assert table.corrected({**scores, names[0]: {"top1": 0.1, "loss": math.inf}}, truth, 13) == []


def test_what_choosing_loses_is_the_mean_over_bounds(monkeypatch) -> None:
    monkeypatch.setattr(table, "BOUNDS", 2)
    accuracies, madds = np.array([0.5, 0.9, 0.7, 0.8]), np.array([1.0, 2.0, 3.0, 4.0])
    assert table.lost_by_choosing(np.array([1, 2, 3, 4]), accuracies, madds) == pytest.approx((0.0 + 0.1) / 2)
    assert table.lost_by_choosing(np.array([4, 3, 2, 1]), accuracies, madds) == pytest.approx((0.4 + 0.4) / 2)
    assert table.lost_by_choosing(accuracies, accuracies, madds) == 0
