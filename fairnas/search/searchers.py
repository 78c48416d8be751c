"""List of searchers by name. A new one is one file and one line here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairnas.config import SearchConfig
from fairnas.errors import UnknownNameError
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.mutators import HierarchicalMutator, OperatorCounts
from fairnas.search.nsga2 import NSGA2
from fairnas.search.objectives import Objective
from fairnas.search.policy_search import PolicySearch
from fairnas.search.random_search import RandomSearch
from fairnas.search.spos_evolution import SposEvolution
from fairnas.space import Genome, SearchSpace


class Searcher(Protocol):
    """Source of genomes by generations: a deterministic function of its seed and of the scores."""

    def ask(self) -> tuple[Genome, ...]:
        """Next generation of genomes; an empty one ends the search."""
        ...

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take the candidates of the last `ask`, in order. One that misses a bound has costs but no scores."""
        ...

    @property
    def operators(self) -> Mapping[str, OperatorCounts]:
        """Counts of the children of each operator; empty for a searcher without operators."""
        ...


SearcherFactory = Callable[[SearchSpace, tuple[Objective, ...], Costs, SearchConfig, int], Searcher]


@dataclass(frozen=True)
class SearcherInfo:
    """Line of `fairnas searchers`, and the factory of the searcher."""

    line: str
    """Description in one line."""
    source: str
    """Reference, and place in the paper."""
    factory: SearcherFactory
    """Function that makes a searcher from space, objectives, costs, configuration and seed."""


def _moremnas(
    space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, config: SearchConfig, seed: int
) -> NSGA2:
    return NSGA2(space, objectives, costs, config, seed, HierarchicalMutator(space, objectives, costs, config, seed))


def _reinforced(
    space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, config: SearchConfig, seed: int
) -> NSGA2:
    only = dataclasses.replace(config.hierarchy, random=0.0, reinforced=1.0, prior=0.0)
    config = dataclasses.replace(config, hierarchy=only)
    return NSGA2(space, objectives, costs, config, seed, HierarchicalMutator(space, objectives, costs, config, seed))


SEARCHERS: Mapping[str, SearcherInfo] = {
    "moremnas": SearcherInfo(
        "NSGA-II with hierarchical mutation: random, reinforced (a PPO controller, or roulette by cost), prior",
        "the paper's search: section 3.2, Algorithm 3, Table 4; Chu et al. 2019 (MoreMNAS)",
        _moremnas,
    ),
    "nsga2": SearcherInfo(
        "evolution by non-dominated sorting, single-point crossover and mutation of one layer",
        "Deb et al. 2002; the backbone of the paper's search, section 3.2 and Algorithm 3",
        NSGA2,
    ),
    "nsga2_reinforced": SearcherInfo(
        "NSGA-II whose only mutation is the reinforced one",
        "the EA baseline of section 4.3.2: NSGA-II with reinforced mutation",
        _reinforced,
    ),
    "mnasnet_rl": SearcherInfo(
        "a PPO controller alone, rewarded with accuracy times (cost / target)^w",
        "the RL baseline of section 4.3.2; Tan et al. 2019 (MnasNet)",
        PolicySearch,
    ),
    "spos_ea": SearcherInfo(
        "evolution of accuracy alone under the bounds: the best ever are mutated and crossed",
        "Guo et al. 2019 (Single Path One-Shot)",
        SposEvolution,
    ),
    "random": SearcherInfo(
        "genomes drawn uniformly (where hardly any meets the bounds, moved to them), none twice",
        "the baseline of the search comparison, section 4.3.2",
        RandomSearch,
    ),
}


def make_searcher(
    space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, config: SearchConfig, seed: int
) -> Searcher:
    """Make the searcher that the configuration names.

    Args:
        space: space of the genomes.
        objectives: objectives with their bounds.
        costs: multiply-adds, parameters and other values known without scoring.
        config: population, generations, and its own settings.
        seed: seed of all its random draws.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if config.searcher not in SEARCHERS:
        raise UnknownNameError("searcher", config.searcher, SEARCHERS)
    return SEARCHERS[config.searcher].factory(space, objectives, costs, config, seed)
