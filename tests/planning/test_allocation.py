"""Choices of the dial, on an invented device: always in time, never less for more time, never other than given."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import RunConfig
from fairnas.planning.allocation import LEAST_STEPS, TRAIN_SHARE, CostEstimate, OperatingPoint, choose, fit, last, least
from fairnas.planning.setting_ranges import (
    BUDGETED_SETTINGS,
    FEW_EPOCHS,
    MOST_EPOCHS,
    ImagesPerClass,
    Length,
    SettingRanges,
    Trainings,
    value_of,
)
from fairnas.recipes import get_recipe

NOTHING = frozenset()


@dataclasses.dataclass(frozen=True)
class Device:
    """An invented one: seconds of a step per pixel, of each network scored, and what every stage costs anyway."""

    step: float
    """Seconds at 1,000 pixels and width 1."""
    still: float
    """Seconds of the smallest step."""
    score: float
    start: float
    images: int

    def __call__(self, config: RunConfig, point: OperatingPoint) -> CostEstimate:
        images = min(self.images, 10 * (config.data.train_per_class or self.images))
        steps = max(1, images // config.train.batch_size)
        step = self.still + self.step * point.scale / 1000
        alone = config.stand_alone
        training = self.start + (alone.epochs or config.train.epochs) * steps * step / 5
        networks = config.search.population * config.search.generations
        return CostEstimate(
            config.train.epochs * steps,
            {
                "train": self.start + config.train.epochs * steps * step,
                "search": networks * self.score,
                "retrain": config.search.select * training,
                "rank": max(0, alone.models * alone.seeds - config.search.select) * training,
                "export": config.search.select * self.start,
                "report": self.start,
                "data": self.start * images / 1000,
            },
        )


DEVICES = st.builds(
    Device,
    step=st.floats(1e-3, 1),
    still=st.floats(1e-4, 0.05),
    score=st.floats(1e-4, 0.1),
    start=st.floats(0.01, 3),
    images=st.integers(30, 50_000),
)
IMAGES = tuple(ImagesPerClass(count, None) for count in (5, 20, 100, 400, None))
RECIPES = st.sampled_from(["digits", "cifar10"]).map(get_recipe)
SECONDS = st.floats(20, 200_000)


def points(config: RunConfig) -> tuple[OperatingPoint, ...]:
    def point(size, width, steps=LEAST_STEPS):
        return OperatingPoint(size, width, config.space, "crop_flip", steps)

    return (
        *(point(32, width) for width in (0.25, 0.5, 0.75)),
        *(point(size, 1.0) for size in (32, 48, 64)),
        *(point(size, 1.0, 900) for size in (96, 128)),
    )


@pytest.mark.slow
@given(RECIPES, DEVICES, SECONDS)
@settings(max_examples=60, deadline=None)
def test_a_choice_ends_in_time_and_leaves_nothing_that_would_fit(config, device, seconds):
    chosen = choose(config, NOTHING, points(config), device, seconds, IMAGES)
    needed = least(config, NOTHING, points(config), device, IMAGES)
    if chosen is None:
        assert needed > seconds
        return
    assert needed <= chosen.estimate.total <= seconds
    assert device(chosen.config, chosen.point) == chosen.estimate
    if chosen.estimate.total < 0.89 * seconds:  # nothing could be raised by the next notch
        ranges = SettingRanges(chosen.point.at(config), NOTHING, IMAGES)
        length = Length(ImagesPerClass(chosen.config.data.train_per_class, None), chosen.config.train.epochs)
        trainings, searches, ours = ranges.trainings(length.epochs), ranges.searches, chosen.config.search
        alone = chosen.config.stand_alone
        training = trainings.index(Trainings(ours.select, alone.models, alone.epochs, alone.seeds))
        search = searches.index((ours.population, ours.generations))
        for more in (
            *([(searches[search + 1], trainings[training])] if search + 1 < len(searches) else []),
            *([(searches[search], trainings[training + 1])] if training + 1 < len(trainings) else []),
        ):
            assert device(ranges.settled(length, *more), chosen.point).total > seconds


@pytest.mark.slow
@given(RECIPES, DEVICES, SECONDS, st.floats(1, 3))
@settings(max_examples=40, deadline=None)
def test_more_time_is_never_less_work_and_the_same_time_the_same_choice(config, device, seconds, factor):
    before = choose(config, NOTHING, points(config), device, seconds, IMAGES)
    assert before == choose(config, NOTHING, points(config), device, seconds, IMAGES)
    after = choose(config, NOTHING, points(config), device, seconds * factor, IMAGES)
    if before is not None:
        assert after is not None
        assert after.work >= before.work


@pytest.mark.slow
@given(RECIPES, DEVICES, SECONDS, st.frozensets(st.sampled_from(BUDGETED_SETTINGS[6:])))
@settings(max_examples=40, deadline=None)
def test_what_was_given_stays(config, device, seconds, names):
    if "stand_alone.epochs" in names:
        config = dataclasses.replace(config, stand_alone=dataclasses.replace(config.stand_alone, epochs=11))
    chosen = choose(config, names, points(config), device, seconds)
    if chosen is not None:
        assert {name: value_of(chosen.config, name) for name in names} == {
            name: value_of(config, name) for name in names
        }
        untouched = dataclasses.replace(chosen.config, **{
            part: getattr(config, part) for part in ("space", "width", "data", "train", "search", "stand_alone")
        })  # fmt: skip
        assert untouched == config


def test_the_supernet_has_half_of_the_time_and_the_rest_is_shared():
    device = Device(step=0.05, still=0.001, score=0.02, start=0.1, images=6400)
    config = get_recipe("cifar10")
    for seconds in (100, 300, 700):
        chosen = fit(config, NOTHING, points(config)[3], device, seconds)
        shares = {name: part / seconds for name, part in chosen.estimate.seconds.items()}
        assert TRAIN_SHARE - 0.05 <= shares["train"] <= TRAIN_SHARE + 0.01
        assert 0.05 < shares["search"] < 0.15
        assert shares["retrain"] > 0.1
        assert chosen.config.stand_alone.models >= 6 or chosen.config.stand_alone.epochs == 1


def test_images_grow_with_the_time_then_epochs_up_to_their_most_and_then_it_is_enough():
    device = Device(step=0.01, still=0.001, score=0.001, start=0.1, images=6400)
    config = get_recipe("cifar10")
    chosen = [choose(config, NOTHING, points(config), device, seconds) for seconds in (5, 25, 400, 10**6, 10**7)]
    sizes = [each.point.image_size for each in chosen]
    assert (sizes[0], sizes[2:]) == (32, [128, 128, 128])
    assert 32 < sizes[1] < 128
    assert chosen[0].point.width < 1
    assert chosen[-1] == chosen[-2]
    assert chosen[-1].config.train.epochs == MOST_EPOCHS
    assert chosen[-1].config.stand_alone == dataclasses.replace(config.stand_alone, epochs=MOST_EPOCHS)


def test_no_study_is_larger_and_no_short_training_longer_than_the_recipes():
    config = get_recipe("digits")
    trainings = SettingRanges(config, NOTHING).trainings(MOST_EPOCHS)
    assert (trainings[0], trainings[-1]) == ((1, 0, 1, 1), (3, 16, 8, 2))
    cost = [(each.select + each.models * each.seeds) * each.epochs for each in trainings]
    assert cost == sorted(cost)
    assert max(each.epochs for each in SettingRanges(config, NOTHING).trainings(25)) == math.ceil(8 * 25 / 50)


def test_few_images_first_then_all_of_them_then_more_epochs():
    lengths = SettingRanges(get_recipe("cifar10"), NOTHING, IMAGES).lengths
    work = [(each.images.train or 5000) * each.epochs for each in lengths]
    assert work == sorted(set(work))
    assert lengths[0] == Length(IMAGES[0], 1)
    assert [each.images for each in lengths if each.epochs == FEW_EPOCHS] == list(IMAGES)
    assert lengths[-1] == Length(IMAGES[-1], MOST_EPOCHS)
    given = SettingRanges(get_recipe("cifar10"), frozenset({"train.epochs"}), IMAGES).lengths
    assert given == tuple(Length(each, 100) for each in IMAGES)


def test_a_search_looks_at_as_many_networks_as_the_study_may_want():
    config = get_recipe("digits")
    many = dataclasses.replace(config, stand_alone=dataclasses.replace(config.stand_alone, models=100))
    assert math.prod(SettingRanges(many, NOTHING).searches[0]) >= 100
    assert SettingRanges(config, NOTHING).searches[0] == (8, 2)


@pytest.mark.parametrize("answer", range(-1, 7))
def test_the_last_that_holds(answer):
    assert last(7, lambda number: number <= answer) == answer
