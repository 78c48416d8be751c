"""The objectives of a search in words: what it was after, within which bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from fairnas.config import Measure
from fairnas.report.format import COST_NAMES, UNKNOWN, millions

_NAMES = {**COST_NAMES, "top1": "accuracy", "balanced_accuracy": "balanced accuracy", "top5": "top-5 accuracy"}
_PAPER = (("top1", "max", "share of images"), ("madds", "min", "multiply-adds"), ("params", "min", "parameters"))


@dataclass(frozen=True)
class ObjectiveRecord:
    """An objective of a search, with its bound."""

    name: str
    direction: str
    unit: str
    bound: float | None

    @property
    def words(self) -> str:
        """How it is called in sentences."""
        return _NAMES.get(self.name, self.name)


def parse_objectives(plain: Any) -> tuple[ObjectiveRecord, ...]:
    """Read the objectives in `search.json`."""
    if "objectives" not in plain:  # a search of an earlier version always had the paper's three
        return tuple(ObjectiveRecord(name, way, unit, _bound(plain["bounds"].get(name))) for name, way, unit in _PAPER)
    return tuple(
        ObjectiveRecord(str(each["name"]), str(each["direction"]), str(each["unit"]), _bound(each["bound"]))
        for each in plain["objectives"]
    )


def _bound(value: Any) -> float | None:
    return None if value is None else float(value)


def extra_objectives(objectives: Sequence[ObjectiveRecord]) -> tuple[ObjectiveRecord, ...]:
    """Those beyond accuracy, multiply-adds and parameters, which every table has."""
    known = {name for name, _, _ in _PAPER} | ({"balanced_accuracy"} if _is_measure(objectives) else set())
    return tuple(objective for objective in objectives if objective.name not in known)


def _is_measure(objectives: Sequence[ObjectiveRecord]) -> bool:
    """Whether a search was after balanced accuracy first: it is then what every table has as accuracy."""
    accuracies = [objective.name for objective in objectives if objective.name in get_args(Measure)]
    return accuracies[:1] == ["balanced_accuracy"]


def bounds_in_words(objectives: Sequence[ObjectiveRecord]) -> list[str]:
    """One phrase per bound: `multiply-adds up to 330 M`."""
    return [
        f"{objective.words} {'up to' if objective.direction == 'min' else 'at least'} "
        f"{quantity(objective.bound, objective.unit)}"
        for objective in objectives
        if objective.bound is not None
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
