"""The objectives of a search in words: what it was after, within which bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from fairnas.config import Measure
from fairnas.report.units import COST_NAMES, UNKNOWN, millions

_NAMES = {**COST_NAMES, "top1": "accuracy", "balanced_accuracy": "balanced accuracy", "top5": "top-5 accuracy"}
_PAPER = (("top1", "max", "share of images"), ("madds", "min", "multiply-adds"), ("params", "min", "parameters"))


@dataclass(frozen=True)
class Goal:
    """An objective of a search, with its bound."""

    name: str
    direction: str
    unit: str
    bound: float | None

    @property
    def words(self) -> str:
        """How it is called in sentences."""
        return _NAMES.get(self.name, self.name)


def parse_goals(plain: Any) -> tuple[Goal, ...]:
    """Read the objectives in `search.json`."""
    if "objectives" not in plain:  # a search of an earlier version always had the paper's three
        return tuple(Goal(name, way, unit, _bound(plain["bounds"].get(name))) for name, way, unit in _PAPER)
    return tuple(
        Goal(str(each["name"]), str(each["direction"]), str(each["unit"]), _bound(each["bound"]))
        for each in plain["objectives"]
    )


def _bound(value: Any) -> float | None:
    return None if value is None else float(value)


def further_goals(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """Those beyond accuracy, multiply-adds and parameters, which every table has."""
    known = {name for name, _, _ in _PAPER} | ({"balanced_accuracy"} if _is_measure(goals) else set())
    return tuple(goal for goal in goals if goal.name not in known)


def _is_measure(goals: Sequence[Goal]) -> bool:
    """Whether a search was after balanced accuracy first: it is then what every table has as accuracy."""
    accuracies = [goal.name for goal in goals if goal.name in get_args(Measure)]
    return accuracies[:1] == ["balanced_accuracy"]


def bounds_in_words(goals: Sequence[Goal]) -> list[str]:
    """One phrase per bound: `multiply-adds up to 330 M`."""
    return [
        f"{goal.words} {'up to' if goal.direction == 'min' else 'at least'} {quantity(goal.bound, goal.unit)}"
        for goal in goals
        if goal.bound is not None
    ]


def quantity(value: float | None, unit: str) -> str:
    """A value of any objective, three digits, with its unit: `12.3 ms`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if unit in COST_NAMES.values():
        return millions(value)
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{min(max(0, 2 - magnitude), 6)}f}".replace("-", "\u2212")
    return f"{text}\u00a0{unit}" if unit else text
