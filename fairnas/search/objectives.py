"""What a search optimises, and the bounds it keeps (paper 3.2): accuracy, multiply-adds, parameters."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.search.candidate import Candidate, Costs, Measures
from fairnas.space import Genome, SearchSpace

Ranges = Mapping[str, tuple[float, float]]

_EXPONENTS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9}


@dataclass(frozen=True)
class Objective:
    """One quantity to optimise.

    Attributes:
        name: the cost or measure of a candidate, such as `madds`.
        direction: whether more or less of it is better.
        unit: the unit of its values and of its bound.
        bound: the largest value allowed where less is better, the smallest where more is; None for no bound.
    """

    name: str
    direction: Literal["max", "min"]
    unit: str
    bound: float | None = None

    def minimised(self, value: float) -> float:
        """The value with its sign turned where more is better, so that less is always better."""
        return -value if self.direction == "max" else value

    def violation(self, value: float) -> float:
        """How far a value misses the bound, relative to it; 0 where it is met. A NaN misses any bound."""
        if self.bound is None:
            return 0.0
        if math.isnan(value):
            return math.inf
        return max(0.0, self.minimised(value) - self.minimised(self.bound)) / (abs(self.bound) or 1.0)


ACCURACY = Objective("top1", "max", "share of images")
MADDS = Objective("madds", "min", "multiply-adds")
PARAMS = Objective("params", "min", "parameters")


def objectives_from(config: SearchConfig) -> tuple[Objective, ...]:
    """The three objectives of the paper, with the bounds of the configuration."""
    return (
        ACCURACY,
        dataclasses.replace(MADDS, bound=config.max_madds),
        dataclasses.replace(PARAMS, bound=config.max_params),
    )


def merit(objectives: Sequence[Objective]) -> str:
    """The name of what searchers with one goal look for: the first objective of which more is better."""
    return next((each.name for each in objectives if each.direction == "max"), ACCURACY.name)


def violation(measures: Measures, objectives: Sequence[Objective]) -> float:
    """Sum of the relative violations of the bounds on what is measured; 0 where all of them are met."""
    return sum(each.violation(measures[each.name]) for each in objectives if each.name in measures)


def qualifies(candidate: Candidate, objectives: Sequence[Objective]) -> bool:
    """Whether a candidate was scored without failing and meets all bounds, so that a front may hold it."""
    complete = candidate.has(each.name for each in objectives) and not candidate.failed
    return complete and violation(dict(candidate.items), objectives) == 0


def cost_ranges(space: SearchSpace, costs: Costs) -> Ranges:
    """Smallest and largest possible value of every cost, over all genomes of the space.

    Costs are additive over layers, so changing one layer at a time is enough: 1 + L(m - 1) questions.
    """
    base: Genome = (0,) * space.depth
    origin = costs(base)
    lows, highs = dict(origin), dict(origin)
    for layer, count in enumerate(space.choices):
        changed = [costs((*base[:layer], choice, *base[layer + 1 :])) for choice in range(count)]
        for name, start in origin.items():
            differences = [each[name] - start for each in changed]
            lows[name] += min(differences)
            highs[name] += max(differences)
    return {name: (lows[name], highs[name]) for name in origin}


def check_bounds(space: SearchSpace, objectives: Sequence[Objective], lightest: Mapping[str, float]) -> None:
    """Refuse a bound that no genome meets, before anything is searched.

    Args:
        space: named in the message.
        objectives: with their bounds.
        lightest: smallest possible value of each cost: the sum over layers of the smallest (`cost_ranges`).

    Raises:
        ConfigError: saying the smallest possible value.
    """
    for objective in objectives:
        smallest = lightest.get(objective.name)
        if objective.bound is not None and smallest is not None and objective.violation(smallest) > 0:
            raise ConfigError(
                f"search.max_{objective.name} is {objective.bound:,.0f} {objective.unit}; "
                f"the smallest network of space '{space.name}' has {smallest:,.0f}, give that or more"
            )


def parse_quantity(text: str) -> float:
    """Read `330M`, `4.5M`, `1.2G`, `900k` or a plain number. Raises `ConfigError` for anything else."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)(?:([kKMG]?)|([eE]\+?\d+))\s*", text, re.ASCII)
    if match is None:
        raise ConfigError(f"'{text}' is not a quantity; write a number above 0 with k, M or G, such as 330M")
    number, suffix, exponent = match.groups()
    # the suffix becomes an exponent of the text, because a product would not be the nearest float
    value = float(number + (exponent or f"e{_EXPONENTS[suffix or '']}"))
    if not 0 < value < math.inf:
        raise ConfigError(f"'{text}' is not a quantity above 0; write a number with k, M or G, such as 330M")
    return value
