"""`python -m benchmarks.step`: a strict supernet step beside the textbook's.

Same weights, same paths, same images. Before the clock starts both sides do two steps on a few images in double
precision, and their losses must agree: the second loss depends on the first update, so forward, gradients and update
have all been seen. In single precision only the first loss is compared, because a new supernet's gradients are so
large that the last bits of one update can be seen in the next loss.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from torch import Tensor

from benchmarks.textbook import textbook_of, textbook_optimizer, textbook_step
from benchmarks.timing import Machine, compare, require_repeats, threads
from benchmarks.workload import PROXYLESS_32, channels_last, labelled_images, space_of
from fairnas.cli.output import print_json
from fairnas.config import TrainConfig
from fairnas.errors import ConfigError, FairnasError
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.space import Genome
from fairnas.train.loop import make_optimizer
from fairnas.train.step import supernet_step

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Relative, of losses. Sums in another order differ in the last bits, and BN in training mode makes more of them.
Losses are added up in single precision, whatever the network's."""

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
    """Of weights, paths and images."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    style = (tyro.conf.FlagCreatePairsOff,)
    given = tyro.cli(StepBenchmark, args=arguments, prog="python -m benchmarks.step", config=style)
    try:
        with threads(given.threads):
            result = measure(given)
    except FairnasError as error:
        print(f"benchmarks.step: {error}", file=sys.stderr)
        return 2
    if given.json:
        print_json(result)
    else:
        print("\n".join(described(result)))
    return 0


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
    images, labels = labelled_images(space, given.batch, given.seed)
    paths = StrictSampler(space.choices, given.seed).paths(0)
    project, textbook = _sides(Supernet(space, seed=given.seed).double(), images[:IMAGES_IN_DOUBLE].double(), labels)
    for _ in range(2):
        require_equal(project(paths), textbook(paths), torch.float64)
    project, textbook = _sides(Supernet(space, seed=given.seed), images, labels)
    ours, theirs = project(paths), textbook(paths)
    require_equal(ours, theirs, torch.float32)
    comparison = compare(lambda: project(paths), lambda: textbook(paths), given.repeats, on_repeat=_tell(given.repeats))
    return {
        "benchmark": "step",
        **comparison.to_dict(),
        "first_loss": {"project": ours, "textbook": theirs},
        "settings": {
            "space": space.name,
            "layers": space.depth,
            "paths": len(paths),
            "image_size": space.image_size,
            "batch": given.batch,
            "seed": given.seed,
        },
        "machine": Machine.here().to_dict(),
    }


Step = Callable[[Sequence[Genome]], float]


def _sides(supernet: Supernet, images: Tensor, labels: Tensor) -> tuple[Step, Step]:
    """One step of the project and one of the textbook, from the same weights on; each returns its loss."""
    labels = labels[: len(images)]
    config = TrainConfig(lr=LEARNING_RATE)
    textbook = textbook_of(supernet)
    our_images = channels_last(images)
    our_optimizer = make_optimizer(supernet.train(), config)
    their_optimizer = textbook_optimizer(textbook, config.lr, config.momentum, config.weight_decay)

    def project_step(paths: Sequence[Genome]) -> float:
        return supernet_step(supernet, our_images, labels, paths, our_optimizer).loss.item()

    return project_step, lambda paths: textbook_step(textbook, images, labels, paths, their_optimizer)


def require_equal(ours: float, theirs: float, precision: torch.dtype) -> None:
    """Assert that two losses are equal within what the precision allows."""
    agree = math.isclose(ours, theirs, rel_tol=TOLERANCE[precision])
    assert agree, f"the project's loss is {ours}, the textbook's {theirs}: they don't compute the same"


def _tell(repeats: int) -> Callable[[int, float], None]:
    return lambda done, ratio: print(f"step: repeat {done}/{repeats}, ratio {ratio:.2f}", file=sys.stderr)


def described(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    settings, (low, high) = result["settings"], result["ratio_quartiles"]
    return [
        f"strict step   {result['ratio']:.2f} times as fast as the textbook "
        f"(quartiles {low:.2f} to {high:.2f}, n = {result['repeats']})",
        f"  processor   {result['processor_ratio']:.2f} times less processor time",
        f"  seconds     {result['project_s']:.3g} beside {result['textbook_s']:.3g}, medians",
        f"  measured    {settings['space']}: {settings['layers']} layers, {settings['paths']} paths, "
        f"{settings['batch']} images of {settings['image_size']} pixels",
        f"  machine     {Machine(**result['machine'])}",
    ]


if __name__ == "__main__":
    sys.exit(main())
