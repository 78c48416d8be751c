"""Communication between a process and those that train for it: progress, and requests to stop."""

import contextlib
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any


class Steps:
    """Number of steps taken, and number taken earlier in resumed trainings."""

    def __init__(self, both: Any) -> None:
        """Wrap two numbers: in a list, or in memory that processes share."""
        self._both = both

    @property
    def numbers(self) -> tuple[int, int]:
        """Both numbers."""
        return self._both[0], self._both[1]

    def took_one(self) -> None:
        """Count one more step."""
        self._add(0, 1)

    def goes_on(self, step: int) -> None:
        """Count the earlier steps of a resumed training."""
        self._add(1, step)

    def _add(self, place: int, count: int) -> None:
        with contextlib.nullcontext() if isinstance(self._both, list) else self._both.get_lock():
            self._both[place] += count


@dataclass(frozen=True)
class Orders:
    """State shared between training processes and the process that started them."""

    stopping: Event
    steps: Steps

    def stepped(self) -> bool:
        """Count a step; returns True if the training should stop."""
        self.steps.took_one()
        return self.stopping.is_set()
