"""The one dial: how long a run may take. This device is measured, and what the user left open is chosen to fit.

First a supernet step is measured where the recipe stands, and where it would then be better off. There everything is
rehearsed, and the rest is arithmetic (`effort.py`). The time that this takes counts.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fairnas.config import RunConfig
from fairnas.errors import FairnasError
from fairnas.pipeline.experiment import Narrator
from fairnas.pipeline.planning.effort import (
    DIALLED,
    TRAIN_SHARE,
    Choice,
    Forecast,
    Foreseen,
    Point,
    choose,
    least,
    value_of,
)
from fairnas.pipeline.planning.forecast import foreseen, plan_of
from fairnas.pipeline.planning.plan import Plan
from fairnas.pipeline.planning.points import StepTimes, is_at, points_of
from fairnas.pipeline.planning.rehearsal import Measured, rehearse
from fairnas.pipeline.prepare import Prepared, prepare
from fairnas.pipeline.prices import measures_latency

AIM = 0.9
"""Of the time that is given: to end a little early is better than late."""
PATIENT = 900.0
"""Seconds of a run for which everything is measured as long as a plan does; for shorter runs, shorter."""
LEAST_PATIENCE = 0.1
LATENCY_SHARE = 0.1
"""Of the time, to measure latency where the run does."""
PROBES = 4
"""Points at which a step is measured at most."""
AGAIN = 0.1
"""Of the time: while measuring took less, everything may be rehearsed at one more point, if that looks better."""
UNUSED = 0.8
"""Of what may be used: below it, what was chosen is the most that makes sense, and the user is told."""


class TooLittleTimeError(FairnasError):
    """Even the least run takes longer."""


@dataclass(frozen=True)
class Setting:
    """One setting, as the recipe has it and as it was chosen."""

    name: str
    recipe: Any
    chosen: Any
    why: str


@dataclass(frozen=True)
class Dialled:
    """What was chosen."""

    prepared: Prepared
    """The run, ready to start."""
    plan: Plan
    settings: tuple[Setting, ...]
    spent: float
    """Seconds that measuring took, and all that came before."""
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """From the beginning of the measuring to the end of the run."""
        return self.spent + self.plan.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a record of the choice."""
        return {
            "minutes": self.prepared.config.minutes,
            "foreseen_seconds": self.seconds,
            "spent_on_measuring": self.spent,
            "stages": {stage.name: stage.seconds for stage in self.plan.stages},
            "settings": [[each.name, each.recipe, each.chosen, each.why] for each in self.settings],
            "notes": list(self.notes),
        }


def dial(config: RunConfig, given: frozenset[str], begun: float, narrator: Narrator) -> Dialled:
    """Choose what the user left open so that the run ends within `config.minutes`. Writes nothing.

    Args:
        config: the recipe's, with what the user gave.
        given: names of the settings that the user gave; they stay.
        begun: when the time began, on the clock of `time.monotonic`.
        narrator: told how far it is.

    Raises:
        TooLittleTimeError: if even the least run takes longer; the message says how long that is.
        FairnasError: whatever else is wrong with the configuration.
    """
    assert config.minutes is not None
    target = config.minutes * 60
    patience = min(1.0, max(LEAST_PATIENCE, target / PATIENT))
    base = prepare(config, narrator=narrator)
    config = _with_short_latency(config, given)
    points, steps = points_of(base, given), StepTimes(base)

    def left() -> float:
        return AIM * target - (time.monotonic() - begun)

    narrator.say(f"measuring this device for a run of {config.minutes:g} minutes")
    point = _first_point(base, given, points, steps, left, patience)
    rehearsals: dict[Point, tuple[Prepared, Measured]] = {}
    while True:
        ready = base if is_at(base, point) else prepare(point.at(config))
        rehearsals[point] = (ready, rehearse(ready, narrator, patience))
        forecast = _forecast(rehearsals, steps)
        choice = choose(config, given, points, forecast, left())
        last = time.monotonic() - begun > AGAIN * target
        if choice is not None and choice.point not in rehearsals and last:
            choice = choose(config, given, tuple(rehearsals), forecast, left())
        if choice is None:
            raise _too_little(config, given, points, forecast, target, time.monotonic() - begun)
        if choice.point in rehearsals:
            break
        point = choice.point
    return _dialled(base, given, choice, rehearsals, time.monotonic() - begun, target)


def _with_short_latency(config: RunConfig, given: frozenset[str]) -> RunConfig:
    """Where the run measures latency, for a small part of the time."""
    assert config.minutes is not None
    ours = config.search
    if "search.latency_minutes" in given or not measures_latency(ours):
        return config
    minutes = min(ours.latency_minutes, LATENCY_SHARE * config.minutes)
    return dataclasses.replace(config, search=dataclasses.replace(ours, latency_minutes=minutes))


def _first_point(
    base: Prepared,
    given: frozenset[str],
    points: Sequence[Point],
    steps: StepTimes,
    left: Callable[[], float],
    patience: float,
) -> Point:
    """Where the supernet alone would be trained in its share of the time."""

    def rough(config: RunConfig, point: Point) -> Foreseen:
        count = base.steps // base.config.train.epochs * config.train.epochs
        return Foreseen(count, {"train": count * steps(point), "search": 0.0, "retrain": 0.0, "rank": 0.0})

    point = next(point for point in points if is_at(base, point))
    for _ in range(PROBES):
        steps.measure(point, patience)
        choice = choose(base.config, given, points, rough, TRAIN_SHARE * left())
        if choice is None or choice.point == point:
            break
        point = choice.point
        if steps.knows(point):
            break
    return point


def _forecast(rehearsals: dict[Point, tuple[Prepared, Measured]], steps: StepTimes) -> Forecast:
    """From the rehearsal of a point, or else from the nearest and the times of supernet steps."""

    def forecast(config: RunConfig, point: Point) -> Foreseen:
        near = point if point in rehearsals else min(rehearsals, key=lambda other: abs(other.scale - point.scale))
        ratio = 1.0 if near == point else steps(point) / steps(near)
        return foreseen(plan_of(*rehearsals[near], config, ratio))

    return forecast


def _too_little(
    config: RunConfig,
    given: frozenset[str],
    points: Sequence[Point],
    forecast: Forecast,
    target: float,
    spent: float,
) -> TooLittleTimeError:
    needed = (least(config, given, points, forecast) + spent) / AIM / 60
    fixed = sorted(given & set(DIALLED))
    remedy = f", or leave {' and '.join(fixed)} open" if fixed else ""
    return TooLittleTimeError(
        f"{target / 60:g} minutes are too few for this run on this device, the least is about {needed:.2g}; give "
        f"--minutes {needed:.2g} or more, fewer images (--data.train-per-class){remedy}"
    )


def _dialled(
    base: Prepared,
    given: frozenset[str],
    choice: Choice,
    rehearsals: dict[Point, tuple[Prepared, Measured]],
    spent: float,
    target: float,
) -> Dialled:
    rehearsed, measured = rehearsals[choice.point]
    config = choice.config
    plan = plan_of(rehearsed, measured, config)
    settings = tuple(_setting(_spelled_out(base), given, choice, name) for name in DIALLED)
    notes = []
    if not choice.eligible:
        notes.append(
            f"{plan.steps} supernet steps are fewer than {choice.point.least_steps}, from which scores begin to tell "
            "networks apart; more time, or fewer images, would help"
        )
    if plan.seconds + spent < UNUSED * AIM * target:
        notes.append(
            "this is the most that makes sense here: longer training or search is not known to bring more, so the rest "
            "of the time is not used"
        )

    return Dialled(dataclasses.replace(rehearsed, config=config), plan, settings, spent, tuple(notes))


def _spelled_out(base: Prepared) -> RunConfig:
    """The configuration with what its defaults stand for."""
    config = base.config
    data = dataclasses.replace(config.data, image_size=base.dataset.image_size)
    alone = dataclasses.replace(config.stand_alone, epochs=config.stand_alone.epochs or config.train.epochs)
    return dataclasses.replace(config, data=data, stand_alone=alone)


def _setting(base: RunConfig, given: frozenset[str], choice: Choice, name: str) -> Setting:
    before, after = value_of(base, name), value_of(choice.config, name)
    if name in given:
        return Setting(name, before, after, "given")
    return Setting(name, before, after, "as in the recipe" if before == after else _REASONS[name])


_REASONS = {
    "space": "the folder recipe's for such images",
    "width": "with all channels there were too few supernet steps",
    "data.image_size": "the largest at which the supernet gets enough steps",
    "data.augmentation": "the folder recipe's for such images",
    "train.epochs": "half of the time, or more where the rest is not needed",
    "search.population": "fills what is left",
    "search.generations": "fills what is left",
    "search.latency_minutes": "a small part of the time",
    "stand_alone.epochs": "as the supernet's in the recipe, as far as the time goes",
    "stand_alone.models": "after the trainings are long enough",
    "stand_alone.seeds": "after the study has all its networks",
}
