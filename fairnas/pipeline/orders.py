"""What a process and those that train for it tell each other: how far they are, and when to stop."""

import contextlib
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any


class Steps:
    """How many steps were taken, and how many had been before in trainings that go on."""

    def __init__(self, both: Any) -> None:
        """Two numbers: in a list, or in memory that processes share."""
        self._both = both

    @property
    def numbers(self) -> tuple[int, int]:
        """Both."""
        return self._both[0], self._both[1]

    def took_one(self) -> None:
        """One more step."""
        self._add(0, 1)

    def goes_on(self, step: int) -> None:
        """A training goes on after so many steps."""
        self._add(1, step)

    def _add(self, place: int, count: int) -> None:
        with contextlib.nullcontext() if isinstance(self._both, list) else self._both.get_lock():
            self._both[place] += count


@dataclass(frozen=True)
class Orders:
    """What processes that train share with the one that has started them."""

    stopping: Event
    steps: Steps

    def stepped(self) -> bool:
        """After a step: whether to stop."""
        self.steps.took_one()
        return self.stopping.is_set()
