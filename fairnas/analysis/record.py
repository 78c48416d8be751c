"""`ranking.json`: the ranking study of a run, with what was compared."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from fairnas.analysis.study import RankingStudy
from fairnas.config import Measure
from fairnas.record import Record
from fairnas.space.genome import StoredGenome


@dataclass(frozen=True)
class PredictedNetwork:
    """A network of the search, chosen by the accuracy that the study foresees for it."""

    genome: StoredGenome
    selected: bool
    """Whether the search had selected it, too."""
    foreseen: float
    """Stand-alone test accuracy, trained as the networks of the study were."""
    top1: float
    """This and `balanced_accuracy` are one-shot accuracies on the validation images."""
    balanced_accuracy: float
    madds: int
    params: int

    def one_shot(self, measure: Measure) -> float:
        """One-shot accuracy by a measure."""
        return self.top1 if measure == "top1" else self.balanced_accuracy


@dataclass(frozen=True)
class SecondChoice:
    """Networks of the search chosen by the study's fitted sum, heaviest first."""

    looked_at: int
    """Networks that they were chosen from."""
    networks: tuple[PredictedNetwork, ...]


@dataclass(frozen=True)
class RankingRecord(Record):
    """`ranking.json`; in the file, what is found stands beside what was compared."""

    choose: Literal["front", "stratified", "random", "named"]
    """How the networks of the study were chosen."""
    measure: Measure
    """What accuracy means."""
    scored_by: str
    """BN statistics of the run's own scores."""
    against_run: str | None
    """The run whose supernet scored the networks, too."""
    images: dict[str, int]
    """How many there are, of `validation` and `test`."""
    study: RankingStudy
    second_choice: SecondChoice | None
    """None where the fitted sum does not order networks better than the search did."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the file."""
        plain = super().to_dict()
        del plain["study"]
        second_choice = plain.pop("second_choice")
        return {**plain, **self.study.to_dict(), "second_choice": second_choice}

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The inverse of `to_dict`. Raises `ValueError` in one line."""
        try:
            return super().from_dict({**plain, "study": plain} if isinstance(plain, dict) else plain)
        except ValueError as error:
            raise ValueError(str(error).replace("'study.", "'", 1)) from None
