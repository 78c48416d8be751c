"""`python -m benchmarks.processes`: a strict supernet step of several processes beside that of one.

Every process has one thread. The first does a step alone while the others wait, then all do one together, in turns:
so both see the same machine. What they train is the same, which the tests check.
"""

import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import run
from benchmarks.step import LEARNING_RATE
from benchmarks.timing import Machine, Spread, require_repeats
from benchmarks.workload import PROXYLESS_32, channels_last, labelled_images, space_of
from fairnas.config import TrainConfig
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.train import Group, StepContext, arranged, joined_group, make_strategy, supernet_step
from fairnas.train.loop import make_optimizer


@dataclass(frozen=True)
class ProcessesBenchmark:
    """Time a strict supernet step of several processes and of one in turns; print the ratio.

    For example: python -m benchmarks.processes
    """

    space: str = PROXYLESS_32.name
    """Search space: proxyless_32 (19 layers, 6 choices, 32 pixels), a name of `fairnas spaces`, or a file."""
    batch: int = 64
    """Images per mini-batch."""
    processes: int = 2
    """Processes, on the CPU, one thread each."""
    path_processes: int | None = None
    """Number of processes that split the paths; the others split the images. Default: the largest that divides the
    paths.
    """
    repeats: int = 5
    """Pairs of steps to time."""
    seed: int = 0
    """Seed of weights, paths and images."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("processes", ProcessesBenchmark, measure, show, arguments)


def show(given: ProcessesBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    low, high = result["ratio_quartiles"]
    print(
        f"strict step   {result['ratio']:.2f} times as fast in {given.processes} processes as in one "
        f"(quartiles {low:.2f} to {high:.2f}, n = {result['repeats']})\n"
        f"  shares      {result['path_processes']} share out the paths, {result['image_processes']} the images\n"
        f"  seconds     {result['together_s']:.3g} beside {result['alone_s']:.3g}, medians\n"
        f"  measured    {given.space}, {given.batch} images, one thread per process\n"
        f"  machine     {Machine(**result['machine'])}"
    )


def measure(given: ProcessesBenchmark) -> dict[str, Any]:
    """Start the processes and time them. Raises `FairnasError` for what cannot be shared out."""
    require_repeats(given.repeats)
    space = space_of(given.space)
    strategy = make_strategy(TrainConfig(), space.choices, given.seed)
    wanted = Group(0, given.processes)
    arranged(wanted, strategy, "strict", batch_size=given.batch, path_processes=given.path_processes)
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        workers = [
            context.Process(target=_work, args=(rank, port, given, str(result))) for rank in range(given.processes)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert all(worker.exitcode == 0 for worker in workers), "a process failed"
        return json.loads(result.read_text(encoding="utf-8"))


def _work(rank: int, port: int, given: ProcessesBenchmark, result: str) -> None:
    torch.set_num_threads(1)
    place = {"RANK": rank, "WORLD_SIZE": given.processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    space = space_of(given.space)
    config = TrainConfig(lr=LEARNING_RATE, batch_size=given.batch)
    sampler = StrictSampler(space.choices, given.seed)
    images, labels = labelled_images(space, given.batch, given.seed)
    with joined_group() as group:
        strategy = make_strategy(config, space.choices, given.seed)
        group = arranged(group, strategy, "strict", batch_size=given.batch, path_processes=given.path_processes)
        share = given.batch // group.image_processes
        own = slice(group.image_rank * share, (group.image_rank + 1) * share)
        sides = {}
        for name, processes, part in (("alone", Group(), slice(None)), ("together", group, own)):
            supernet = Supernet(space, seed=given.seed).train()
            context = StepContext(supernet, make_optimizer(supernet, config), config, group=processes)
            sides[name] = context, (channels_last(images[part]), labels[part])
        seconds: dict[str, list[float]] = {"alone": [], "together": []}
        for step in range(given.repeats + 1):  # the first is not counted
            for name, (context, batch) in sides.items():
                group.gather(None)  # nobody begins before all are here
                begin = time.perf_counter()
                if name == "together" or group.is_first:
                    supernet_step(context, [(batch, sampler.paths(step))])
                seconds[name].append(time.perf_counter() - begin)
                if group.is_first and name == "together" and step:
                    ratio = seconds["alone"][-1] / seconds["together"][-1]
                    print(f"processes: repeat {step}/{given.repeats}, ratio {ratio:.2f}", file=sys.stderr)
        if group.is_first:
            alone, together = (values[1:] for values in seconds.values())
            ratio = Spread.of([a / b for a, b in zip(alone, together, strict=True)])
            content = {
                "benchmark": "processes",
                "repeats": given.repeats,
                "ratio": ratio.median,
                "ratio_quartiles": [ratio.low, ratio.high],
                "alone_s": Spread.of(alone).median,
                "together_s": Spread.of(together).median,
                "path_processes": group.path_processes,
                "image_processes": group.image_processes,
                "machine": Machine.here().to_dict(),
            }
            Path(result).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
