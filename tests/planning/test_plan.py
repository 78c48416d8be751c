"""Cost of a run: the arithmetic exactly, stopwatches and the whole coarsely, because machines are busy."""

import dataclasses
import itertools
import math
import os
import tempfile
import time
from multiprocessing import util

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.config import DataConfig, Resources, RetrainConfig, RunConfig, SearchConfig, StandAloneConfig, TrainConfig
from fairnas.data import split_for_architecture
from fairnas.latency import LatencyTable, write_latency_table
from fairnas.latency.table import channels_of
from fairnas.nets import cost_table
from fairnas.pipeline import Experiment, prepare, run_stage
from fairnas.planning import dry_run, measure_plan
from fairnas.planning.dry_run import DryRunTimes, ExportTimes, SearchTimes
from fairnas.planning.operating_points import _noise, points_of
from fairnas.planning.plan import foresee
from fairnas.planning.timing import Limits, SpreadSteps, TrainingTimes, time_scoring, time_training, with_image_counts
from fairnas.planning.training_times import JobTimes
from fairnas.progress import SilentNarrator
from fairnas.recipes import folder, get_recipe
from fairnas.rundir import RunDirectory
from fairnas.space import get_space
from fairnas.train import STRATEGIES

BRIEF = Limits(least=0.3, most=1.0)


def tiny(**train) -> RunConfig:
    return dataclasses.replace(
        get_recipe("digits"),
        data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
        train=TrainConfig(**{"epochs": 10, "batch_size": 40, "lr": 0.05, **train}),
        search=SearchConfig(population=8, generations=3, select=2),
        stand_alone=StandAloneConfig(epochs=4, models=4, seeds=2),
        resources=Resources(device="cpu", processes=2),
    )


@pytest.fixture(scope="module")
def prepared():
    return prepare(tiny())


LIGHT, MIDDLE, HEAVY = "00000000", "11111111", "44444444"


@pytest.fixture
def measured(prepared):
    """Round numbers. The networks are of 120 images, so epochs have 3 steps of 40."""
    space = prepared.space
    light, middle, heavy = map(space.parse, (LIGHT, MIDDLE, HEAVY))
    table = dry_run.cost_table(space)

    def job(genome, step):
        cost = table(genome)
        return JobTimes(cost.madds, cost.params, TrainingTimes(0.5, step, 0.25), 0.125, 0.125, 1000)

    return DryRunTimes(
        supernet=TrainingTimes(start=2.0, step=0.5, epoch=0.25),
        curve=0.75,
        save=0.125,
        checkpoint=10_000,
        search=SearchTimes((8, 8, 6), 0, ((0, 0.5), (2, 0.25)), bookkeeping=3.0, archive=1100),
        retrained=(heavy, light),
        studied=(heavy, middle, light),
        jobs=(job(light, 1.0), job(heavy, 2.0)),
        processes=2,
        process_start=4.0,
        study=0.5,
        export=ExportTimes(first=3.0, next=2.0, params=table(light).params, files=5000),
        report=0.25,
        report_file=20_000,
        memory=123_456,
    )


def seconds(plan):
    return {stage.name: stage.seconds for stage in plan.stages}


def curve(prepared, passes):
    """Seconds for this number of scorings of the validation images while a network trains; 0.125 are for both parts."""
    validation, test = len(prepared.dataset.validation), len(prepared.dataset.test)
    return passes * 0.125 * validation / (validation + test)


def with_config(prepared, **sections):
    changed = {name: dataclasses.replace(getattr(prepared.config, name), **new) for name, new in sections.items()}
    return dataclasses.replace(prepared, config=dataclasses.replace(prepared.config, **changed))


def test_a_plan_is_the_sum_of_its_parts(prepared, measured):
    plan = foresee(prepared, measured)
    found = seconds(plan)
    assert plan.steps == 30
    assert plan.path_images_per_s == 6 * 40 / 0.5
    assert found["train"] == 2 + 10 * (0.25 + 3 * 0.5) + 10 * 0.75 + 0.125  # less than a checkpoint's 30 seconds
    assert found["search"] == 8 * 0.5 + 8 * 0.375 + 6 * 0.25 + 3.0
    light, heavy = (0.5 + 4 * (0.25 + 3 * step) + 0.25 + curve(prepared, 3) for step in (1.0, 2.0))
    assert found["retrain"] == pytest.approx(4.0 + max(light, heavy))
    assert found["export"] == 3.0 + 2.0 + 2 * 0.5
    assert found["report"] == 0.25
    assert plan.seconds == sum(found.values())
    assert plan.hours == plan.seconds / 3600
    assert plan.memory == 123_456
    assert plan.execution == prepared.execution.reason
    assert [stage.name for stage in plan.stages] == ["train", "search", "retrain", "rank", "export", "report"]


def test_what_retrain_has_trained_is_not_trained_again(prepared, measured):
    plan = foresee(prepared, measured)
    assert {stage.name: stage.work for stage in plan.stages}["rank"] == "4 trainings"  # middle twice, the others once
    one_seed = with_config(prepared, stand_alone={"seeds": 1})
    assert {stage.name: stage.work for stage in foresee(one_seed, measured).stages}["rank"] == "1 training"
    same = dataclasses.replace(measured, retrained=measured.studied)
    assert seconds(foresee(one_seed, same))["rank"] == 3 * 0.5 + 0.5  # scores and statistics, no training


@pytest.mark.parametrize("factor", [2, 5])
def test_so_many_times_the_epochs_is_so_many_times_the_training(factor, prepared, measured):
    bare = dataclasses.replace(measured, supernet=TrainingTimes(0.0, 0.5, 0.25), save=0.0)
    longer = with_config(prepared, train={"epochs": factor * 10})
    assert seconds(foresee(longer, bare))["train"] == factor * seconds(foresee(prepared, bare))["train"]
    for stage in ("search", "retrain", "rank", "export", "report"):
        assert seconds(foresee(longer, bare))[stage] == seconds(foresee(prepared, bare))[stage]


def test_stand_alone_epochs_and_processes(prepared, measured):
    one = dataclasses.replace(measured, processes=1, process_start=0.0)
    light, heavy = (0.5 + 4 * (0.25 + 3 * step) + 0.25 + curve(prepared, 3) for step in (1.0, 2.0))
    assert seconds(foresee(prepared, one))["retrain"] == pytest.approx(light + heavy)
    twice = with_config(prepared, stand_alone={"epochs": 8}, resources={"checkpoint_seconds": 1000.0})
    longer = seconds(foresee(twice, one))["retrain"]
    still = 2 * (0.75 + curve(prepared, 3))
    assert longer - 2 * (0.75 + curve(prepared, 7)) == pytest.approx(2 * (light + heavy - still))


def test_a_product_recipe_is_planned_for_use_and_the_study_trains_all_its_networks(prepared, measured):
    one = dataclasses.replace(measured, processes=1, process_start=0.0, product=1.5)
    product = dataclasses.replace(
        prepared.config,
        retrain=RetrainConfig(recipe="product", epochs=6, batch_size=80, validations=2),
        resources=dataclasses.replace(prepared.config.resources, checkpoint_seconds=1000.0),
    )
    plan = foresee(dataclasses.replace(prepared, config=product), one)
    twice = 2 * 1.5  # twice the images in a step, at one and a half times the cost of each
    light, heavy = (0.5 + 6 * (0.25 + 1 * step * twice) + 0.25 + curve(prepared, 4) for step in (1.0, 2.0))
    assert seconds(plan)["retrain"] == pytest.approx(light + heavy)
    assert {stage.name: stage.work for stage in plan.stages}["rank"] == "6 trainings"  # none is done by `retrain`


def test_checkpoints_cost(prepared, measured):
    usual = seconds(foresee(prepared, measured))["train"]
    often = with_config(prepared, resources={"checkpoint_steps": 3})
    assert seconds(foresee(often, measured))["train"] == usual + 9 * measured.save  # the last after the last step
    always = with_config(prepared, resources={"checkpoint_seconds": 0.0})
    assert seconds(foresee(always, measured))["train"] == usual + 29 * measured.save


def test_generations_that_were_not_rehearsed_are_like_the_last(prepared, measured):
    sixfold = with_config(prepared, search={"generations": 6})
    cut = dataclasses.replace(measured, search=dataclasses.replace(measured.search, left=3))
    late = 3 * (8 + 8 + 6) / 3 * 0.25
    assert seconds(foresee(sixfold, cut))["search"] == pytest.approx(8 * 0.5 + 8 * 0.375 + 6 * 0.25 + late + 6.0)
    assert "about 44 networks" in foresee(sixfold, cut).stages[1].work


def test_disk_counts_what_a_run_leaves_and_what_is_replaced(prepared, measured):
    heavy, light = measured.jobs[-1], measured.jobs[0]
    per_parameter = 8  # weight and momentum; weight in two formats
    more = per_parameter * (heavy.params - light.params)
    jobs, models = 2 * 1000 - more, 2 * 5000 + more
    assert foresee(prepared, measured).disk == 2 * 10_000 + jobs + 2 * 2 * 1000 + models + 1100 + 10_000 + 20_000


class Sleeping:
    """A training whose steps take 4 ms, 40 the first; and what it was asked."""

    kind, batches_per_step = "sleeping", 1

    def __init__(self):
        self.network = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        self.asked = []

    def images(self, dataset):
        return dataset

    def step(self, batches, step, total):
        time.sleep(0.004 if self.asked else 0.04)
        self.asked.append((step, total))
        return torch.zeros(())

    def extra_state(self):
        return {}

    def restore_extra(self, content):
        pass


@pytest.mark.parametrize("batch_size", [20, 40, 120], ids=["6 steps an epoch", "3", "1"])
def test_time_of_a_training_that_sleeps(batch_size, prepared):
    config = TrainConfig(batch_size=batch_size)
    times, training = time_training(
        lambda changed: Sleeping(), prepared.dataset, config, torch.device("cpu"), Limits(0.2, 1.0)
    )
    assert 0.004 < times.step < 0.03
    assert 0 <= times.epoch < 0.05
    assert 0.02 < times.start < 0.5
    assert training.network.weight.numel() == 1


def test_a_step_longer_than_the_limit_is_measured_once(prepared):
    times, training = time_training(
        lambda changed: Sleeping(), prepared.dataset, TrainConfig(batch_size=40), torch.device("cpu"), Limits(0, 0)
    )
    assert times.step > 0.004
    assert len(training.asked) <= 8


def test_steps_are_spread_over_the_training_in_whole_cycles():
    inner = Sleeping()
    spread = SpreadSteps(inner, 3000, 3)
    for step in range(60):
        spread.step([], step, 99)
    steps = [step for step, _ in inner.asked]
    assert {total for _, total in inner.asked} == {3000}
    assert [step % 3 for step in steps] == [0, 1, 2] * 20
    assert all(b == a + 1 for a, b in itertools.pairwise(steps) if b % 3)
    assert all(any(low <= step < low + 300 for step in steps) for low in range(0, 3000, 300))  # every tenth of it


def test_a_scoring_is_cut_short_and_multiplied():
    used = []

    def score(batches, seen):
        for images, _ in with_image_counts(batches, seen):
            used.append(len(images))
            time.sleep(0.02)

    batches = [(torch.zeros(10, 1), torch.zeros(10))] * 50
    whole = time_scoring(score, batches, 500, torch.device("cpu"), most=0.1)
    assert len(used) <= 6
    assert 0.5 < whole / (50 * 0.02) < 3
    used.clear()
    time_scoring(score, batches[:4], 40, torch.device("cpu"), most=60)
    assert len(used) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [pytest.param(name, marks=() if name in ("strict", "darts", "smash") else pytest.mark.full) for name in STRATEGIES],
)
def test_every_strategy_can_be_measured(strategy, monkeypatch, tmp_path):
    monkeypatch.setattr(dry_run, "SUPERNET", Limits(0, 0))
    ready = prepare(tiny(strategy=strategy, batch_size=10))
    experiment = Experiment(RunDirectory.create(tmp_path / "run", ready.config), opened=(ready.space, ready.dataset))
    with dry_run.threads_put_back():
        times, save, checkpoint, curve = dry_run._supernet(experiment)
    assert min(times.step, save, checkpoint, curve) > 0


class Listening(SilentNarrator):
    def __init__(self):
        self.titles = []

    def stage(self, number, total, title, upcoming):
        self.titles.append((number, total, title))


@pytest.mark.slow
@pytest.mark.full
def test_the_plan_of_a_run_and_the_run(prepared, monkeypatch, tmp_path):
    """Within a factor of 3 only: what a machine does beside is not in our hands. `benchmarks.plan` tells more."""
    monkeypatch.setattr(dry_run, "SUPERNET", BRIEF)
    (tmp_path / "temporary").mkdir()
    util.get_temp_dir()  # which processes have for their sockets: made now, it stays where it is, under a short name
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    narrator = Listening()
    try:
        plan = measure_plan(prepared, narrator)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [number for number, _, _ in narrator.titles] == [1, 2, 3, 4]
    assert os.listdir(tmp_path) == ["temporary"]
    assert os.listdir(tmp_path / "temporary") == []
    assert all(0 < stage.seconds < math.inf for stage in plan.stages)
    assert plan.memory > 1e8
    assert 1e6 < plan.disk < 1e8

    run = RunDirectory.create(tmp_path / "run", prepared.config)
    with run.locked(), dry_run.threads_put_back():
        begin = time.perf_counter()
        run_stage(Experiment(run, opened=(prepared.space, prepared.dataset)), "train")
        true = time.perf_counter() - begin
    assert 1 / 3 < plan.stages[0].seconds / true < 3


# Where a run can be done ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_point_where_a_given_table_or_bound_cannot_hold_is_none(tmp_path):
    free = prepare(tiny())
    assert [point.width for point in points_of(free, frozenset())] == [0.25, 0.5, 0.75, 1.0]
    space = free.space
    rows = tuple((0.5,) * count for count in space.choices)
    write_latency_table(
        tmp_path / "phone.json",
        LatencyTable(space.name, "a phone", 1.0, rows, space.image_size, None, channels_of(space)),
    )
    search = dataclasses.replace(free.config.search, latency_table=str(tmp_path / "phone.json"), max_latency=6)
    timed = prepare(dataclasses.replace(free.config, search=search))
    assert [point.width for point in points_of(timed, frozenset())] == [1.0]


@pytest.mark.slow
def test_larger_images_at_which_no_network_meets_the_bound_are_no_point(tmp_path):
    for name, number in itertools.product("ab", range(16)):
        (tmp_path / name).mkdir(exist_ok=True)
        pixels = np.random.default_rng([*name.encode(), number]).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    base = folder(
        f"folder:{tmp_path}",
        images=32,
        smallest_class=16,
        largest_class=16,
        has_test=False,
        median_side=96,
        with_gpu=False,
        image_size=32,
    )
    free = prepare(base)
    assert [(point.image_size, point.width) for point in points_of(free, frozenset({"width"}))] == [
        (32, 1.0), (48, 1.0), (64, 1.0), (96, 1.0)
    ]  # fmt: skip
    lightest = cost_table(get_space("compact").for_data(image_size=64, num_classes=2)).lightest["madds"]
    bound = dataclasses.replace(base, search=dataclasses.replace(base.search, max_madds=lightest * 1.01))
    assert [point.image_size for point in points_of(prepare(bound), frozenset({"width"}))] == [32, 48, 64]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_noise_for_a_probe_has_enough_of_each_class_for_the_architecture(prepared, share):
    many = dataclasses.replace(prepared.dataset, classes=tuple(map(str, range(100))))
    labels = torch.arange(10_000) % 100
    images = dataclasses.replace(many.train, pixels=many.train.pixels[:1].expand(10_000, -1, -1, -1), labels=labels)
    noise = _noise(dataclasses.replace(many, train=images), prepared.space, 256, prepared.config)
    weights, architecture = split_for_architecture(noise, share)
    assert len(weights.train) + len(architecture.train) == 256
    assert len(architecture.train) == pytest.approx(256 * share, abs=8)
