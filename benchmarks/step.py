"""`python -m benchmarks.step`: a strict supernet step beside the textbook's.

Same weights, same paths, same images. Two steps are done first on both sides and their losses compared: the second
loss depends on the first update, so forward, gradients and update have all been seen to agree before the clock starts.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tyro

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

LOSS_TOLERANCE = 1e-3
"""Relative. Sums in another order differ in the last bits, and BN in training mode makes more of them."""


@dataclass(frozen=True)
class StepBenchmark:
    """Time a strict supernet step of fairnas and of the textbook in turns; print the ratio.

    Example:
        python -m benchmarks.step --threads 1
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
    sampler = StrictSampler(space.choices, given.seed)
    project, textbook = _both_sides(given, Supernet(space, seed=given.seed))
    losses = []
    for step in range(2):
        paths = sampler.paths(step)
        losses.append((project(paths), textbook(paths)))
        _require_equal(*losses[-1])
    paths = sampler.paths(2)
    comparison = compare(lambda: project(paths), lambda: textbook(paths), given.repeats, _tell(given.repeats))
    return {
        "benchmark": "step",
        **comparison.to_dict(),
        "losses": [{"project": ours, "textbook": theirs} for ours, theirs in losses],
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


def _both_sides(given: StepBenchmark, supernet: Supernet) -> tuple[Step, Step]:
    """One step of the project and one of the textbook, from the same weights on; each returns its loss."""
    config = TrainConfig(batch_size=given.batch)
    images, labels = labelled_images(supernet.space, given.batch, given.seed)
    textbook = textbook_of(supernet)
    our_images = channels_last(images)
    our_optimizer = make_optimizer(supernet.train(), config)
    their_optimizer = textbook_optimizer(textbook, config.lr, config.momentum, config.weight_decay)

    def project_step(paths: Sequence[Genome]) -> float:
        return supernet_step(supernet, our_images, labels, paths, our_optimizer).loss.item()

    return project_step, lambda paths: textbook_step(textbook, images, labels, paths, their_optimizer)


def _require_equal(ours: float, theirs: float) -> None:
    agree = math.isclose(ours, theirs, rel_tol=LOSS_TOLERANCE)
    assert agree, f"the project's loss is {ours}, the textbook's {theirs}: they don't compute the same"


def _tell(repeats: int) -> Callable[[int], None]:
    return lambda done: print(f"step: repeat {done}/{repeats}", file=sys.stderr)


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
