"""`search.json`: what a search was after, what it found, and what was selected of it."""

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
    """An objective of a search that is over."""

    name: str
    text: str
    """What the configuration calls it."""
    direction: Literal["max", "min"]
    unit: str
    bound: Number | None
    range: tuple[Number, Number] | None
    """Smallest and largest value, which scale the hypervolume; None where no network had one."""
    range_is_estimated: bool
    """Whether the range was guessed from the first generation."""
    origin: str
    """Where it comes from, in words: the recipe, the run's own settings, a flag."""


@dataclass(frozen=True)
class SearchRecord(Record):
    """`search.json`. The front is sorted by multiply-adds, lightest first; the selected networks are heaviest first."""

    searcher: str
    measure: Measure
    """What accuracy means."""
    population: int
    generations: int
    """How many there were; fewer than configured if the space ran out of networks."""
    evaluations: int
    """Genomes asked for, repeats included."""
    distinct: int
    """Networks among them."""
    rejected: int
    """Of the distinct networks, how many missed a bound."""
    failed: int
    """Of these, how many could not be scored."""
    failure: str
    """The first of these and why; empty if none failed."""
    operators: dict[str, OperatorCounts]
    """What became of the children of each operator; none of searchers that have no operators."""
    hypervolume: tuple[float, ...]
    """After each generation."""
    reference: tuple[Number, ...]
    """The point that it is measured from."""
    objectives: tuple[ObjectiveRecord, ...]
    bounds: dict[str, Number | None]
    """By the names of objectives; multiply-adds and parameters are always among them."""
    front: tuple[StoredCandidate, ...]
    selected: tuple[StoredCandidate, ...]
    sources: dict[str, str]
    """Of costs and objectives that depend on a file of the user's: on what."""
    setting: str
    """Under which the archive has its scores."""
    archive: ArchiveContent

    @property
    def scored(self) -> int:
        """Networks that the search asked for and that neither missed a bound nor failed."""
        return self.distinct - self.rejected - self.failed

    @property
    def further_objectives(self) -> tuple[ObjectiveRecord, ...]:
        """Those beyond the measure of accuracy, multiply-adds and parameters, which every table has."""
        known = (self.measure, "madds", "params")
        return tuple(each for each in self.objectives if each.name not in known)
