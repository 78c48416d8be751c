"""Pareto front of a set of candidates, its hypervolume, and networks selected from it (paper 4.2)."""

from collections.abc import Iterable, Sequence

import numpy as np

from fairnas.search.candidate import Candidate
from fairnas.search.objectives import ACCURACY, MADDS, Objective, qualifies
from fairnas.search.ranges import Ranges

_SHARE = (0.0, 1.0)


def pareto_front(candidates: Iterable[Candidate], objectives: Sequence[Objective]) -> tuple[Candidate, ...]:
    """Candidates that no other dominates, lightest first.

    Only candidates that were scored, did not fail and meet all bounds are considered. Of several with the same genome
    the first is used; different networks with equal objectives are all kept.

    Args:
        candidates: candidates with canonical genomes, as from `run_search` and the archive.
        objectives: their names must be among the candidates' measures.
    """
    from pymoo.util.nds.non_dominated_sorting import find_non_dominated  # takes 0.4 s, which `--help` does not need

    distinct: dict[tuple[int, ...], Candidate] = {}
    for candidate in candidates:
        if qualifies(candidate, objectives):
            distinct.setdefault(candidate.genome, candidate)
    if not distinct:
        return ()
    kept = list(distinct.values())
    front = [kept[index] for index in find_non_dominated(minimised(kept, objectives))]
    # without multiply-adds, "light" refers to the first objective that is minimised
    light_first = sorted(objectives, key=lambda each: (each.name != MADDS.name, each.direction != "min"))
    return tuple(sorted(front, key=lambda c: ([o.minimised(c.value(o.name)) for o in light_first], c.genome)))


def minimised(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> np.ndarray:
    """Objective values with less always better, shape (candidates, objectives)."""
    return np.array([[each.minimised(c.value(each.name)) for each in objectives] for c in candidates], dtype=float)


def reference_point(objectives: Sequence[Objective], ranges: Ranges) -> tuple[float, ...]:
    """Worst value of each objective, in its own unit: accuracy 0, the costs of the heaviest network."""
    return tuple(ranges.get(each.name, _SHARE)[1 if each.direction == "min" else 0] for each in objectives)


def hypervolume(front: Sequence[Candidate], objectives: Sequence[Objective], ranges: Ranges) -> float:
    """Share of the objective space that a front dominates, from 0 to 1.

    Every objective is scaled to [0, 1], with 0 the best: costs from the smallest to the largest possible in the space,
    accuracy as 1 - accuracy. The reference point is 1 in each, the worst possible (`reference_point`). So the scale
    depends only on the space, not on results or bounds, and values of different searches of one space are comparable.
    This does not hold for estimated ranges (`estimated_ranges`), whose ends also limit values beyond them.

    Args:
        front: candidates as from `pareto_front`.
        objectives: objectives to compare.
        ranges: smallest and largest possible value of each; without one, an objective is a share from 0 to 1.
    """
    from pymoo.indicators.hv import HV

    if not front:
        return 0.0
    points = minimised(front, objectives)
    for column, objective in enumerate(objectives):
        best, worst = sorted(map(objective.minimised, ranges.get(objective.name, _SHARE)))
        points[:, column] = np.clip((points[:, column] - best) / ((worst - best) or 1.0), 0, 1)
    volume = HV(ref_point=np.ones(len(objectives)))(points)
    assert volume is not None, "the hypervolume of a front is a number"
    return float(volume)


def select_evenly(
    front: Sequence[Candidate], count: int, cost: Objective = MADDS, merit: Objective = ACCURACY
) -> tuple[Candidate, ...]:
    """Select networks at equal distances in multiply-adds, heaviest first (paper 4.2: FairNAS-A, B, C).

    Targets are evenly spaced from the heaviest to the lightest network of the front. Each in turn gets the nearest
    candidate that is still free, among equally near ones the more accurate; both ends are always selected. A front of
    at most `count` candidates is taken whole. A count of 1 gives the most accurate candidate.

    Args:
        front: scored candidates, in any order.
        count: number to select, 1 or more.
        cost: objective to spread over, in place of multiply-adds.
        merit: objective that decides between equally near ones, in place of accuracy.
    """

    def size(candidate: Candidate) -> float:
        return candidate.value(cost.name)

    def fault(candidate: Candidate) -> float:
        return merit.minimised(candidate.value(merit.name))

    heavy_first = sorted(front, key=lambda c: (-size(c), fault(c), c.genome))
    if len(heavy_first) <= count:
        return tuple(heavy_first)
    if count == 1:
        return (min(heavy_first, key=lambda c: (fault(c), size(c))),)
    heaviest, lightest = size(heavy_first[0]), size(heavy_first[-1])
    free, taken = list(heavy_first), []
    for target in np.linspace(heaviest, lightest, count).tolist():
        nearest = min(free, key=lambda c: (abs(size(c) - target), fault(c)))
        free.remove(nearest)
        taken.append(nearest)
    return tuple(candidate for candidate in heavy_first if candidate in taken)
