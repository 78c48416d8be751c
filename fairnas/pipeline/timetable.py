"""Timetable of a run with a time limit: time of each stage, and what is shortened if one is slower than expected.

The forecast may be wrong, because the load of the machine can change. The speed of each stage is checked while it runs.
If the run would end too late, all remaining work is shortened by the same factor: epochs of the supernet, generations
of the search, epochs of the trainings for use. The ranking study comes last, and is dropped first. Changes are recorded
in the run's configuration, as if they had been chosen at the start, and in `dial.json`.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fairnas.config import RunConfig

SETTINGS = {"train": "train.epochs", "search": "search.generations", "retrain": "stand_alone.epochs"}
"""Setting that determines the length of each stage."""
ORDER = ("train", "search", "retrain", "rank", "export", "report")
FIXED = frozenset({"export", "report"})
"""Stages that are done even if no time is left."""
ENDING = 0.97
"""Share of the time at which everything should be done; the rest is a reserve."""
TOLERANCE = 0.95
"""Share of the remaining work that must be possible in time to avoid shortening: forecasts are not more accurate."""
SLOWEST = 20.0
"""Largest accepted slowdown of a stage, because a moment is not representative."""
FIRST_LOOK = 0.1
"""Share of a stage's time after which its speed is trusted."""
LEAST_STUDY = 3
"""Smallest number of networks for a ranking."""


class Watch(Protocol):
    """Watch over the progress of a stage, which decides when it has to stop."""

    def seen(self, done: int, total: int, before: int = 0) -> None:
        """Report progress of the stage.

        Args:
            done: steps or generations since the watch began.
            total: total number.
            before: number done earlier, before the run was resumed.
        """
        ...

    def is_late(self) -> bool:
        """True if the stage should save and stop, to be continued with less work."""
        ...


class NoWatch:
    """Watch for runs without a time limit."""

    def seen(self, done: int, total: int, before: int = 0) -> None:
        """Do nothing."""

    def is_late(self) -> bool:
        """Always False."""
        return False


@dataclass(frozen=True)
class Shortened:
    """Reduction of one setting."""

    stage: str
    setting: str
    before: int
    after: int
    slower: float
    """Slowdown that made it necessary."""

    def line(self) -> str:
        """Message for the user."""
        why = f"this takes {self.slower:.2g} times as long as foreseen" if self.slower >= 1.05 else "time runs out"
        if self.setting == "stand_alone.models" and not self.after:
            return f"{why}, so there is no ranking study (stand_alone.models {self.before} is 0 now)"
        return f"{why}, so {self.setting} is {self.after} instead of {self.before}, to end in time"


class Timetable:
    """Time of a run, stage by stage."""

    def __init__(
        self,
        ends: float,
        foreseen: Mapping[str, float],
        given: frozenset[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the timetable.

        Args:
            ends: time on the clock at which the run should be done.
            foreseen: expected seconds by stage.
            given: names of the settings that the user gave, which are never changed.
            clock: returns seconds.
        """
        self._ends, self._given, self.clock = ends, given, clock
        self._foreseen = {stage: max(foreseen.get(stage, 0.0), 1e-3) for stage in ORDER}
        self._slower = 1.0
        self._later = 1.0
        """Share of the later stages that is planned for: the factor by which the current stage was shortened."""

    @property
    def left(self) -> float:
        """Seconds until the run should be done."""
        return self._ends - self.clock()

    @property
    def slower(self) -> float:
        """Slowdown of the latest work."""
        return self._slower

    def finished(self, stage: str, seconds: float) -> None:
        """Record the time of a finished stage. Very short stages are ignored."""
        if stage in SETTINGS and self._foreseen[stage] > 1:
            self._slower = _sane(seconds / self._foreseen[stage])

    def shorten(self, shortened: Shortened) -> None:
        """Reduce the expected time of a stage."""
        self._foreseen[shortened.stage] *= max(1, shortened.after) / shortened.before

    def spare(self, stage: str, seconds: float) -> None:
        """Subtract the part of a stage that is done."""
        self._foreseen[stage] = max(1e-3, self._foreseen[stage] - seconds)

    def reckon_with(self, share: float) -> None:
        """Shorten later stages by the same factor."""
        self._later *= min(1.0, share)

    def share(self, stage: str, remaining: float, slower: float) -> float:
        """Share of the remaining stage and later stages that can be done; 1 or more means everything.

        Args:
            stage: current or next stage.
            remaining: its remaining seconds.
            slower: expected slowdown of later stages.
        """
        later = ORDER[ORDER.index(stage) + 1 :]
        fixed = sum(self._foreseen[each] for each in later if each in FIXED)
        # during the trainings for use, the whole study could still be dropped
        flexible = sum(
            self._foreseen[each] for each in later if each not in FIXED and (stage != "retrain" or each != "rank")
        )
        return max(0.0, self.left - slower * fixed) / max(1e-9, remaining + slower * flexible * self._later)

    def before(self, stage: str, config: RunConfig) -> Shortened | None:
        """Reduction before a stage begins, or None."""
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
        """Watch over a stage."""
        return StageWatch(self, stage, setting_of(config, stage), SETTINGS.get(stage) in self._given)

    def foreseen(self, stage: str) -> float:
        """Expected seconds of a stage."""
        return self._foreseen[stage]

    def is_over(self, stage: str) -> bool:
        """True if the time for a stage is over, because later stages need the rest."""
        later = ORDER[ORDER.index(stage) + 1 :]
        return self.left < self._slower * sum(self._foreseen[each] for each in later)


class StageWatch:
    """Watch over one stage."""

    def __init__(self, timetable: Timetable, stage: str, units: int, is_fixed: bool) -> None:
        """Start the watch.

        Args:
            timetable: timetable of the run.
            stage: name of the stage.
            units: planned epochs or generations.
            is_fixed: True if it must not be shortened.
        """
        self._timetable, self._stage, self._units, self._is_fixed = timetable, stage, units, is_fixed
        self._mark: tuple[float, int] | None = None
        self._now: tuple[float, int, int, int] | None = None
        self.shortened: Shortened | None = None
        self.over = False
        """True if the stage ran out of time."""

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
    """Epochs or generations of a stage; 1 if it has neither."""
    if stage == "train":
        return config.train.epochs
    if stage == "search":
        return config.search.generations
    return config.stand_alone.epochs or config.train.epochs if stage == "retrain" else 1


def with_shortened(config: RunConfig, shortened: Shortened) -> RunConfig:
    """Configuration with a reduction applied."""
    section, _, name = shortened.setting.partition(".")
    inner = dataclasses.replace(getattr(config, section), **{name: shortened.after})
    changed = dataclasses.replace(config, **{section: inner})
    if shortened.stage == "train" and config.stand_alone.epochs is None:  # keep the length that the default stood for
        alone = dataclasses.replace(config.stand_alone, epochs=config.train.epochs)
        changed = dataclasses.replace(changed, stand_alone=alone)
    return changed


def _sane(slower: float) -> float:
    return min(SLOWEST, max(1 / SLOWEST, slower))
