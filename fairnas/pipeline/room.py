"""For how many processes that train networks there is memory."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fairnas.nets import cost_table
from fairnas.nets.memory import activation_table
from fairnas.space import SearchSpace

PROCESS_BYTES = 400_000_000
"""Of a process with torch, beside the activations. Where it is forked, it shares two thirds of that with others."""
BYTES_PER_MADD = 2
"""More than a network's activations take: what a convolution gives is kept three times, with BN and activation, in four
bytes each, and costs eight multiply-adds or more."""


def room_for(processes: int, space: SearchSpace, batch_size: int, lent: int = 0) -> int:
    """Of so many processes, how many fit into the free memory, each with the largest network; 1 at least.

    Args:
        processes: wanted.
        space: resolved for the data.
        batch_size: images of a mini-batch.
        lent: bytes of images that they all look into, and that are not there yet.
    """
    free = free_memory()
    if free is None:
        return processes
    # activations need not be counted, which takes seconds, where there is plenty of memory
    most = PROCESS_BYTES + batch_size * BYTES_PER_MADD * cost_table(space).heaviest["madds"]
    if free - lent >= processes * most:
        return processes
    each = PROCESS_BYTES + batch_size * activation_table(space).of_largest_path
    return max(1, min(processes, (free - lent) // each))


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that the machine has left, or the container if that may take less; None where the system doesn't say."""
    return min((*_of_machine(root / "proc/meminfo"), *_of_container(root / "sys/fs/cgroup")), default=None)


def _of_machine(file: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, KeyError, ValueError):
        yield 1024 * _numbers(file)["MemAvailable"]


def _of_container(folder: Path) -> Iterator[int]:
    """By control groups of the second version, then of the first. What is kept of files makes way."""
    for limit, used, files in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, KeyError, ValueError):  # not there, or `max`
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            yield max(0, most - now + _numbers((folder / limit).with_name("memory.stat"))[files])


def _numbers(file: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1}
