"""Learning rates over a training. What is trained may bring a schedule of its own; all else falls as half a cosine."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Schedule(Protocol):
    """The learning rate of every step."""

    @property
    def remedy(self) -> str:
        """For a loss that is no number: the setting behind the rates, and what to do about it."""
        ...

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """The rate of step `step` of `total`, `per_epoch` of which make an epoch."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """A `Training` with a schedule of its own."""

    @property
    def schedule(self) -> Schedule:
        """In place of the cosine."""
        ...


@dataclass(frozen=True)
class WarmStaircase:
    """Linear warm-up from zero, then steps down at equal distances, as MnasNet is trained (paper 4.1 b).

    The stairs are counted from step 0, and the warm-up takes their place, as in the released code of MnasNet.
    """

    peak: float
    """The rate that the warm-up leads to, before any stair."""
    warmup_epochs: float
    stair_epochs: float
    """Epochs from one stair to the next."""
    factor: float
    """Of a stair."""
    remedy: str

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """See `Schedule`."""
        warmup = int(self.warmup_epochs * per_epoch)
        if step < warmup:
            return self.peak * step / warmup
        return self.peak * self.factor ** int(step / (self.stair_epochs * per_epoch))
