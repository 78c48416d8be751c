"""Ranges of the objectives, which prove that a bound is possible, and scale the hypervolume."""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence

from fairnas.errors import ConfigError
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.objectives import MADDS, PARAMS, Objective
from fairnas.space import Genome, SearchSpace

Ranges = Mapping[str, tuple[float, float]]


def cost_ranges(space: SearchSpace, costs: Costs) -> Ranges:
    """Smallest and largest possible value of every cost, over all genomes of the space.

    Costs are additive over layers, so changing one layer at a time finds the lightest and the heaviest genome of each
    cost with L m calls.
    """
    base: Genome = (0,) * space.depth
    layers = [
        [costs((*base[:layer], choice, *base[layer + 1 :])) for choice in range(count)]
        for layer, count in enumerate(space.choices)
    ]

    def extreme(name: str, pick: Callable[..., int]) -> float:
        # the cost of a genome, not a sum of differences, whose rounding could refuse a bound that the lightest just
        # meets
        chosen = tuple(pick(range(len(row)), key=lambda choice: row[choice][name]) for row in layers)
        return costs(chosen)[name]

    return {name: (extreme(name, min), extreme(name, max)) for name in costs(base)}


def known_ranges(objectives: Sequence[Objective], costs: Ranges) -> Ranges:
    """Smallest and largest value of each objective that is known before the search.

    Ranges are exact for costs, 0 to 1 for shares from the evaluator, and as declared for others.
    """
    known = dict(costs)
    for each in objectives:
        if each.name not in costs:
            if each.best is not None and each.worst is not None:
                known[each.name] = (min(each.best, each.worst), max(each.best, each.worst))
            elif each.direction == "max" and each.function is None:
                known[each.name] = (0.0, 1.0)
    return known


def estimated_ranges(objectives: Sequence[Objective], known: Ranges, candidates: Sequence[Candidate]) -> Ranges:
    """Known ranges, with estimates from the first candidates with values for objectives that have none.

    An estimate extends from the worst value to the best one, and as far again beyond; a declared end is kept. It is a
    function of the first generation alone, so a resumed search makes the same.
    """
    ranges = dict(known)
    for each in objectives:
        values = [each.minimised(c.value(each.name)) for c in candidates if c.has([each.name]) and not c.failed]
        if each.name not in ranges and values:
            worst = max(values) if each.worst is None else each.minimised(each.worst)
            best = 2 * min(values) - worst if each.best is None else each.minimised(each.best)
            ends = (each.minimised(min(best, worst)), each.minimised(worst))
            ranges[each.name] = (min(ends), max(ends))
    return ranges


_OTHER_REMEDIES = {
    MADDS.name: ", or begin a run with smaller images (--data.image-size) or fewer channels (--width)",
    PARAMS.name: ", or begin a run with fewer channels (--width)",
}


def check_bounds(space: SearchSpace, objectives: Sequence[Objective], costs: Ranges) -> None:
    """Refuse a bound that no genome meets, before anything is searched.

    Args:
        space: its name is used in the message.
        objectives: objectives with their bounds.
        costs: smallest and largest possible value of each cost (`cost_ranges`). Other objectives are only checked if
            they declare their best value.

    Raises:
        ConfigError: with the best possible value.
    """
    for objective in objectives:
        low, high = costs.get(objective.name, (objective.best, objective.best))
        best = low if objective.direction == "min" else high
        if objective.bound is None or best is None or not objective.violation(best):
            continue
        small = objective.direction == "min"
        remedy = _OTHER_REMEDIES.get(objective.name, "") if small else ""
        which, other = ("smallest", "more") if small else ("largest", "less")
        raise ConfigError(
            f"{objective.bound_name} is {number(objective.bound)} {objective.unit}; the {which} network of space "
            f"'{space.name}' has {number(best, up=small)}, give {other} than that to have a choice{remedy}"
        )


def scarcities(space: SearchSpace, objectives: Sequence[Objective], costs: Costs, wanted: int) -> tuple[str, ...]:
    """Notes about bounds on costs that fewer networks meet than are wanted, although the space has enough.

    Args:
        space: searched space.
        objectives: objectives with their bounds.
        costs: costs, additive over layers.
        wanted: wanted number of networks.
    """
    known = costs((0,) * space.depth)
    lines = []
    for each in objectives:
        if each.name not in known or each.bound is None or each.direction == "max":
            continue
        values = smallest(space, costs, each.name, wanted)
        met = sum(not each.violation(value) for value in values)
        if met < len(values):
            networks = "1 network meets" if met == 1 else f"{met} networks meet"
            lines.append(
                f"only {networks} {each.bound_name} {number(each.bound)}, which leaves little to choose from; "
                f"{len(values)} networks have up to {number(values[-1], up=True)} {each.unit}"
            )
    return tuple(lines)


def smallest(space: SearchSpace, costs: Costs, name: str, count: int) -> list[float]:
    """Smallest values of a cost over networks, in order: `count` of them, or all of a smaller space.

    The choices of each layer are sorted; each network is reached from one in which one layer has the previous choice.
    """
    base: Genome = tuple(0 for _ in range(space.depth))
    orders = [
        sorted(range(choices), key=lambda choice: costs((*base[:layer], choice, *base[layer + 1 :]))[name])
        for layer, choices in enumerate(space.choices)
    ]

    def reached(places: Genome) -> tuple[float, Genome, Genome]:
        genome = tuple(order[place] for order, place in zip(orders, places, strict=True))
        return costs(genome)[name], places, space.canonical(genome)

    waiting, seen, found = [reached(base)], {base}, dict[Genome, float]()
    while waiting and len(found) < count:
        cost, places, genome = heapq.heappop(waiting)
        found.setdefault(genome, cost)
        for layer, place in enumerate(places):
            further = (*places[:layer], place + 1, *places[layer + 1 :])
            if place + 1 < space.choices[layer] and further not in seen:
                seen.add(further)
                heapq.heappush(waiting, reached(further))
    return list(found.values())


def number(value: float, up: bool | None = None) -> str:
    """Number for a message: counts in full, others with four digits, rounded to the nearest, up, or down."""
    if float(value).is_integer() or abs(value) >= 1e6:
        return f"{value if up is None else math.ceil(value) if up else math.floor(value):,.0f}"
    if up is None:
        return f"{value:.4g}"
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return f"{(math.ceil if up else math.floor)(value / step) * step:.4g}"
