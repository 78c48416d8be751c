"""Objectives and bounds of a search (paper 3.2): accuracy, multiply-adds, parameters, and any others.

The value of an objective comes from one of three sources. Costs (`madds`, `params`, `latency`) are additive over layers
and cheap: a bound on them is proved or refused before the search, and no network that misses one is ever evaluated. A
user's function is called once per network, before the supernet. The evaluator gives all others.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fairnas.atomic_files import checksum
from fairnas.config import Measure, SearchConfig
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.search.candidate import Candidate, Measures, is_number
from fairnas.space import Genome, SearchSpace
from fairnas.space.file import run_python

_TAKEN = ("genome", "generation", "failure")  # columns of exported candidates


@dataclass(frozen=True)
class Objective:
    """Quantity to optimise.

    Attributes:
        name: the cost or measure of a candidate, such as `madds`.
        direction: `max` if more is better, `min` if less is.
        unit: the unit of its values and of its bound.
        bound: the largest value allowed if less is better, the smallest if more is; None for no bound.
        function: function of a user's objective: gives a number for space and genome, always the same.
        best: the best possible value, if known; with `worst` it is the scale of the hypervolume.
        worst: the worst possible value, if known.
        source: for values from a file: everything that they depend on, such as the file's checksum.
        text: name in a configuration, if different: FILE.py:NAME.
    """

    name: str
    direction: Literal["max", "min"]
    unit: str
    bound: float | None = None
    function: Callable[[SearchSpace, Genome], float] | None = None
    best: float | None = None
    worst: float | None = None
    source: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w*", self.name) or self.name in _TAKEN:
            raise ConfigError(
                f"an objective is called {self.name!r}; give letters, digits and _, and not {', '.join(_TAKEN)}"
            )
        if self.direction not in ("max", "min"):
            raise ConfigError(f"the direction of objective '{self.name}' is {self.direction!r}; give 'max' or 'min'")
        for key in ("bound", "best", "worst"):
            value = getattr(self, key)
            if value is not None and not is_number(value):
                raise ConfigError(f"{key} of objective '{self.name}' is {value!r}; give a finite number or None")
        if self.best is not None and self.worst is not None and self.minimised(self.best) >= self.minimised(self.worst):
            right = "larger" if self.direction == "max" else "smaller"
            raise ConfigError(
                f"best and worst of objective '{self.name}' are {self.best} and {self.worst}; "
                f"with direction '{self.direction}' best must be the {right} one"
            )

    def minimised(self, value: float) -> float:
        """Value with its sign changed if more is better, so that less is always better."""
        return -value if self.direction == "max" else value

    def violation(self, value: float) -> float:
        """Relative distance of a value from the bound; 0 if it is met. NaN misses any bound."""
        if self.bound is None:
            return 0.0
        if math.isnan(value):
            return math.inf
        return max(0.0, self.minimised(value) - self.minimised(self.bound)) / (abs(self.bound) or 1.0)

    @property
    def bound_name(self) -> str:
        """Place where a user finds the bound."""
        return f"search.max_{self.name}" if self.name in _BOUNDED else f"the bound of objective '{self.name}'"


ACCURACY = Objective("top1", "max", "share of images")
BALANCED_ACCURACY = Objective("balanced_accuracy", "max", "share of a class, mean")
MADDS = Objective("madds", "min", "multiply-adds")
PARAMS = Objective("params", "min", "parameters")
LATENCY = Objective("latency", "min", "ms")

BUILT_IN: Mapping[str, Objective] = {
    each.name: each
    for each in (
        ACCURACY,
        BALANCED_ACCURACY,
        Objective("top5", "max", "share of images"),
        Objective("loss", "min", "nats", best=0.0),
        Objective("balanced_loss", "min", "nats", best=0.0),
        MADDS,
        PARAMS,
        LATENCY,
    )
}
"""Objectives that a configuration can name, in addition to `accuracy`; any other is FILE.py:NAME."""
LOSS_OF: Mapping[Measure, str] = {"top1": "loss", "balanced_accuracy": "balanced_loss"}
"""Loss that weights images or classes like each measure of accuracy."""
_BOUNDED = (MADDS.name, PARAMS.name, LATENCY.name)  # have a setting `search.max_...` of their own


def objectives_from(config: SearchConfig, measure: Measure = "top1") -> tuple[Objective, ...]:
    """Objectives of a configuration with its bounds. A bounded quantity is an objective even if it is not listed.

    Args:
        config: names and bounds.
        measure: meaning of `accuracy`.

    Raises:
        ConfigError: for an unknown or repeated name, or a file without the objective.
    """
    bounds = {name: getattr(config, f"max_{name}") for name in _BOUNDED}
    named = [measure if name == "accuracy" else name for name in config.objectives]
    names = [*named, *(name for name, bound in bounds.items() if bound is not None)]
    found = {text: _named(text) for text in dict.fromkeys(names)}
    if "accuracy" in config.objectives and measure not in config.objectives:
        found[measure] = dataclasses.replace(found[measure], text="accuracy")  # the name by which it was given
    for name, bound in bounds.items():
        if name in found:
            found[name] = dataclasses.replace(found[name], bound=bound)
    result = tuple(found.values())
    twice = [each.name for number, each in enumerate(result) if each.name in {o.name for o in result[:number]}]
    if twice:
        raise ConfigError(f"search.objectives has two that are called '{twice[0]}'; give one of them another name")
    return result


def without_objectives(config: SearchConfig, names: Sequence[str], also: Mapping[str, str]) -> SearchConfig:
    """Configuration without some of its objectives and their bounds. Reads no file.

    Args:
        config: configuration with the objectives.
        names: objectives to remove: names, FILE.py:NAME, or NAME alone.
        also: further names of objectives: their texts in the configuration, by name.

    Raises:
        ConfigError: for an objective that does not exist, or if none is left.
    """
    kept = list(config.objectives)
    for name in names:
        bounded = name in _BOUNDED and getattr(config, f"max_{name}") is not None
        text = next((each for each in kept if name in (each, each.partition(".py:")[2])), also.get(name))
        if text not in kept and not bounded:
            there = dict.fromkeys([*kept, *(each for each in _BOUNDED if getattr(config, f"max_{each}") is not None)])
            raise ConfigError(f"there is no objective '{name}' to take out; there are {', '.join(there)}")
        kept = [each for each in kept if each != text]
        if bounded:
            config = dataclasses.replace(config, **{f"max_{name}": None})
    if not kept:
        raise ConfigError(f"without {' and '.join(names)} no objective is left; keep one")
    return dataclasses.replace(config, objectives=tuple(kept))


def _named(text: str) -> Objective:
    """Objective that is built in, or from a user's file. A Python file is executed: it is code."""
    if text in BUILT_IN:
        return BUILT_IN[text]
    path, _, attribute = text.partition(".py:")
    if not attribute:
        unknown = UnknownNameError("objective", text, ("accuracy", *BUILT_IN))
        raise ConfigError(f"search.objectives: {unknown}, or give FILE.py:NAME")
    file = Path(path + ".py")
    objective = run_python(file, "objective", ConfigError).get(attribute)
    if not isinstance(objective, Objective) or objective.function is None:
        raise ConfigError(
            f"objective file {file} does not define an Objective with a function called '{attribute}'; "
            "see docs/search.md for an example"
        )
    if objective.name in ("accuracy", *BUILT_IN):
        raise ConfigError(f"objective file {file} defines '{objective.name}', which fairnas has; give another name")
    return dataclasses.replace(objective, source=f"{file.name} {checksum(file)[:16]}", text=text)


def accuracy_by(measure: Measure) -> Objective:
    """Objective of a measure of accuracy."""
    return BUILT_IN[measure]


def pays_with(objective: Objective) -> bool:
    """True if an objective is a cost of a network: less is better, and it is not a loss on images."""
    return objective.direction == "min" and objective.name not in LOSS_OF.values()


def merit(objectives: Sequence[Objective]) -> str:
    """Name of the goal of searchers with a single goal: the first objective to maximise.

    Objectives from the evaluator come before a user's functions.
    """
    more = sorted((o for o in objectives if o.direction == "max"), key=lambda o: o.function is not None)
    return more[0].name if more else ACCURACY.name


def violation(measures: Measures, objectives: Sequence[Objective]) -> float:
    """Sum of the relative violations of the bounds on known measures; 0 if all are met."""
    return sum(each.violation(measures[each.name]) for each in objectives if each.name in measures)


def qualifies(candidate: Candidate, objectives: Sequence[Objective]) -> bool:
    """True if a candidate was scored without failing and meets all bounds, so that it can be on a front."""
    complete = candidate.has(each.name for each in objectives) and not candidate.failed
    return complete and violation(dict(candidate.items), objectives) == 0
