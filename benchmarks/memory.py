"""`python -m benchmarks.memory`: what a strict step needs beyond weights, gradients and momentum (Table 1, "memory").

Beside it stands what training the largest single network of the space needs: the paper's claim is that they are equal.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from benchmarks.command import run
from benchmarks.timing import Machine
from benchmarks.workload import PROXYLESS_32, channels_last, labelled_images, space_of
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.nets.memory import activation_table, measured_peak
from fairnas.pipeline.experiment import pick_device
from fairnas.train.executors import Executor, Lockstep, Sequential


@dataclass(frozen=True)
class MemoryBenchmark:
    """Measure the peak memory of the backward passes of a strict step under each executor.

    For example: python -m benchmarks.memory
    """

    space: str = PROXYLESS_32.name
    """Search space: proxyless_32, a name of `fairnas spaces`, or a file."""
    batch: int = 64
    """Images per mini-batch."""
    json: bool = False
    """Print one JSON object and nothing else."""


def measure(given: MemoryBenchmark) -> dict[str, Any]:
    """Peaks in bytes. Raises `FairnasError` for a space that does not exist."""
    space, device = space_of(given.space), pick_device("auto")
    supernet = Supernet(space).to(device).train()
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)  # so that none are made while memory is watched
    images, labels = labelled_images(space, given.batch, 0)
    images, labels = channels_last(images).to(device), labels.to(device)
    paths = StrictSampler(space.choices, 0).paths(0)
    table = activation_table(space)
    largest = tuple(row.index(max(row)) for row in table.blocks)

    def single() -> None:
        functional.cross_entropy(supernet(images, largest), labels).backward()

    executors: dict[str, Executor] = {
        "sequential": Sequential(),
        "lockstep": Lockstep(),
        "lockstep, saving memory": Lockstep(save_memory=True),
    }
    peaks = {"largest single network": measured_peak(single, device)}
    for name, executor in executors.items():
        peaks[name] = measured_peak(lambda e=executor: e.backward(supernet, images, labels, paths), device)
    return {
        "benchmark": "memory",
        "peak_bytes": peaks,
        "settings": {"space": space.name, "batch": given.batch, "paths": len(paths), "device": str(device)},
        "machine": Machine.here().to_dict(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("memory", MemoryBenchmark, measure, show, arguments)


def show(given: MemoryBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    single = result["peak_bytes"]["largest single network"]
    print(f"strict step of {result['settings']['paths']} paths, {given.space}, {given.batch} images")
    for name, peak in result["peak_bytes"].items():
        print(f"  {name:24} {peak / 1e6:8,.0f} MB  {peak / single:5.2f}")


if __name__ == "__main__":
    sys.exit(main())
