"""Who proposes genomes: every searcher by name. A new one is one file and one line here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairnas.config import SearchConfig
from fairnas.errors import UnknownNameError
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.nsga2 import NSGA2
from fairnas.search.objectives import Objective
from fairnas.search.random_search import RandomSearch
from fairnas.space import Genome, SearchSpace


class Searcher(Protocol):
    """Proposes genomes by generations: a deterministic function of its seed and of the scores told."""

    def ask(self) -> tuple[Genome, ...]:
        """One generation of genomes; an empty one ends the search."""
        ...

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take the generation just asked for, in order. One that misses a bound has costs but no scores."""
        ...


SearcherFactory = Callable[[SearchSpace, tuple[Objective, ...], Costs, SearchConfig, int], Searcher]


@dataclass(frozen=True)
class SearcherInfo:
    """What `fairnas searchers` lists, and how the searcher is made."""

    line: str
    """What it does, in one line."""
    source: str
    """Its source, and its place in the paper."""
    factory: SearcherFactory
    """Makes one from space, objectives, costs, configuration and seed."""


SEARCHERS: Mapping[str, SearcherInfo] = {
    "nsga2": SearcherInfo(
        "evolution by non-dominated sorting, single-point crossover and mutation of one layer",
        "Deb et al. 2002; the backbone of the paper's search, section 3.2 and Algorithm 3",
        NSGA2,
    ),
    "random": SearcherInfo(
        "genomes drawn uniformly, none twice",
        "the baseline of the search comparison, section 4.3.2",
        RandomSearch,
    ),
}


def make_searcher(
    space: SearchSpace, objectives: tuple[Objective, ...], costs: Costs, config: SearchConfig, seed: int
) -> Searcher:
    """The searcher that the configuration names. Raises `UnknownNameError`, with the nearest name."""
    if config.searcher not in SEARCHERS:
        raise UnknownNameError("searcher", config.searcher, SEARCHERS)
    return SEARCHERS[config.searcher].factory(space, objectives, costs, config, seed)
