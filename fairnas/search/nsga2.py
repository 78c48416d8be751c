"""NSGA-II (Deb et al. 2002), the backbone of the paper's search (3.2): pymoo's algorithm, our operators.

A choice index is a name, not a number: choice 3 is no closer to 4 than to 0. So pymoo's arithmetic on variables is
replaced by single-point crossover between layers and by uniform mutation of one layer. Non-dominated sorting, crowding
distance and the tournament are pymoo's. Bounds are its constraints: a network that meets them beats one that does not,
and of two that do not, the one closer to the bounds wins, whatever their accuracies.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from fairnas.config import SearchConfig
from fairnas.randomness import derived_seed, generator
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.mutators import Mutator, OperatorCounts, UniformMutator
from fairnas.search.objectives import Objective
from fairnas.search.sampling import FeasibleGenomes
from fairnas.space import Genome, SearchSpace

_MATINGS = 25  # attempts to fill a generation with new networks before it stays smaller


class NSGA2:
    """Generations of `config.population` genomes per `ask`; fewer if a small space has no others left.

    The first generation is random and meets the bounds. Later ones come from tournament, crossover with
    probability `config.crossover` per pair of parents, and mutation with probability `config.mutation` per
    child. A child is never the same network as another child or as one of the population; a network that died out may
    come back, which costs nothing because its score is known.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        costs: Costs,
        config: SearchConfig,
        seed: int,
        mutator: Mutator | None = None,
    ) -> None:
        self._mutator = mutator or UniformMutator(space)
        self.operators: dict[str, OperatorCounts] = {}
        self._objectives = objectives
        self._bounded = tuple(each for each in objectives if each.bound is not None)
        genomes = FeasibleGenomes(space, objectives, costs, generator(seed, "first population"))
        self._unseen = genomes.listed()
        first = np.array(genomes.draw(config.population), dtype=int).reshape(-1, space.depth)
        shape = (len(objectives), len(self._bounded) + 1)  # the last constraint is failure
        self._algorithm = _algorithm(space, shape, first, config, derived_seed(seed, "nsga2"), self._mutator)
        self._asked: Any = None

    def ask(self) -> tuple[Genome, ...]:
        """Next generation of canonical genomes; empty if the space is exhausted."""
        over = self._unseen is not None and not self._unseen
        self._asked = None if over else self._algorithm.ask()
        if self._asked is None:
            return ()
        genomes = tuple(tuple(row) for row in self._asked.get("X").tolist())
        if self._unseen is not None:
            self._unseen -= set(genomes)
        return genomes

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Score the generation of the last `ask`, in its order. A candidate without scores must miss a bound."""
        assert self._asked is not None, "tell answers an ask"
        assert len(candidates) == len(self._asked), "tell takes one candidate per genome asked for"
        self._asked.set("F", np.array([self._values(each) for each in candidates]))
        self._asked.set("G", np.array([self._violations(each) for each in candidates]))
        names = [name or "first" for name in self._asked.get("operator")]
        self._asked.set("operator", np.array(names, dtype=object))
        self._algorithm.tell(infills=self._asked)
        self._mutator.learn(candidates, names)
        self._count(names)

    def _count(self, names: Sequence[str]) -> None:
        """Count the children of each operator, and how many of them survived or are on the first front."""
        told = {id(individual): name for individual, name in zip(self._asked, names, strict=True)}
        for name in names:
            tally = self.operators.get(name, OperatorCounts())
            self.operators[name] = dataclasses.replace(tally, children=tally.children + 1)
        for individual in self._algorithm.pop:
            if name := told.get(id(individual)):
                tally = self.operators[name]
                on_front = int(individual.get("rank") == 0)
                self.operators[name] = OperatorCounts(tally.children, tally.survived + 1, tally.on_front + on_front)

    def _values(self, candidate: Candidate) -> list[float]:
        """Objectives to minimise. pymoo never reads those of candidates that miss a bound or failed."""
        measures = dict(candidate.items)
        found = [each.minimised(measures.get(each.name, math.nan)) for each in self._objectives]
        return [0.0 if math.isnan(value) else value for value in found]

    def _violations(self, candidate: Candidate) -> list[float]:
        """Violations, positive if a bound is missed. A failed network is worse than any that only misses bounds."""
        measures = dict(candidate.items)
        bounds = [each.violation(measures[each.name]) if each.name in measures else 1.0 for each in self._bounded]
        return [*bounds, math.inf if candidate.failed else 0.0]


def children(
    a: np.ndarray,
    b: np.ndarray,
    space: SearchSpace,
    config: SearchConfig,
    rng: np.random.Generator,
    mutator: Mutator | None = None,
    front: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Make two canonical children of each pair of parents, shape (2 pairs, L); also return the operator of each.

    Args:
        a: integer genomes, shape (pairs, L).
        b: their partners, of the same shape.
        space: gives the choices of each layer, and canonical genomes.
        config: a pair is crossed with probability `crossover`, a child mutated with probability `mutation`.
        rng: source of randomness.
        mutator: mutates children; default: one layer, uniformly.
        front: the first front of the population, for the mutator.
    """
    crossed = rng.random((len(a), 1)) < config.crossover
    tail = crossed & _tails(a.shape, rng)
    born = np.concatenate([np.where(tail, b, a), np.where(tail, a, b)])
    operators = ["crossover" if mixed else "none" for mixed in (*crossed[:, 0], *crossed[:, 0])]
    mutated = np.flatnonzero(rng.random(len(born)) < config.mutation)
    if len(mutated):
        nobody = np.empty((0, space.depth), dtype=int)
        changed, names = (mutator or UniformMutator(space)).mutate(
            born[mutated], nobody if front is None else front, rng
        )
        born[mutated] = changed
        for row, name in zip(mutated.tolist(), names, strict=True):
            operators[row] = name
    canonical = np.array([space.canonical(tuple(row)) for row in born.tolist()], dtype=int).reshape(born.shape)
    return canonical, operators


def _tails(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Mask of the layers behind a random point of each genome: at least the last layer, never all."""
    pairs, depth = shape
    if depth == 1:
        return np.zeros(shape, dtype=bool)
    return np.arange(depth) >= rng.integers(1, depth, size=(pairs, 1))


def survivors(
    values: np.ndarray, violations: np.ndarray, count: int, rng: np.random.Generator
) -> list[tuple[int, int, float]]:
    """Select survivors: networks within the bounds by rank and crowding distance, then the others by violation.

    It equals pymoo's survival, but sorts stably. pymoo's ties, which are frequent, are ordered by numpy's quicksort,
    whose result differs between processors.

    Args:
        values: objectives to minimise, shape (networks, objectives).
        violations: 0 where all bounds are met, shape (networks,).
        count: largest number of survivors.
        rng: breaks ties of the crowding distance.

    Returns:
        Index, rank and crowding distance of each survivor; rank and distance are -1 if a bound is missed.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    crowding_distance: Any = get_crowding_function("cd")
    meeting, missing = np.flatnonzero(violations <= 0), np.flatnonzero(violations > 0)
    result: list[tuple[int, int, float]] = []
    for rank, front in enumerate(NonDominatedSorting().do(values[meeting], n_stop_if_ranked=count)):
        members = meeting[front]
        crowding = crowding_distance.do(values[members])
        order = np.arange(len(members))
        if len(result) + len(members) > count:
            shuffled = rng.permutation(len(members))
            order = shuffled[np.argsort(-crowding[shuffled], kind="stable")][: count - len(result)]
        result += [(int(members[i]), rank, float(crowding[i])) for i in order]
    closest = missing[np.argsort(violations[missing], kind="stable")][: max(0, count - len(result))]
    return result + [(int(index), -1, -1.0) for index in closest]


def _algorithm(
    space: SearchSpace,
    shape: tuple[int, int],
    first: np.ndarray,
    config: SearchConfig,
    seed: int,
    mutator: Mutator,
) -> Any:
    """Pymoo's NSGA-II, set up for a space; `shape` is (objectives, constraints). It has its own generator."""
    from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
    from pymoo.config import Config
    from pymoo.core.duplicate import DefaultDuplicateElimination
    from pymoo.core.infill import InfillCriterion
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.core.survival import Survival
    from pymoo.core.termination import NoTermination

    # otherwise pymoo may print to standard output, which is reserved for results
    Config.warnings["not_compiled"] = False
    algorithm: Any = PymooNSGA2(pop_size=config.population, sampling=cast(Any, first), seed=seed)
    tournament = algorithm.mating.selection

    class LayerMating(InfillCriterion):
        def _do(self, problem: Any, pop: Any, n_offsprings: int, random_state: Any = None, **kwargs: Any) -> Any:
            pairs = (n_offsprings + 1) // 2
            parents = tournament.do(problem, pop, pairs, 2, to_pop=False, random_state=random_state, **kwargs)
            a, b = (pop.get("X")[parents[:, side]] for side in (0, 1))
            front = pop.get("X")[pop.get("rank") == 0]
            born, operators = children(a, b, space, config, random_state, mutator, front)
            return Population.new("X", born, "operator", np.array(operators, dtype=object))

    class StableSurvival(Survival):
        def _do(self, problem: Any, pop: Any, *args: Any, **kwargs: Any) -> Any:
            violations = pop.get("CV")[:, 0]
            living = survivors(pop.get("F"), violations, kwargs["n_survive"], kwargs["random_state"])
            for index, rank, crowding in living:
                pop[index].set("rank", rank)
                pop[index].set("crowding", crowding)
            return pop[[index for index, _, _ in living]]

    algorithm.mating = LayerMating(eliminate_duplicates=DefaultDuplicateElimination(), n_max_iterations=_MATINGS)
    algorithm.survival = StableSurvival(filter_infeasible=False)
    objectives, constraints = shape
    problem = Problem(
        n_var=space.depth,
        n_obj=objectives,
        n_ieq_constr=constraints,
        xl=0,
        xu=np.array(space.choices) - 1,
        vtype=int,
    )
    return algorithm.setup(problem, termination=NoTermination())
