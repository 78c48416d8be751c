"""`python -m benchmarks.limit`: how fast a strict supernet step could be on this device, and how far we are from it.

The limit is a sum over the operations of a step: each takes at least its multiply-adds over the device's measured
rate of them, and at least the bytes that it has to read and write over the measured rate of those, whichever is
longer. Operations are those of a convolution with BN and activation in one (`Traffic`): more fusing could avoid bytes.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.command import run
from benchmarks.step import LEARNING_RATE
from benchmarks.timing import Machine, Spread, require_repeats, threads
from benchmarks.workload import PROXYLESS_32, channels_last, labelled_images, space_of
from fairnas.config import Precision, Resources, TrainConfig
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.nets.blocks import Head, make_block, make_stem
from fairnas.pipeline.experiment import pick_device
from fairnas.space import SearchSpace
from fairnas.train import Group, StepContext, choose_execution, supernet_step
from fairnas.train.cuda_graph import GraphedCallable
from fairnas.train.loop import make_optimizer


@dataclass(frozen=True)
class LimitBenchmark:
    """Count what a strict step has to do, measure the device's rates and a real step, print how far it is.

    For example: python -m benchmarks.limit --threads 1
    """

    space: str = PROXYLESS_32.name
    """Search space: proxyless_32, a name of `fairnas spaces`, or a file."""
    batch: int = 64
    """Images per mini-batch."""
    repeats: int = 5
    """Steps to time."""
    threads: int | None = None
    """Threads of torch; default: as many as it chooses."""
    precision: Precision = "float32"
    """Precision of convolutions."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class Traffic:
    """One operation: multiply-adds, and numbers read and written. For one image."""

    name: str
    madds: float
    numbers: float


def operations_of(convolution: nn.Conv2d, inputs: int, outputs: int, madds: int, with_norm: bool) -> Iterator[Traffic]:
    """Yield the memory traffic and work of training a convolution with BN and activation, in numbers per image."""
    kind = "depthwise" if convolution.groups > 1 else f"{convolution.kernel_size[0]}x{convolution.kernel_size[1]}"
    yield Traffic(f"{kind} forward", madds, inputs + outputs)
    yield Traffic(f"{kind} input gradient", madds, inputs + outputs)
    yield Traffic(f"{kind} weight gradient", madds, inputs + outputs)
    if with_norm:
        yield Traffic("BN and activation forward", 0, 3 * outputs)  # sums; then read and write
        yield Traffic("BN and activation backward", 0, 5 * outputs)  # sums over x and gradient; then both and write


def step_operations(space: SearchSpace) -> list[Traffic]:
    """All operations of a strict step with equal choices: stem once, every block once, the head on every path."""
    found: list[Traffic] = []

    def counted(module: nn.Module, features: torch.Tensor, times: int = 1) -> torch.Tensor:
        def note(part: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            assert isinstance(part, nn.Conv2d)
            outputs, inputs = output[0].numel(), given[0][0].numel()
            madds = outputs * part.weight[0].numel()
            found.extend(list(operations_of(part, inputs, outputs, madds, with_norm=True)) * times)

        hooks = [part.register_forward_hook(note) for part in module.modules() if isinstance(part, nn.Conv2d)]
        output = module(features)
        for hook in hooks:
            hook.remove()
        return output

    with torch.device("meta"):
        features = counted(make_stem(space), torch.empty(2, space.image_channels, space.image_size, space.image_size))
        for layer in space.layers:
            outputs = [counted(make_block(block, layer, space.activation), features) for block in layer.choices]
            if layer.keeps_shape:  # shortcuts: an addition forward, one of gradients backward
                found.extend([Traffic("shortcuts", 0, 6 * features[0].numel())] * len(layer.choices))
            features = outputs[0]
        counted(Head(space), features, times=len(space.layers[0].choices))
    return found


@dataclass(frozen=True)
class Rates:
    """Measured speeds of a device."""

    madds_per_s: float
    bytes_per_s: float


def measured_rates(device: torch.device, precision: Precision) -> Rates:
    """A large matrix product and a large copy: the best of several."""
    side = 1536 if device.type == "cpu" else 8192
    kind = torch.float32 if precision == "float32" else torch.bfloat16
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    product = min(seconds_of(lambda: left @ right, device) for _ in range(5))
    source = torch.randn(48_000_000 if device.type == "cpu" else 1_000_000_000, device=device)
    target = torch.empty_like(source)
    copy = min(seconds_of(lambda: target.copy_(source), device) for _ in range(5))
    return Rates(side**3 / product, 2 * source.numel() * 4 / copy)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def measure(given: LimitBenchmark) -> dict[str, Any]:
    """Limit and reality. Raises `FairnasError` for a space that does not exist."""
    require_repeats(given.repeats)
    space, device = space_of(given.space), pick_device("auto")
    rates = measured_rates(device, given.precision)
    size = 4 if given.precision == "float32" else 2
    shares: dict[str, dict[str, float]] = {}
    for each in step_operations(space):
        by_madds = given.batch * each.madds / rates.madds_per_s
        by_bytes = given.batch * each.numbers * size / rates.bytes_per_s
        share = shares.setdefault(each.name, {"limit_s": 0.0, "madds": 0.0, "bytes": 0.0})
        share["limit_s"] += max(by_madds, by_bytes)
        share["madds"] += given.batch * each.madds
        share["bytes"] += given.batch * each.numbers * size
    parameters = sum(p.numel() for p in Supernet(space).parameters())
    shares["update"] = {"limit_s": 5 * 4 * parameters / rates.bytes_per_s, "madds": 0.0, "bytes": 20.0 * parameters}
    limit = sum(share["limit_s"] for share in shares.values())
    step = _real_steps(given, space, device)
    return {
        "benchmark": "limit",
        "limit_s": limit,
        "step_s": step.median,
        "step_s_quartiles": [step.low, step.high],
        "times_the_limit": step.median / limit,
        "madds": sum(share["madds"] for share in shares.values()),
        "bytes": sum(share["bytes"] for share in shares.values()),
        "madds_per_s": rates.madds_per_s,
        "bytes_per_s": rates.bytes_per_s,
        "operations": shares,
        "settings": {"space": space.name, "batch": given.batch, "precision": given.precision, "device": str(device)},
        "machine": Machine.here().to_dict(),
    }


def _real_steps(given: LimitBenchmark, space: SearchSpace, device: torch.device) -> Spread:
    config = TrainConfig(lr=LEARNING_RATE, batch_size=given.batch, precision=given.precision)
    execution = choose_execution(space, config, Resources(), device, Group())
    supernet = Supernet(space).to(device).train()
    context = StepContext(supernet, make_optimizer(supernet, config), config, execution.executor)
    images, labels = labelled_images(space, given.batch, 0)
    batch = channels_last(images).to(device), labels.to(device)
    sampler = StrictSampler(space.choices, 0)
    steps = [
        seconds_of(lambda step=step: supernet_step(context, [(batch, sampler.paths(step))]), device)
        for step in range(given.repeats + GraphedCallable.WARM_UP + 1)
    ]
    return Spread.of(steps[-given.repeats :])  # the others warm up, and on a GPU the last of them is recorded


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("limit", LimitBenchmark, _with_threads, show, arguments)


def show(given: LimitBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(
        f"strict step   {result['times_the_limit']:.2f} times the limit: {result['step_s']:.3g} s, limit "
        f"{result['limit_s']:.3g} s\n"
        f"  a step      {result['madds'] / 1e9:,.0f} billion multiply-adds, {result['bytes'] / 1e9:.3g} GB\n"
        f"  the device  {result['madds_per_s'] / 1e9:,.0f} billion multiply-adds and "
        f"{result['bytes_per_s'] / 1e9:.3g} GB per second\n"
        f"  measured    {given.space}, {given.batch} images, {given.precision}\n"
        f"  machine     {Machine(**result['machine'])}"
    )
    for name, share in sorted(result["operations"].items(), key=lambda item: -item[1]["limit_s"]):
        print(f"    {name:28} {share['limit_s'] / result['limit_s']:6.1%} of the limit")


def _with_threads(given: LimitBenchmark) -> dict[str, Any]:
    with threads(given.threads):
        return measure(given)


if __name__ == "__main__":
    sys.exit(main())
