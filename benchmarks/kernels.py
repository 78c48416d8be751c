"""`python -m benchmarks.kernels`: our own BN and depthwise gradients beside torch's, one operation at a time.

On a GPU ten runs of an operation are recorded as a CUDA graph and replayed, so that Python takes no part; the first
call compiles. Beside both stands how long a copy of the input takes on this device: the least that any of them could.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.command import run
from benchmarks.limit import seconds_of
from benchmarks.timing import Machine, Spread, require_repeats, threads
from fairnas.config import Device, Precision
from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.kernels.depthwise import DepthwiseGradients, gradients_of
from fairnas.pipeline.experiment import pick_device


@dataclass(frozen=True)
class Shape:
    """A depthwise convolution of an inverted residual; its BN sees the output."""

    channels: int
    side: int
    kernel: int
    stride: int
    path_images: int
    """Six times the mini-batch on which a GPU is measured."""

    def __str__(self) -> str:
        return f"{self.channels} channels, {self.side} x {self.side}, kernel {self.kernel}, stride {self.stride}"


SHAPES = (
    Shape(96, 32, 3, 1, 1536),
    Shape(240, 16, 5, 1, 1536),
    Shape(480, 8, 7, 1, 1536),
    Shape(96, 112, 3, 2, 128),
    Shape(144, 56, 7, 1, 128),
    Shape(144, 56, 7, 2, 128),
    Shape(672, 14, 5, 1, 768),
)
"""Shapes that occur in `proxyless_32` and `proxyless`."""

REPETITIONS = 10
"""Repetitions of an operation between two readings of the clock."""


@dataclass(frozen=True)
class KernelsBenchmark:
    """Time our own BN with activation and depthwise gradients and torch's in turns, for some layers.

    For example: python -m benchmarks.kernels --device cuda --precision bfloat16
    """

    images: int | None = None
    """Images per layer; default: as many as are usual there on a GPU, on the CPU 16."""
    repeats: int = 5
    """Pairs of measurements."""
    threads: int | None = None
    """Threads of torch; default: as many as it chooses."""
    device: Device = "auto"
    """`auto` takes a GPU if there is one."""
    precision: Precision = "float32"
    """Precision of the tensors."""
    json: bool = False
    """Print one JSON object and nothing else."""


Pair = tuple[str, Callable[[], object], Callable[[], object]]
"""Name of an operation, our version, torch's version."""


def operations(shape: Shape, images: int, device: torch.device, dtype: torch.dtype) -> Iterator[Pair]:
    """Yield the operations of a layer, except those where ours falls back to torch's for this shape or device."""
    rng = torch.Generator(device).manual_seed(0)

    def noise(*sizes: int) -> Tensor:
        made = torch.randn(sizes, generator=rng, device=device, dtype=dtype)
        return made.contiguous(memory_format=torch.channels_last) if sizes[1] > 1 else made

    channels, kernel, stride = shape.channels, shape.kernel, shape.stride
    side = -(-shape.side // stride)
    x, grad = noise(images, channels, shape.side, shape.side), noise(images, channels, side, side)
    weight = noise(channels, 1, kernel, kernel)
    ours = gradients_of(x, kernel)
    if ours is not None:
        yield from _of_convolution(ours, x, weight, grad, stride)
    yield from _of_norm(noise(images, channels, side, side), grad)


def _of_convolution(ours: DepthwiseGradients, x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Iterator[Pair]:
    channels, _, kernel, _ = weight.shape

    def torchs(of_input: bool) -> Tensor:
        gradients = torch.ops.aten.convolution_backward(
            *(grad, x, weight, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], channels),
            [of_input, not of_input, False],
        )
        return gradients[0 if of_input else 1]

    if x.device.type == "cuda":
        from fairnas.kernels import depthwise_gpu

        yield (
            "depthwise convolution",
            lambda: depthwise_gpu.convolution(x, weight, stride),
            lambda: functional.conv2d(x, weight, None, stride, kernel // 2, 1, channels),
        )
    yield (
        "depthwise gradient of the input",
        lambda: ours.input_gradient(x, weight, grad, stride),
        lambda: torchs(of_input=True),
    )
    if x.device.type == "cpu":  # on a GPU it is torch's
        yield (
            "depthwise gradient of the weight",
            lambda: ours.weight_gradient(x, grad, kernel, stride),
            lambda: torchs(of_input=False),
        )


def _of_norm(x: Tensor, grad: Tensor) -> Iterator[Pair]:
    mine, theirs = BatchNorm2d(x.shape[1], device=x.device), nn.BatchNorm2d(x.shape[1], device=x.device)
    act = nn.ReLU6(inplace=True)
    forward = {"ours": lambda: mine.followed_by(act, x), "torch's": lambda: act(theirs(x))}
    backward: dict[str, Callable[[], object]] = {}
    for whose, norm in (("ours", mine), ("torch's", theirs)):
        given = [x.requires_grad_(), *norm.parameters()]
        backward[whose] = functools.partial(torch.autograd.grad, forward[whose](), given, grad, retain_graph=True)
        if whose == "ours" and "Normalise" not in type(backward[whose].args[0].grad_fn).__name__:
            return
    x = x.detach()
    yield "BN and activation, forward", forward["ours"], forward["torch's"]
    yield "BN and activation, backward", backward["ours"], backward["torch's"]


def repeated(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The same `REPETITIONS` times: on a GPU as a recording."""
    for _ in range(2):
        work()
    if device.type != "cuda":
        return lambda: [work() for _ in range(REPETITIONS)]
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(device)):
        for _ in range(REPETITIONS):
            work()
    return graph.replay


def measure(given: KernelsBenchmark) -> dict[str, Any]:
    """All operations of all shapes. Raises `ConfigError` for too few repeats."""
    require_repeats(given.repeats)
    device = pick_device(given.device)
    side = torch.cuda.Stream(device) if device.type == "cuda" else None
    # autograd goes back on the stream on which it came, and what is recorded must be on one of its own
    with torch.cuda.stream(side) if side else contextlib.nullcontext():
        rows = _rows(given, device)
    return {
        "benchmark": "kernels",
        "rows": rows,
        "settings": {"device": str(device), "precision": given.precision, "repeats": given.repeats},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "machine": Machine.here().to_dict(),
    }


def _rows(given: KernelsBenchmark, device: torch.device) -> list[dict[str, Any]]:
    dtype = torch.float32 if given.precision == "float32" else torch.bfloat16
    rows = []
    for shape in SHAPES:
        images = given.images or (shape.path_images if device.type == "cuda" else 16)
        x = torch.randn(images, shape.channels, shape.side, shape.side, device=device, dtype=dtype)
        copied = torch.empty_like(x)
        copy = _milliseconds(repeated(lambda x=x, to=copied: to.copy_(x), device), device, given.repeats)
        for name, ours, torchs in operations(shape, images, device, dtype):
            works = repeated(ours, device), repeated(torchs, device)
            pairs = [[_once(work, device) for work in works] for _ in range(given.repeats)]
            times = [Spread.of([1000 * pair[side] for pair in pairs]) for side in (0, 1)]
            rows.append(
                {
                    "shape": str(shape),
                    "images": images,
                    "operation": name,
                    "ratio": asdict(Spread.of([theirs / mine for mine, theirs in pairs])),
                    "ours_ms": asdict(times[0]),
                    "torch_ms": asdict(times[1]),
                    "copy_ms": copy,
                }
            )
    return rows


def _once(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one repetition."""
    return seconds_of(work, device) / REPETITIONS


def _milliseconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    return 1000 * Spread.of([_once(work, device) for _ in range(repeats)]).median


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("kernels", KernelsBenchmark, _with_threads, show, arguments)


def show(given: KernelsBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    last = ""
    for row in result["rows"]:
        if row["shape"] != last:
            last = row["shape"]
            print(f"{last}, {row['images']} images: a copy takes {row['copy_ms']:.3g} ms")
        ratio, ours, torchs = (Spread(**row[name]) for name in ("ratio", "ours_ms", "torch_ms"))
        print(f"    {row['operation']:34} {ratio.median:5.2f} times as fast as torch's: {ours} ms, torch {torchs} ms")
    print(f"median [quartiles] of {given.repeats}, {given.precision}, {result['device']}")
    print(f"{Machine(**result['machine'])}")


def _with_threads(given: KernelsBenchmark) -> dict[str, Any]:
    with threads(given.threads):
        return measure(given)


if __name__ == "__main__":
    sys.exit(main())
