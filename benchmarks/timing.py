"""Two implementations timed against each other, and the machine on which it happened.

A machine is never twice equally fast. So the two run in turns, each pair gives one ratio, and what counts is the
median of the ratios. Two ratios beside it say where it comes from. That of processor time: a busy neighbour stretches
the clock, but hardly the processor time of one thread. That of user time, without what the kernel does: activations
of more than 32 MB are new memory for every operation (glibc), and the kernel clears new memory page by page.
"""

import contextlib
import math
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fairnas.errors import ConfigError

FEWEST_REPEATS = 5


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of several measurements."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""

    @staticmethod
    def of(values: list[float]) -> "Spread":
        """Spread of values, one per repeat."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return Spread(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class TimingComparison:
    """Ratio of the textbook's time to the project's, over several repeats."""

    repeats: int
    ratio: Spread
    """Textbook's seconds divided by the project's, pair by pair: above 1 the project is faster."""
    processor_ratio: Spread
    """The same of processor time, all threads together."""
    user_ratio: Spread
    """The same of processor time outside the kernel."""
    project_s: Spread
    """Wall-clock seconds of the project. They mean nothing without the machine."""
    textbook_s: Spread
    """Wall-clock seconds of the textbook."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `ratio` is the median, its quartiles are in `ratio_quartiles`."""
        plain: dict[str, Any] = {"repeats": self.repeats}
        for name in ("ratio", "processor_ratio", "user_ratio", "project_s", "textbook_s"):
            spread: Spread = getattr(self, name)
            plain |= {name: spread.median, f"{name}_quartiles": [spread.low, spread.high]}
        return plain


def compare(
    project: Callable[[], object],
    textbook: Callable[[], object],
    repeats: int,
    scale: float = 1.0,
    on_repeat: Callable[[int, float], None] = lambda done, ratio: None,
) -> TimingComparison:
    """Time both in turns, project first.

    Args:
        project: what is timed; called before, so that it is warm.
        textbook: what it is compared with; called before, too.
        repeats: pairs to time, at least 5.
        scale: what the textbook's time is multiplied by, where it does a known part of the work.
        on_repeat: called after each pair with the number of pairs done, and its ratio.

    Raises:
        ConfigError: if there are too few repeats for a spread.
    """
    require_repeats(repeats)
    pairs = []
    for done in range(repeats):
        pairs.append((_timed(project), _timed(textbook)))
        on_repeat(done + 1, scale * pairs[-1][1].wall / pairs[-1][0].wall)
    return TimingComparison(
        repeats,
        Spread.of([scale * theirs.wall / ours.wall for ours, theirs in pairs]),
        Spread.of([scale * theirs.processor / ours.processor for ours, theirs in pairs]),
        Spread.of([scale * theirs.user / ours.user if ours.user else math.nan for ours, theirs in pairs]),
        Spread.of([ours.wall for ours, _ in pairs]),
        Spread.of([scale * theirs.wall for _, theirs in pairs]),
    )


def require_repeats(repeats: int) -> None:
    """Raise `ConfigError` if there are too few repeats for a spread."""
    if repeats < FEWEST_REPEATS:
        raise ConfigError(f"repeats is {repeats}; give {FEWEST_REPEATS} or more, so that the spread can be seen")


@dataclass(frozen=True)
class _Seconds:
    wall: float
    processor: float
    user: float
    """Counted in steps, so that it may be 0 after a few milliseconds."""


def _timed(work: Callable[[], object]) -> _Seconds:
    wall, processor, user = time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    work()
    return _Seconds(
        time.perf_counter() - wall,
        time.process_time() - processor,
        resource.getrusage(resource.RUSAGE_SELF).ru_utime - user,
    )


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Give torch this number of threads within the block; None leaves its choice."""
    before = torch.get_num_threads()
    if count is not None:
        if count < 1:
            raise ConfigError(f"threads is {count}; give 1 or more")
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Machine:
    """Machine on which something was measured."""

    processor: str
    instructions: str
    """The widest instructions that torch uses, such as AVX512."""
    cores: int
    threads: int
    """Threads of torch."""
    load: float | None
    """Processes that wanted a core, mean of the last minute; above the number of cores, the machine is busy."""
    torch: str

    @staticmethod
    def here() -> "Machine":
        """This one, now."""
        return Machine(
            _processor(),
            torch.backends.cpu.get_cpu_capability(),
            os.cpu_count() or 1,
            torch.get_num_threads(),
            round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            torch.__version__,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        load = "" if self.load is None else f", load {self.load}"
        return (
            f"{self.processor} ({self.instructions}), {self.cores} cores{load}, "
            f"torch {self.torch} with {self.threads} threads"
        )


def _processor() -> str:
    listing = Path("/proc/cpuinfo")  # Linux; elsewhere Python's own word must do
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
