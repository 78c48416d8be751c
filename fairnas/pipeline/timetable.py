"""A run that has to end in time: how long each stage may take, and what is shortened when one is slower than foreseen.

What was foreseen may be wrong, because nobody knows what a machine will do beside. While a stage works, its speed is
looked at, and where all that is left would end too late, all of it is shortened alike: epochs of the supernet,
generations of the search, epochs of the trainings for use. The ranking study comes last, and goes first. What was
shortened stands in the run's configuration, as if it had been chosen so, and in `dial.json`.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fairnas.config import RunConfig

SETTINGS = {"train": "train.epochs", "search": "search.generations", "retrain": "stand_alone.epochs"}
"""What makes a stage shorter."""
ORDER = ("train", "search", "retrain", "rank", "export", "report")
FIXED = frozenset({"export", "report"})
"""Stages that are done whatever time is left."""
ENDING = 0.97
"""Of the time, at which all should be done: the rest is for what nobody thinks of."""
TOLERANCE = 0.95
"""Of what is left, that may be done in time before it is shortened: what is foreseen is not that exact."""
SLOWEST = 20.0
"""Times as long as foreseen, beyond which no stage is believed to be: a moment is not the whole."""
FIRST_LOOK = 0.1
"""Of a stage's time, before its speed is believed."""
LEAST_STUDY = 3
"""Networks that have an order to speak of."""


class Watch(Protocol):
    """Who is told how far a stage is, and says when it has to stop."""

    def seen(self, done: int, total: int, before: int = 0) -> None:
        """The stage has done something.

        Args:
            done: steps or generations that it has done since it began to be watched.
            total: all that there are.
            before: those that were done earlier, by a run that goes on here.
        """
        ...

    def is_late(self) -> bool:
        """Whether it should save and stop, to go on with less to do."""
        ...


class NoWatch:
    """For runs that may take as long as they do."""

    def seen(self, done: int, total: int, before: int = 0) -> None:
        """Nothing."""

    def is_late(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Shortened:
    """One setting that has been made smaller."""

    stage: str
    setting: str
    before: int
    after: int
    slower: float
    """Times as long as foreseen, what made it necessary."""

    def line(self) -> str:
        """For the user."""
        why = f"this takes {self.slower:.2g} times as long as foreseen" if self.slower >= 1.05 else "time runs out"
        if self.setting == "stand_alone.models" and not self.after:
            return f"{why}, so there is no ranking study (stand_alone.models {self.before} is 0 now)"
        return f"{why}, so {self.setting} is {self.after} instead of {self.before}, to end in time"


class Timetable:
    """The time that a run has, stage by stage."""

    def __init__(
        self,
        ends: float,
        foreseen: Mapping[str, float],
        given: frozenset[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            ends: when the run should be done, on the clock.
            foreseen: seconds by stage.
            given: names of the settings that the user gave, which stay.
            clock: seconds.
        """
        self._ends, self._given, self.clock = ends, given, clock
        self._foreseen = {stage: max(foreseen.get(stage, 0.0), 1e-3) for stage in ORDER}
        self._slower = 1.0
        self._later = 1.0
        """Share of the stages to come that is reckoned with: as much as the present one was shortened."""

    @property
    def left(self) -> float:
        """Seconds until the run should be done."""
        return self._ends - self.clock()

    @property
    def slower(self) -> float:
        """Times as long as foreseen, what was done last."""
        return self._slower

    def finished(self, stage: str, seconds: float) -> None:
        """A stage took so long. Very short ones say little."""
        if stage in SETTINGS and self._foreseen[stage] > 1:
            self._slower = _sane(seconds / self._foreseen[stage])

    def shorten(self, shortened: Shortened) -> None:
        """A stage has less to do."""
        self._foreseen[shortened.stage] *= max(1, shortened.after) / shortened.before

    def spare(self, stage: str, seconds: float) -> None:
        """A part of a stage is done by now."""
        self._foreseen[stage] = max(1e-3, self._foreseen[stage] - seconds)

    def reckon_with(self, share: float) -> None:
        """What is to come is made as much shorter as what is there."""
        self._later *= min(1.0, share)

    def share(self, stage: str, remaining: float, slower: float) -> float:
        """Of what is left of a stage and is reckoned with later, how much can be done: 1 or more is everything.

        Args:
            stage: that is under way, or about to begin.
            remaining: seconds that it still takes.
            slower: times as long as foreseen, everything later.
        """
        later = ORDER[ORDER.index(stage) + 1 :]
        fixed = sum(self._foreseen[each] for each in later if each in FIXED)
        # while networks are trained for use, the study can go to the last of its networks
        flexible = sum(
            self._foreseen[each] for each in later if each not in FIXED and (stage != "retrain" or each != "rank")
        )
        return max(0.0, self.left - slower * fixed) / max(1e-9, remaining + slower * flexible * self._later)

    def before(self, stage: str, config: RunConfig) -> Shortened | None:
        """What to make smaller before a stage begins, or None."""
        self._later = 1.0
        share = self.share(stage, self._slower * self._foreseen[stage], self._slower)
        self.reckon_with(share)
        if share >= TOLERANCE:
            return None
        if stage == "rank":
            ours = config.stand_alone
            if not ours.models or ours.study or "stand_alone.models" in self._given:
                return None
            models = math.floor(share * ours.models)
            return self._shortened("rank", "stand_alone.models", ours.models, models if models >= LEAST_STUDY else 0)
        if stage in SETTINGS and SETTINGS[stage] not in self._given:
            before = setting_of(config, stage)
            after = max(1, math.floor(share * before))
            return self._shortened(stage, SETTINGS[stage], before, after) if after < before else None
        return None

    def _shortened(self, stage: str, setting: str, before: int, after: int) -> Shortened:
        return Shortened(stage, setting, before, after, self._slower)

    def watch(self, stage: str, config: RunConfig) -> "StageWatch":
        """Who looks at a stage while it works."""
        return StageWatch(self, stage, setting_of(config, stage), SETTINGS.get(stage) in self._given)

    def foreseen(self, stage: str) -> float:
        """Seconds."""
        return self._foreseen[stage]

    def is_over(self, stage: str) -> bool:
        """Whether the time for a stage is over: what comes after needs the rest."""
        later = ORDER[ORDER.index(stage) + 1 :]
        return self.left < self._slower * sum(self._foreseen[each] for each in later)


class StageWatch:
    """Looks at one stage."""

    def __init__(self, timetable: Timetable, stage: str, units: int, is_fixed: bool) -> None:
        """Begin to look.

        Args:
            timetable: of the run.
            stage: its name.
            units: epochs or generations that it is to do.
            is_fixed: whether it may not be shortened.
        """
        self._timetable, self._stage, self._units, self._is_fixed = timetable, stage, units, is_fixed
        self._mark: tuple[float, int] | None = None
        self._now: tuple[float, int, int, int] | None = None
        self.shortened: Shortened | None = None
        self.over = False
        """Whether the time for the stage was over."""

    def seen(self, done: int, total: int, before: int = 0) -> None:
        """See `Watch`. Speed is measured from the first call on."""
        now = self._timetable.clock()
        self._mark = self._mark or (now, done)
        self._now = (now, done, total, before)

    def is_late(self) -> bool:
        """See `Watch`."""
        if self._stage not in SETTINGS:
            self.over = self._stage == "rank" and self._timetable.is_over("rank")
            return self.over
        if self._is_fixed or self._units == 1 or self._mark is None or self._now is None:
            return False
        (begun, first), (now, counted, total, before) = self._mark, self._now
        elapsed, foreseen, done = now - begun, self._timetable.foreseen(self._stage), before + counted
        if counted <= first or elapsed < FIRST_LOOK * foreseen or done >= total:
            return False
        each = elapsed / (counted - first)
        slower = _sane(each * total / foreseen)
        share = self._timetable.share(self._stage, each * (total - done), slower)
        if share >= TOLERANCE:
            return False
        unit = total / self._units
        wanted = math.floor((done + share * (total - done)) / unit + 1e-9)
        begun_by_now = math.floor(done / unit + 1e-9) + 1 if self._stage == "train" else math.ceil(done / unit - 1e-9)
        after = max(1, wanted, begun_by_now)
        if after >= self._units:
            return False
        self._timetable.reckon_with(share)
        self.shortened = Shortened(self._stage, SETTINGS[self._stage], self._units, after, slower)
        return True


def setting_of(config: RunConfig, stage: str) -> int:
    """Epochs or generations of a stage; 1 where it has none."""
    if stage == "train":
        return config.train.epochs
    if stage == "search":
        return config.search.generations
    return config.stand_alone.epochs or config.train.epochs if stage == "retrain" else 1


def with_shortened(config: RunConfig, shortened: Shortened) -> RunConfig:
    """The configuration with less to do."""
    section, _, name = shortened.setting.partition(".")
    inner = dataclasses.replace(getattr(config, section), **{name: shortened.after})
    changed = dataclasses.replace(config, **{section: inner})
    if shortened.stage == "train" and config.stand_alone.epochs is None:  # what it stood for stays
        alone = dataclasses.replace(config.stand_alone, epochs=config.train.epochs)
        changed = dataclasses.replace(changed, stand_alone=alone)
    return changed


def _sane(slower: float) -> float:
    return min(SLOWEST, max(1 / SLOWEST, slower))
