"""Learning rate schedules. A training may have its own; the default is half a cosine."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Schedule(Protocol):
    """The learning rate of every step."""

    @property
    def remedy(self) -> str:
        """Advice for a loss that is not finite: the setting behind the rates, and what to do about it."""
        ...

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """Learning rate of step `step` of `total`, with `per_epoch` steps in an epoch."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """Training with its own schedule."""

    @property
    def schedule(self) -> Schedule:
        """Schedule used in place of the cosine."""
        ...


@dataclass(frozen=True)
class WarmStaircase:
    """Linear warm-up from zero, then steps down at equal distances, as MnasNet is trained (paper 4.1 b).

    Stairs are counted from step 0, and the warm-up replaces the first of them, as in the released code of MnasNet.
    """

    peak: float
    """Rate at the end of the warm-up, before any stair."""
    warmup_epochs: float
    stair_epochs: float
    """Epochs from one stair to the next."""
    factor: float
    """Factor of each stair."""
    remedy: str

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """See `Schedule`."""
        warmup = int(self.warmup_epochs * per_epoch)
        if step < warmup:
            return self.peak * step / warmup
        return self.peak * self.factor ** int(step / (self.stair_epochs * per_epoch))
