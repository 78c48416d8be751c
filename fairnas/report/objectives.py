"""Objectives and bounds of a search in words."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, get_args

from fairnas.config import Measure
from fairnas.report.format import COST_NAMES, UNKNOWN, millions
from fairnas.search.candidate import Candidate

_NAMES = {**COST_NAMES, "top1": "accuracy", "balanced_accuracy": "balanced accuracy", "top5": "top-5 accuracy"}
_PAPER = ("top1", "madds", "params")


class Goal(Protocol):
    """An objective with its bound, of a finished search or of one being configured."""

    @property
    def name(self) -> str:
        """Name of the cost or measure, such as `madds`."""
        ...

    @property
    def direction(self) -> str:
        """`max` if more is better, `min` if less is better."""
        ...

    @property
    def unit(self) -> str:
        """Unit of its values and its bound."""
        ...

    @property
    def bound(self) -> float | None:
        """Worst value allowed; None for no bound."""
        ...


GoalT = TypeVar("GoalT", bound=Goal)


def in_words(goal: Goal) -> str:
    """Return the name of an objective in sentences."""
    return _NAMES.get(goal.name, goal.name)


def extra_objectives(objectives: Sequence[GoalT]) -> tuple[GoalT, ...]:
    """Objectives other than accuracy, multiply-adds and parameters, which every table shows."""
    known = {*_PAPER} | ({"balanced_accuracy"} if _is_measure(objectives) else set())
    return tuple(objective for objective in objectives if objective.name not in known)


def candidate_numbers(each: Candidate, measure: Measure, further: Sequence[Goal] = ()) -> dict[str, Any]:
    """Return a candidate as stored with figures: with its values of further objectives, in their order."""
    return {
        "genome": each.text,
        "top1": each.value("top1"),
        "madds": each.value("madds"),
        "params": each.value("params"),
        "generation": each.generation,
        "further": [each.get(objective.name) for objective in further],
        "balanced_accuracy": each.value(measure) if measure == "balanced_accuracy" else None,
    }


def _is_measure(objectives: Sequence[Goal]) -> bool:
    """True if the first accuracy objective of a search is balanced accuracy, which tables then show as accuracy."""
    accuracies = [objective.name for objective in objectives if objective.name in get_args(Measure)]
    return accuracies[:1] == ["balanced_accuracy"]


def bounds_in_words(objectives: Sequence[Goal]) -> list[str]:
    """Return one phrase per bound: `multiply-adds up to 330 M`."""
    return [
        f"{in_words(objective)} {'up to' if objective.direction == 'min' else 'at least'} "
        f"{quantity(objective.bound, objective.unit)}"
        for objective in objectives
        if objective.bound is not None
    ]


def quantity(value: float | None, unit: str) -> str:
    """Format a value of any objective with three digits and its unit: `12.3 ms`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if unit in COST_NAMES.values():
        return millions(value)
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{min(max(0, 2 - magnitude), 6)}f}".replace("-", "\u2212")
    return f"{text}\u00a0{unit}" if unit else text
