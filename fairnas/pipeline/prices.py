"""What a genome costs in a run: multiply-adds and parameters, and latency where the configuration names a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.nets import cost_table
from fairnas.search import LATENCY, Costs, LatencyTable, read_latency_table
from fairnas.search.candidate import Measures
from fairnas.space import Genome, SearchSpace


@dataclass(frozen=True)
class Prices(Costs):
    """Costs of the genomes of a space."""

    space: SearchSpace
    latency: LatencyTable | None = None

    def __call__(self, genome: Genome, /) -> Measures:
        """All costs of one (valid) genome."""
        return {**cost_table(self.space).measures(genome), **(self.latency.measures(genome) if self.latency else {})}

    @property
    def sources(self) -> Mapping[str, str]:
        """Of costs that depend on more than the space, on what."""
        return {LATENCY.name: f"table {self.latency.fingerprint}"} if self.latency else {}


def prices_of(space: SearchSpace, search: SearchConfig) -> Prices:
    """The costs that a search knows. Raises `ConfigError` for a latency table that is absent or of another space."""
    if search.latency_table is not None:
        return Prices(space, read_latency_table(Path(search.latency_table), space))
    if search.searcher == "mnasnet_rl" and search.reward.cost == LATENCY.name:
        raise ConfigError("search.reward.cost is 'latency'; give its table with --search.latency-table FILE.json")
    return Prices(space)
