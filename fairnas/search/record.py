"""`search.json`: objectives, results and selection of a search."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fairnas.config import Measure
from fairnas.record import Number, Record, StoredAs
from fairnas.search.archive import ArchiveContent
from fairnas.search.candidate import Candidate
from fairnas.search.mutators import OperatorCounts

StoredCandidate = Annotated[Candidate, StoredAs(Candidate.from_dict, Candidate.to_dict)]


@dataclass(frozen=True)
class ObjectiveRecord:
    """An objective of a finished search."""

    name: str
    text: str
    """Name in the configuration."""
    direction: Literal["max", "min"]
    unit: str
    bound: Number | None
    range: tuple[Number, Number] | None
    """Smallest and largest value, which scale the hypervolume; None if no network had one."""
    range_is_estimated: bool
    """True if the range was estimated from the first generation."""
    origin: str
    """Origin of the objective in words: the recipe, the run's own settings, a flag."""


@dataclass(frozen=True)
class SearchRecord(Record):
    """Content of `search.json`. The front begins with its lightest network, the selection with its heaviest."""

    searcher: str
    measure: Measure
    """Measure of accuracy."""
    population: int
    generations: int
    """Number of generations; fewer than configured if the space ran out of networks."""
    evaluations: int
    """Genomes asked for, repeats included."""
    distinct: int
    """Networks among them."""
    rejected: int
    """Number of distinct networks that missed a bound."""
    failed: int
    """Number of distinct networks that could not be scored."""
    failure: str
    """Genome of the first of these and the reason; empty if none failed."""
    operators: dict[str, OperatorCounts]
    """Outcome of the children of each operator; empty for searchers without operators."""
    hypervolume: tuple[float, ...]
    """Hypervolume after each generation."""
    reference: tuple[Number, ...]
    """Reference point of the hypervolume."""
    objectives: tuple[ObjectiveRecord, ...]
    bounds: dict[str, Number | None]
    """Bounds by name of the objective; multiply-adds and parameters are always included."""
    front: tuple[StoredCandidate, ...]
    selected: tuple[StoredCandidate, ...]
    sources: dict[str, str]
    """Files of the user's that costs and objectives depend on, by name."""
    setting: str
    """Setting under which the archive stores its scores."""
    archive: ArchiveContent

    @property
    def scored(self) -> int:
        """Networks that the search asked for and that neither missed a bound nor failed."""
        return self.distinct - self.rejected - self.failed

    @property
    def further_objectives(self) -> tuple[ObjectiveRecord, ...]:
        """Objectives other than the measure of accuracy, multiply-adds and parameters, which every table shows."""
        known = (self.measure, "madds", "params")
        return tuple(each for each in self.objectives if each.name not in known)
