"""Time budget of a run: measure this device, and choose the settings that the user left open.

First a supernet step is measured at the smallest size, and then at the point that looks best. There everything is
rehearsed; the rest is arithmetic (`allocation.py`). This time is part of the budget. If a rehearsal would take too
long, the settings are chosen from the step times alone, and the run is shortened while it works if necessary
(`pipeline/timetable.py`).
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairnas.config import RunConfig
from fairnas.errors import TooLittleTimeError
from fairnas.pipeline.costs import measures_latency
from fairnas.pipeline.prepare import Prepared
from fairnas.planning.allocation import TRAIN_SHARE, Allocation, Forecast, OperatingPoint, choose, fit, least
from fairnas.planning.device import REHEARSAL, Device, images_in
from fairnas.planning.given_up import Gain, given_up, what_is_poor, what_more_brings
from fairnas.planning.operating_points import is_at
from fairnas.planning.plan import Plan
from fairnas.planning.setting_ranges import BUDGETED_SETTINGS, ImagesPerClass, SettingRanges, value_of
from fairnas.progress import Narrator

AIM = 0.9
"""Share of the given time to aim at: ending a little early is better than late."""
PATIENT = 3600.0
"""Length of a run in seconds from which measurements are as long as in a plan; shorter runs have shorter ones."""
LEAST_PATIENCE = 0.1  # of the usual time of a measurement
LATENCY_SHARE = 0.1
"""Share of the time for measuring latency, if the run does."""
PROBES = 4
"""Largest number of points at which a step is measured."""
AGAIN = 0.1
"""Share of the time: if measuring took less, one more point may be rehearsed if it looks better."""
DECODING_SHARE = 0.15
"""Share of the remaining time for decoding images."""
REHEARSAL_SHARE = 0.35
"""Share of the remaining time that a rehearsal may take."""
ROUGH_AIM = 0.9
"""Share of the remaining time to aim at without a rehearsal; slower stages are shortened."""
UNMEASURED = 0.5
"""Share of the time: if it is over before anything was measured, the run is refused."""
NEARLY = 0.8
"""Share of the work possible with other images for which the already decoded ones are good enough."""
UNUSED = 0.8
"""Share of the usable time below which the user is informed that the run is the largest that makes sense."""
LONGER = (1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 300.0)
"""Factors of longer times, tried to find the gain of a longer run."""


@dataclass(frozen=True)
class Setting:
    """Setting with the recipe's value and the chosen one."""

    name: str
    recipe: Any
    chosen: Any
    why: str


@dataclass(frozen=True)
class BudgetedRun:
    """Chosen run."""

    prepared: Prepared
    """Run, ready to start."""
    plan: Plan
    settings: tuple[Setting, ...]
    spent: float
    """Seconds spent on measuring, and on everything before."""
    given_up: tuple[str, ...]
    """Reductions for lack of time, one line each."""
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds from the beginning of the measuring to the end of the run."""
        return self.spent + self.plan.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a record of the choice."""
        return {
            "minutes": self.prepared.config.minutes,
            "foreseen_seconds": self.seconds,
            "spent_on_measuring": self.spent,
            "stages": {stage.name: stage.seconds for stage in self.plan.stages},
            "settings": [[each.name, each.recipe, each.chosen, each.why] for each in self.settings],
            "given_up": list(self.given_up),
            "notes": list(self.notes),
        }


def dial(config: RunConfig, given: frozenset[str], begun: float, narrator: Narrator) -> BudgetedRun:
    """Choose the open settings so that the run ends within `config.minutes`. Writes nothing.

    Args:
        config: the recipe's configuration with the user's settings.
        given: names of the settings that the user gave; they are not changed.
        begun: start of the time, on the clock of `time.monotonic`.
        narrator: receives the progress.

    Raises:
        TooLittleTimeError: if even the smallest run takes longer, with its time.
        FairnasError: if the configuration is invalid.
    """
    assert config.minutes is not None
    target = config.minutes * 60
    patience = min(1.0, max(LEAST_PATIENCE, target / PATIENT))
    narrator.say(f"measuring this device for a run of {config.minutes:g} minutes")
    device = Device(_with_short_latency(config, given), given, patience)
    return _Dial(device, given, target, begun, narrator).turned(patience)


def _with_short_latency(config: RunConfig, given: frozenset[str]) -> RunConfig:
    """Limit the measuring of latency, if the run does it, to a small part of the time."""
    assert config.minutes is not None
    ours = config.search
    if "search.latency_minutes" in given or not measures_latency(ours):
        return config
    minutes = min(ours.latency_minutes, LATENCY_SHARE * config.minutes)
    return dataclasses.replace(config, search=dataclasses.replace(ours, latency_minutes=minutes))


class _Dial:
    """Choice of the settings for one run."""

    def __init__(self, device: Device, given: frozenset[str], target: float, begun: float, narrator: Narrator) -> None:
        self._device, self._given, self._target = device, given, target
        self._begun, self._narrator = begun, narrator

    def turned(self, patience: float) -> BudgetedRun:
        """Measure, choose, and load the chosen images."""
        device = self._device
        self._require_time_left()
        device.time_decoding()
        point = self._first_point(from_recipe=patience == 1.0)
        images = device.images_within(DECODING_SHARE * self._left())
        if REHEARSAL * device.probing > REHEARSAL_SHARE * self._left():
            allocation = self._unrehearsed(images)
        else:
            allocation = self._rehearsed(point, images)
        device.load(allocation.config, allocation.point)
        return self._budgeted(self._fitted_again(allocation))

    def _spent(self) -> float:
        return time.monotonic() - self._begun

    def _left(self) -> float:
        return AIM * self._target - self._spent()

    def _choose(
        self, points: Sequence[OperatingPoint], forecast: Forecast, seconds: float, images: Sequence[ImagesPerClass]
    ) -> Allocation | None:
        return choose(self._device.config, self._given, points, forecast, seconds, images)

    def _first_point(self, from_recipe: bool) -> OperatingPoint:
        """Point at which the supernet alone could be trained in its share of the time.

        With little time, the search for that point begins at the smallest.
        """
        device = self._device
        point = next(point for point in device.points if is_at(device.base, point)) if from_recipe else device.points[0]
        for _ in range(PROBES):
            device.time_step(point)
            self._require_time_left()
            images = device.images_within(DECODING_SHARE * self._left())
            allocation = self._choose(device.points, device.only_training, TRAIN_SHARE * self._left(), images)
            if allocation is None or allocation.point == point:
                break
            point = allocation.point
            if device.steps.knows(point):
                break
        return point

    def _require_time_left(self) -> None:
        """Refuse as soon as the time is certain to be too short: further measuring would only cost time."""
        device = self._device
        if not device.probing:
            if self._spent() > UNMEASURED * self._target:
                raise TooLittleTimeError(
                    f"{self._target / 60:g} minutes are too few, of which {self._spent() / 60:.2g} are over before "
                    "anything of this device was measured; give --minutes 10 or more"
                )
            return
        images = device.images[:1]
        training = least(device.config, self._given, device.points, device.only_training, images)
        if training + device.probing > self._left():  # exports alone take longer than that
            raise self._too_little(images)

    def _rehearsed(self, point: OperatingPoint, images: Sequence[ImagesPerClass]) -> Allocation:
        """Rehearse at the point that looks best, and choose by the result."""
        device = self._device
        few = self._choose((point,), device.only_training, TRAIN_SHARE * self._left(), images)
        config = few.config if few else SettingRanges(point.at(device.config), self._given, images).least()
        while True:
            device.rehearse(config, point, self._narrator)
            allocation = self._choose(device.points, device.forecast, self._left(), images)
            last = self._spent() > AGAIN * self._target
            if allocation is not None and allocation.point not in device.rehearsals and last:
                near = self._choose(tuple(device.rehearsals), device.forecast, self._left(), images)
                allocation = near or allocation  # a smaller one, with its known smaller amount of work
            if allocation is None:
                raise self._too_little(images)
            if allocation.point in device.rehearsals or last:
                return self._of_loaded(allocation)
            point, config = allocation.point, allocation.config

    def _of_loaded(self, allocation: Allocation) -> Allocation:
        """Same choice, with the images that are already decoded if they are good enough."""
        device = self._device
        if device.is_loaded(allocation.config, allocation.point) or device.loaded is None:
            return allocation
        point, images = device.loaded
        if point == allocation.point:
            again = fit(device.config, self._given, point, device.forecast, self._left(), (images,))
            if again is not None and again.work >= NEARLY * allocation.work:
                return again
        return allocation

    def _unrehearsed(self, images: Sequence[ImagesPerClass]) -> Allocation:
        """Choose by the time of supernet steps alone; slower stages are shortened while they run."""
        device = self._device
        known = [point for point in device.points if device.steps.knows(point)]
        self._narrator.say("a rehearsal would take too long here: all is chosen by the time of supernet steps alone")
        allocation = self._choose(known, device.forecast, ROUGH_AIM * self._left(), images)
        allocation = allocation or self._choose(known, device.forecast, self._left(), images)
        if allocation is None:
            raise self._too_little(images)
        return allocation

    def _fitted_again(self, allocation: Allocation) -> Allocation:
        """Choose again for the remaining time, after the images are decoded."""
        device = self._device
        seconds = self._left() if device.rehearsals else ROUGH_AIM * self._left()
        images = (images_in(allocation.config),)
        again = fit(device.config, self._given, allocation.point, device.forecast, seconds, images)
        if again is not None:
            return again if again.work <= allocation.work else allocation
        config = SettingRanges(allocation.point.at(device.config), self._given, images).least()
        return dataclasses.replace(allocation, config=config, estimate=device.forecast(config, allocation.point))

    def _too_little(self, images: Sequence[ImagesPerClass]) -> TooLittleTimeError:
        device, minutes = self._device, self._target / 60
        seconds = least(device.config, self._given, device.points, device.forecast, images)
        needed = (seconds + self._spent()) / AIM / 60
        fixed = sorted(self._given & set(BUDGETED_SETTINGS))
        remedy = f", or leave {' and '.join(fixed)} open" if fixed else ""
        return TooLittleTimeError(
            f"{minutes:g} minutes are too few for this run on this device, the least is about {needed:.2g}; give "
            f"--minutes {needed:.2g} or more{remedy}"
        )

    def _budgeted(self, allocation: Allocation) -> BudgetedRun:
        device, config, spent = self._device, allocation.config, self._spent()
        plan = device.plan(config, allocation.point)
        base = _spelled_out(device.base)
        settings = tuple(_setting(base, self._given, allocation, name) for name in BUDGETED_SETTINGS)
        prepared = device.load(config, allocation.point)
        notes = what_is_poor(allocation, prepared)
        if notes and (gain := self._gain(allocation)):
            notes = (*notes, what_more_brings(gain))
        if plan.seconds + spent < UNUSED * AIM * self._target and device.rehearsals:
            notes = (
                *notes,
                "this is the most that makes sense here: longer training or search is not known to bring more, so the "
                "rest of the time is not used",
            )
        lacks = given_up(base, device.base, prepared, allocation.estimate.steps)
        return BudgetedRun(prepared, plan, settings, spent, lacks, notes)

    def _gain(self, allocation: Allocation) -> Gain | None:
        """Shortest of some longer times with which the run would no longer be poor, and its properties."""
        device, found = self._device, None
        for factor in LONGER:
            images = device.images_within(DECODING_SHARE * factor * AIM * self._target)
            seconds = factor * AIM * self._target - self._spent()
            other = self._choose(device.points, device.forecast, seconds, images)
            if other is None or other.work <= allocation.work:
                continue
            found = Gain(factor * self._target / 60, other)
            if not what_is_poor(other, dataclasses.replace(device.base, config=other.config)):
                break
        return found


def _spelled_out(base: Prepared) -> RunConfig:
    """Configuration with explicit defaults."""
    config = base.config
    data = dataclasses.replace(config.data, image_size=base.dataset.image_size)
    alone = dataclasses.replace(config.stand_alone, epochs=config.stand_alone.epochs or config.train.epochs)
    return dataclasses.replace(config, data=data, stand_alone=alone)


def _setting(base: RunConfig, given: frozenset[str], allocation: Allocation, name: str) -> Setting:
    before, after = value_of(base, name), value_of(allocation.config, name)
    if name in given:
        return Setting(name, before, after, "given")
    return Setting(name, before, after, "as in the recipe" if before == after else _REASONS[name])


_REASONS = {
    "space": "the folder recipe's for such images",
    "width": "with all channels there were too few supernet steps",
    "data.image_size": "the largest at which the supernet gets enough steps",
    "data.augmentation": "the folder recipe's for such images",
    "data.train_per_class": "as many as can be decoded and gone through several times",
    "data.held_out_per_class": "in proportion to the training images",
    "train.epochs": "half of the time, or more where the rest is not needed",
    "search.population": "fills what is left",
    "search.generations": "fills what is left",
    "search.latency_minutes": "a small part of the time",
    "search.select": "as many as can be trained and exported",
    "stand_alone.epochs": "as the supernet's in the recipe, as far as the time goes",
    "stand_alone.models": "after the trainings are long enough",
    "stand_alone.seeds": "after the study has all its networks",
}
