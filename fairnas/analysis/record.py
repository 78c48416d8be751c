"""`ranking.json`: the ranking study of a run, with the orders compared."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from fairnas.analysis.study import RankingStudy
from fairnas.config import Measure
from fairnas.record import Record
from fairnas.space.genome import StoredGenome


@dataclass(frozen=True)
class PredictedNetwork:
    """A network of the search, selected by the accuracy that the study predicts for it."""

    genome: StoredGenome
    selected: bool
    """True if the search had selected it too."""
    foreseen: float
    """Predicted stand-alone test accuracy, if trained as the networks of the study were."""
    top1: float
    """One-shot accuracy on the validation images, as `balanced_accuracy`."""
    balanced_accuracy: float
    madds: int
    params: int

    def one_shot(self, measure: Measure) -> float:
        """Return the one-shot accuracy by a measure."""
        return self.top1 if measure == "top1" else self.balanced_accuracy


@dataclass(frozen=True)
class SecondChoice:
    """Networks of the search chosen by the study's fitted sum, heaviest first."""

    looked_at: int
    """Number of networks from which they were chosen."""
    networks: tuple[PredictedNetwork, ...]


@dataclass(frozen=True)
class RankingRecord(Record):
    """Content of `ranking.json`; in the file, the fields of `study` stand beside the others."""

    choose: Literal["front", "stratified", "random", "named"]
    """Way in which the networks of the study were chosen."""
    measure: Measure
    """Measure of accuracy."""
    scored_by: str
    """BN statistics of the run's own scores."""
    against_run: str | None
    """Run whose supernet also scored the networks; None for none."""
    images: dict[str, int]
    """Number of images, by split: `validation` and `test`."""
    study: RankingStudy
    second_choice: SecondChoice | None
    """Second choice; None if the fitted sum orders networks no better than the search did."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, in the order of the file."""
        plain = super().to_dict()
        del plain["study"]
        second_choice = plain.pop("second_choice")
        return {**plain, **self.study.to_dict(), "second_choice": second_choice}

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """Inverse of `to_dict`. Raises `ValueError` with a message of one line."""
        try:
            return super().from_dict({**plain, "study": plain} if isinstance(plain, dict) else plain)
        except ValueError as error:
            raise ValueError(str(error).replace("'study.", "'", 1)) from None
