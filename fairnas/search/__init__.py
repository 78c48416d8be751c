"""Stage two: search a trained supernet for the Pareto front, and select from it (paper 3.2 and 4.2).

The entry is `run_search`. It does not know the supernet: an `Evaluator` gives scores of genomes, `Costs` their costs.
"""

from fairnas.search.archive import Archive
from fairnas.search.candidate import Candidate, Costs, Evaluator, Measures
from fairnas.search.loop import SearchResult, run_search
from fairnas.search.objectives import (
    ACCURACY,
    LATENCY,
    MADDS,
    PARAMS,
    Objective,
    objectives_from,
)
from fairnas.search.pareto import hypervolume, pareto_front, reference_point, select_evenly
from fairnas.search.ranges import Ranges, check_bounds, cost_ranges, scarcities
from fairnas.search.searchers import SEARCHERS, Searcher, SearcherInfo, make_searcher

__all__ = [
    "ACCURACY",
    "LATENCY",
    "MADDS",
    "PARAMS",
    "SEARCHERS",
    "Archive",
    "Candidate",
    "Costs",
    "Evaluator",
    "Measures",
    "Objective",
    "Ranges",
    "SearchResult",
    "Searcher",
    "SearcherInfo",
    "check_bounds",
    "cost_ranges",
    "hypervolume",
    "make_searcher",
    "objectives_from",
    "pareto_front",
    "reference_point",
    "run_search",
    "scarcities",
    "select_evenly",
]
