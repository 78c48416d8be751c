"""`python -m benchmarks.step`: a strict supernet step beside the textbook's.

Same weights, same paths, same images. Before the clock starts both sides do one step (on a GPU four, because the third
is recorded and the fourth replayed), and its loss and the gradients
of all convolutions must agree: in double precision on a few images, closely, and in single precision on all, roughly.
Roughly, because the gradients of a new supernet are ill-conditioned: an error in the last bit of an activation is
0.01 of a gradient.
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.command import run
from benchmarks.textbook import textbook_of, textbook_optimizer, textbook_step
from benchmarks.timing import Machine, compare, require_repeats, threads
from benchmarks.workload import PROXYLESS_32, channels_last, labelled_images, space_of
from fairnas.config import Compilation, Device, ExecutorName, Precision, Resources, TrainConfig
from fairnas.errors import ConfigError
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.pipeline.experiment import pick_device
from fairnas.space import Genome
from fairnas.train import Group, StepContext, choose_execution, supernet_step
from fairnas.train.cuda_graph import GraphedCallable
from fairnas.train.executors import Executor, Sequential, arithmetic
from fairnas.train.loop import make_optimizer

LOSS_TOLERANCE = {"double": 1e-6, "float32": 1e-3, "bfloat16": 0.03}
"""Relative."""

GRADIENT_TOLERANCE = {"double": 1e-6, "float32": 0.1, "bfloat16": math.inf}
"""Norm of the difference relative to the norm, per convolution. A wrong gradient has 1 or more; so does one of a deep
network in bfloat16, whose 8 bits are too few to tell: there the same step in double precision is what shows it."""

IMAGES_IN_DOUBLE = 4
"""Convolutions in double precision are slow."""

LEARNING_RATE = 0.001
"""The rate costs no time; so low, all the steps that are timed stay where losses are finite."""


@dataclass(frozen=True)
class StepBenchmark:
    """Time a strict supernet step of fairnas and of the textbook in turns; print the ratio.

    For example: python -m benchmarks.step --threads 1
    """

    space: str = PROXYLESS_32.name
    """Search space: proxyless_32 (19 layers, 6 choices, 32 pixels), a name of `fairnas spaces`, or a file."""
    batch: int = 64
    """Images per mini-batch."""
    repeats: int = 5
    """Pairs of steps to time."""
    threads: int | None = None
    """Threads of torch; default: as many as it chooses."""
    seed: int = 0
    """Seed of weights, paths and images."""
    device: Device = "auto"
    """`auto` takes a GPU if there is one; both sides run on it."""
    executor: ExecutorName = "auto"
    """Executor of our side: paths one after another, or layer by layer."""
    compile: Compilation = "auto"
    """Record our lockstep steps as a CUDA graph; `auto` does so on a GPU."""
    precision: Precision = "float32"
    """Precision of both sides."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("step", StepBenchmark, _with_threads, _show, arguments)


def _show(given: StepBenchmark, result: dict[str, Any]) -> None:
    print("\n".join(described(result)))


def _with_threads(given: StepBenchmark) -> dict[str, Any]:
    with threads(given.threads):
        return measure(given)


def measure(given: StepBenchmark) -> dict[str, Any]:
    """Check that both sides agree, then time them.

    Raises:
        ConfigError: for a batch that BN cannot take, or too few repeats.
        FairnasError: for a space that does not exist.
    """
    require_repeats(given.repeats)
    if given.batch < 2:
        raise ConfigError(f"batch is {given.batch}; give 2 or more, because BN needs a variance")
    space = space_of(given.space)
    device = pick_device(given.device)
    images, labels = (each.to(device) for each in labelled_images(space, given.batch, given.seed))
    config = TrainConfig(lr=LEARNING_RATE, batch_size=given.batch, precision=given.precision)
    resources = Resources(executor=given.executor, compile=given.compile)
    execution = choose_execution(space, config, resources, device, Group())
    exact = dataclasses.replace(config, precision="float32")  # leaves tensors of double precision as they are
    in_double = choose_execution(space, exact, resources, device, Group())
    paths = StrictSampler(space.choices, given.seed).paths(0)
    losses = math.nan, math.nan
    for precision, numbers, count, settings, executor in (
        ("double", torch.float64, IMAGES_IN_DOUBLE, exact, in_double.executor),
        (given.precision, torch.float32, given.batch, config, execution.executor),
    ):
        supernet = Supernet(space, seed=given.seed).to(device, numbers)
        project, textbook = make_sides(supernet, images[:count].to(numbers), labels[:count], settings, executor)
        for _ in range(before_timing(device)):
            losses = project.step(paths), textbook.step(paths)
        require_equal_losses(*losses, precision)
        gradient_error = require_equal_gradients(project.network, textbook.network, precision)
    comparison = compare(
        lambda: project.step(paths), lambda: textbook.step(paths), given.repeats, on_repeat=_tell(given.repeats)
    )
    path_images = len(paths) * given.batch
    return {
        "benchmark": "step",
        **comparison.to_dict(),
        "first_loss": {"project": losses[0], "textbook": losses[1]},
        "gradient_error": gradient_error,
        "path_images_per_s": {
            "project": path_images / comparison.project_s.median,
            "textbook": path_images / comparison.textbook_s.median,
        },
        "settings": {
            "space": space.name,
            "layers": space.depth,
            "paths": len(paths),
            "image_size": space.image_size,
            "batch": given.batch,
            "seed": given.seed,
            "device": str(device),
            "execution": execution.reason,
            "precision": given.precision,
        },
        "machine": Machine.here().to_dict(),
    }


def before_timing(device: torch.device) -> int:
    """Number of steps compared before timing; on a GPU enough that the last one replays a recorded graph."""
    return GraphedCallable.WARM_UP + 2 if device.type == "cuda" else 1


@dataclass(frozen=True)
class Side:
    """The project or the textbook: a supernet, and what trains it on one mini-batch and returns the loss."""

    network: nn.Module
    step: Callable[[Sequence[Genome]], float]


def make_sides(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    config: TrainConfig | None = None,
    executor: Executor | None = None,
) -> tuple[Side, Side]:
    """Project and textbook from the same weights on.

    Args:
        supernet: the project's; trained in place.
        images: (B, C, S, S) in NCHW, of the supernet's precision.
        labels: (B,), class indices.
        config: of both sides.
        executor: of the project.
    """
    config = config or TrainConfig(lr=LEARNING_RATE)
    textbook = textbook_of(supernet).to(images.device)
    our_images = channels_last(images)
    our_optimizer = make_optimizer(supernet.train(), config)
    their_optimizer = textbook_optimizer(textbook, config.lr, config.momentum, config.weight_decay)
    context = StepContext(supernet, our_optimizer, config, executor or Sequential(config.precision))
    return (
        Side(supernet, lambda paths: supernet_step(context, [((our_images, labels), paths)]).loss.item()),
        Side(textbook, lambda paths: _textbook(textbook, images, labels, paths, their_optimizer, config.precision)),
    )


def _textbook(
    textbook: nn.Module,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Genome],
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> float:
    with arithmetic(precision, images.device):
        return textbook_step(textbook, images, labels, paths, optimizer)


def require_equal_losses(ours: float, theirs: float, precision: str) -> None:
    """Assert that two losses are equal within what the precision, `double` or one of the settings, allows."""
    agree = math.isclose(ours, theirs, rel_tol=LOSS_TOLERANCE[precision])
    assert agree, f"the project's loss is {ours}, the textbook's {theirs}: they don't compute the same"


def require_equal_gradients(ours: nn.Module, theirs: nn.Module, precision: str) -> float:
    """Assert that all convolutions have equal gradients within what the precision allows; return the largest error."""
    worst = 0.0
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if mine.dim() == 4:  # those of BN may be zero but for rounding
            assert mine.grad is not None, f"{name} has no gradient"
            assert other.grad is not None
            error = ((mine.grad - other.grad).norm() / other.grad.norm()).item()
            assert error <= GRADIENT_TOLERANCE[precision], f"gradients of {name} differ by {error:.2g} of their norm"
            worst = max(worst, error)
    return worst


def _tell(repeats: int) -> Callable[[int, float], None]:
    return lambda done, ratio: print(f"step: repeat {done}/{repeats}, ratio {ratio:.2f}", file=sys.stderr)


def described(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    settings, (low, high) = result["settings"], result["ratio_quartiles"]
    return [
        f"strict step   {result['ratio']:.2f} times as fast as the textbook "
        f"(quartiles {low:.2f} to {high:.2f}, n = {result['repeats']})",
        f"  processor   {result['processor_ratio']:.2f} times less processor time, "
        f"{result['user_ratio']:.2f} times outside the kernel",
        f"  throughput  {result['path_images_per_s']['project']:,.0f} path-images per second beside "
        f"{result['path_images_per_s']['textbook']:,.0f}",
        f"  execution   {settings['execution']}",
        f"  seconds     {result['project_s']:.3g} beside {result['textbook_s']:.3g}, medians",
        f"  measured    {settings['space']}: {settings['layers']} layers, {settings['paths']} paths, "
        f"{settings['batch']} images of {settings['image_size']} pixels",
        f"  agreement   loss {result['first_loss']['project']:.5f} beside {result['first_loss']['textbook']:.5f}; "
        f"gradients of all convolutions within {result['gradient_error']:.2g} of their norm",
        f"  machine     {Machine(**result['machine'])}",
    ]


if __name__ == "__main__":
    sys.exit(main())
