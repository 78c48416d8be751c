"""Shortening of a run that is slower than planned: on invented machines, with an invented clock."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.pipeline.timetable import ENDING, LEAST_STUDY, ORDER, SETTINGS, Timetable, setting_of, with_shortened
from fairnas.recipes import get_recipe

BUDGET = 600.0
PARTS = 20
"""Steps of an epoch, and of everything else that is one whole."""


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(config, foreseen, slower, given=frozenset()):
    """Live through a run, stage by stage, `slower` times as slow as foreseen; how it ended, and with what settings."""
    clock = Clock()
    timetable = Timetable(ENDING * BUDGET, foreseen, given, clock)
    each = {stage: slower[stage] * foreseen[stage] / setting_of(config, stage) / PARTS for stage in ORDER}
    each["rank"] = slower["rank"] * foreseen["rank"] / config.stand_alone.models / PARTS
    shortened = []

    def shorten(found):
        nonlocal config
        shortened.append(found)
        config = with_shortened(config, found)
        timetable.shorten(found)

    for stage in ORDER:
        begun = clock.now
        if (found := timetable.before(stage, config)) is not None:
            shorten(found)
        done = 0
        while True:
            watch = timetable.watch(stage, config)
            at_first = done
            total = PARTS * (config.stand_alone.models if stage == "rank" else setting_of(config, stage))
            while done < total:
                done += 1
                clock.now += each[stage]
                watch.seen(done - at_first, total, at_first)
                if watch.is_late():
                    break
            if watch.shortened is None or done >= total:
                break
            shorten(watch.shortened)
        timetable.finished(stage, clock.now - begun)
    return clock.now, config, shortened


CONFIG = dataclasses.replace(
    get_recipe("digits"), stand_alone=dataclasses.replace(get_recipe("digits").stand_alone, models=6, seeds=1, epochs=8)
)
FORESEEN = {"train": 240.0, "search": 50.0, "retrain": 90.0, "rank": 90.0, "export": 30.0, "report": 1.0}
AS_FORESEEN = dict.fromkeys(ORDER, 1.0)


def test_nothing_is_shortened_that_is_as_fast_as_foreseen():
    for slower in (0.5, 1.0, 1.05):
        ended, config, shortened = run(CONFIG, FORESEEN, dict.fromkeys(ORDER, slower))
        assert (config, shortened) == (CONFIG, [])
        assert ended == pytest.approx(slower * sum(FORESEEN.values()))


@pytest.mark.slow
@given(st.fixed_dictionaries({stage: st.floats(0.5, 6) for stage in ORDER}))
@settings(max_examples=200, deadline=None)
def test_a_run_ends_in_time_however_slow_its_stages_are(slower):
    ended, _, shortened = run(CONFIG, FORESEEN, slower)
    for found in shortened:
        assert found.after < found.before
    fixed = slower["export"] * FORESEEN["export"] + slower["report"] * FORESEEN["report"]
    a_look = sum(slower[stage] * FORESEEN[stage] / setting_of(CONFIG, stage) for stage in SETTINGS)
    late = max(0.0, fixed - FORESEEN["export"])  # nobody could know what comes last
    assert ended <= BUDGET + late + a_look


def test_what_is_slower_is_shortened_and_what_follows_with_it():
    ended, config, shortened = run(CONFIG, FORESEEN, dict.fromkeys(ORDER, 3.0))
    assert ended <= BUDGET
    assert 12 < config.train.epochs < CONFIG.train.epochs / 2
    assert shortened[0].setting == "train.epochs"
    assert config.search.generations < CONFIG.search.generations
    assert "3 times as long as foreseen, so train.epochs is" in shortened[0].line()


def test_the_study_goes_first_and_never_has_too_few_networks_to_have_an_order():
    slow_in_the_end = AS_FORESEEN | {"retrain": 1.7}
    ended, config, shortened = run(CONFIG, FORESEEN, slow_in_the_end)
    assert ended <= BUDGET
    assert config.stand_alone.epochs == CONFIG.stand_alone.epochs
    assert [each.setting for each in shortened] == ["stand_alone.models"]
    for slower in (1.5, 1.8, 2.0, 2.5, 4.0):
        _, config, _ = run(CONFIG, FORESEEN, AS_FORESEEN | {"retrain": slower})
        assert config.stand_alone.models == 0 or LEAST_STUDY <= config.stand_alone.models <= 6


def test_what_was_given_is_not_shortened():
    given = frozenset({*SETTINGS.values(), "stand_alone.models"})
    assert run(CONFIG, FORESEEN, dict.fromkeys(ORDER, 4.0), given)[1:] == (CONFIG, [])
