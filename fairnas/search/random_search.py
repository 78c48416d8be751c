"""Random search: genomes drawn uniformly, none twice. The baseline for every other searcher.

If bounds refuse nearly all of a large space, draws within the bounds are not uniform: see `FeasibleGenomes`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fairnas.config import SearchConfig
from fairnas.randomness import generator
from fairnas.search.candidate import Candidate, Costs
from fairnas.search.mutators import OperatorCounts
from fairnas.search.objectives import Objective
from fairnas.search.sampling import FeasibleGenomes
from fairnas.space import Genome, SearchSpace


class RandomSearch:
    """Uniform random search: `config.population` new genomes per generation that meet the bounds; learns nothing.

    Its last generations are smaller, then empty, when the space runs out of networks that meet the bounds.
    """

    operators: Mapping[str, OperatorCounts] = MappingProxyType({})

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        costs: Costs,
        config: SearchConfig,
        seed: int,
    ) -> None:
        self._genomes = FeasibleGenomes(space, objectives, costs, generator(seed, "random search"))
        self._population = config.population

    def ask(self) -> tuple[Genome, ...]:
        """Next generation of genomes."""
        return self._genomes.draw(self._population)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Do nothing: random search does not depend on scores."""
