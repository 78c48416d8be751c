"""`python -m benchmarks.evaluate`: scores of many genomes beside the textbook's, on three populations.

How much a prefix tree saves depends on what the genomes have in common. So there are genomes of a first generation
(random), of a late one (evolved: children of a few parents), and the networks of NAS-Bench-Macro, which share all
that can be shared. Of these, by default, only the 441 with one certain beginning are taken: a whole subtree, which
shares as much per genome as all 3,969 do.

The project scores every genome. The textbook, whose genomes cost the same whatever stands beside them, scores a
few that are representative by multiply-adds, and its time is scaled up; `--textbook-genomes 0` lets it score all.

By default both sides also follow the protocol of Single Path One-Shot on two more spaces: BN is recalibrated for every
genome, on the same images, and the scores must agree (`--spos-spaces` alone leaves that out).
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.command import run
from benchmarks.textbook import textbook_of, textbook_recalibrated_top1, textbook_top1
from benchmarks.timing import Machine, compare, require_repeats, threads
from benchmarks.workload import (
    Sharing,
    channels_last,
    distinct_networks,
    evolved_population,
    labelled_images,
    random_population,
    representative,
    settled_supernet,
    sharing,
    space_of,
)
from fairnas.errors import ConfigError
from fairnas.evaluate import RecalibratedCopy, score_genomes
from fairnas.evaluate.activation_checkpointing import MIB, kept_within, largest_pair, most_held, stem_madds
from fairnas.evaluate.tree import Kept, branches, shared_depths, walk
from fairnas.nets import cost_table
from fairnas.nets.memory import activation_table
from fairnas.space import Genome, SearchSpace, get_space

DECISIONS_PER_TIE = 10_000
"""Share of decisions, one in this number, that may differ: folding BN changes rounding, which can break near ties."""

SPOS_RANDOM, SPOS_EVOLVED = 8, 64
"""Genomes of a first generation and of a late one, for the protocol of SPOS."""

SPOS_CLASSES = 10
"""Number of classes there: with a thousand and random labels, all answers of both sides would be wrong."""

FLOAT = 4
"""Bytes of a number in single precision."""

MACRO_PREFIX: Genome = (1, 1)
"""Beginning of the networks taken by default: the block of middling cost in the first stage."""


@dataclass(frozen=True)
class EvaluateBenchmark:
    """Time the one-shot evaluation of fairnas and of the textbook in turns; print the ratios.

    For example: python -m benchmarks.evaluate --threads 1
    """

    populations: tuple[Literal["random", "evolved", "macro"], ...] = ("random", "evolved", "macro")
    """Populations to score: of a first generation, of a late one, and one in which all networks share much."""
    space: str = "compact"
    """Search space of the random and the evolved genomes: a name of `fairnas spaces`, proxyless_32, or a file."""
    population: int = 64
    """Random genomes, and as many evolved ones."""
    images: int = 256
    """Images that each genome is scored on."""
    batch: int = 256
    """Images per batch; fairnas takes 125. The larger, the slower the textbook: its activations leave the caches."""
    macro_images: int = 128
    """Images for the networks of NAS-Bench-Macro, in one batch."""
    full: bool = False
    """Take all 3,969 networks of NAS-Bench-Macro instead of 441; takes about nine times as long."""
    calibration: int = 0
    """Let the textbook follow the protocol of SPOS: BN recalibrated on this number of images before each genome."""
    recalibrated: bool = False
    """Recalibrate on our side too, along the prefix tree, with --calibration; by default ours uses running statistics.
    """
    spos_spaces: tuple[str, ...] = ("shufflenet_v2", "proxyless_32")
    """Spaces on which 8 random and 64 evolved genomes are scored by both sides with the protocol of SPOS: BN
    recalibrated for each genome on the same images. Without a name: none."""
    spos_calibration: int = 64
    """Images that BN is recalibrated on there, in one batch."""
    spos_images: int = 20
    """Images that each genome is scored on there: to the others in the proportion of the published code."""
    spos_genomes: int = 4
    """Genomes that the textbook scores there, its time being scaled up; 0: all."""
    textbook_genomes: int = 12
    """Genomes that the textbook scores, its time being scaled up to all; 0: all."""
    repeats: int = 5
    """Pairs of evaluations to time, per population."""
    threads: int | None = None
    """Threads of torch; default: as many as it chooses."""
    seed: int = 0
    """Seed of weights, genomes and images."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class Population:
    """Genomes of one space, and the images they are scored on."""

    name: str
    space: SearchSpace
    genomes: list[Genome]
    images: int
    batch: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("evaluate", EvaluateBenchmark, _with_threads, _show, arguments)


def _show(given: EvaluateBenchmark, result: dict[str, Any]) -> None:
    print("\n".join(described(result)))


def _with_threads(given: EvaluateBenchmark) -> dict[str, Any]:
    with threads(given.threads):
        return measure(given)


def measure(given: EvaluateBenchmark) -> dict[str, Any]:
    """Per population, check that both sides agree, then time them.

    Raises:
        ConfigError: for impossible numbers.
        FairnasError: for a space that does not exist.
    """
    require_repeats(given.repeats)
    if given.recalibrated and given.calibration < 2:
        raise ConfigError(f"recalibrated needs images: calibration is {given.calibration}; give 2 or more")
    least_of = {"population": 1, "images": 1, "batch": 1, "macro_images": 1, "textbook_genomes": 0, "calibration": 0}
    least_of |= {"spos_calibration": 2, "spos_images": 1, "spos_genomes": 0}
    for name, least in least_of.items():
        if getattr(given, name) < least:
            raise ConfigError(f"{name} is {getattr(given, name)}; give {least} or more")
    return {
        "benchmark": "evaluate",
        "populations": {each.name: _measured(each, given) for each in populations(given)},
        "spos": {name: _by_protocol_of_spos(name, given) for name in given.spos_spaces},
        "settings": {"seed": given.seed, "repeats": given.repeats},
        "machine": Machine.here().to_dict(),
    }


def populations(given: EvaluateBenchmark) -> list[Population]:
    """The populations that the flags ask for. Raises `FairnasError` for a space that does not exist."""
    space = space_of(given.space)
    chosen = []
    for name in given.populations:
        if name == "macro":
            macro = get_space("nas_bench_macro")
            networks = distinct_networks(macro, () if given.full else MACRO_PREFIX)
            chosen.append(Population(name, macro, networks, given.macro_images, given.macro_images))
        else:
            make = random_population if name == "random" else evolved_population
            genomes = make(space, given.population, given.seed)
            chosen.append(Population(name, space, genomes, given.images, given.batch))
    return chosen


def _by_protocol_of_spos(name: str, given: EvaluateBenchmark) -> dict[str, Any]:
    """Both sides recalibrate BN on the same images for every genome of a space; by population."""
    space = space_of(name).for_data(num_classes=SPOS_CLASSES)
    images, batch = given.spos_images, given.spos_images
    flags = {"calibration": given.spos_calibration, "recalibrated": True, "textbook_genomes": given.spos_genomes}
    genomes = {
        "random": random_population(space, SPOS_RANDOM, given.seed),
        "evolved": evolved_population(space, SPOS_EVOLVED, given.seed),
    }
    return {
        kind: _measured(Population(f"{name} {kind}", space, some, images, batch), dataclasses.replace(given, **flags))
        for kind, some in genomes.items()
    }


def _measured(population: Population, given: EvaluateBenchmark) -> dict[str, Any]:
    space, genomes = population.space, population.genomes
    images, labels = labelled_images(space, population.images, given.seed)
    supernet = settled_supernet(space, images[:64], given.seed)
    textbook = textbook_of(supernet)
    theirs = list(zip(images.split(population.batch), labels.split(population.batch), strict=True))
    ours = [(channels_last(batch), marks) for batch, marks in theirs]
    sample = representative(space, genomes, given.textbook_genomes or len(genomes))

    calibration, _ = labelled_images(space, max(given.calibration, 2), given.seed + 1)

    def project() -> dict[Genome, float]:
        judge = RecalibratedCopy(supernet, channels_last(calibration)) if given.recalibrated else supernet
        scores = score_genomes(judge, genomes, ours)
        return {genome: score.top1 for genome, score in zip(genomes, scores, strict=True)}

    def plain() -> list[float]:
        if given.calibration:
            return textbook_recalibrated_top1(textbook, sample, calibration, theirs)
        return textbook_top1(textbook, sample, theirs)

    difference = 0
    if given.recalibrated or not given.calibration:  # else the sides score by different statistics
        found = project()
        difference = require_equal([found[genome] for genome in sample], plain(), population.images)
    scale = len(genomes) / len(sample)
    comparison = compare(project, plain, given.repeats, scale, _tell(population.name, given.repeats))
    return {
        **comparison.to_dict(),
        **counted(sharing(space, genomes)),
        **memory(space, genomes, population.batch),
        "space": space.name,
        "genomes": len(genomes),
        "textbook_genomes": len(sample),
        "hits_that_differ": difference,
        "images": population.images,
        "batch": population.batch,
        "calibration": given.calibration,
        "recalibrated": given.recalibrated,
        "image_size": space.image_size,
    }


def require_equal(ours: Sequence[float], theirs: Sequence[float], images: int) -> int:
    """Assert that top-1 accuracies are equal but for ties.

    Args:
        ours: one fraction per genome.
        theirs: the same from the textbook.
        images: per genome; genomes x images are the decisions taken.

    Returns:
        By how many hits they differ, over all genomes.
    """
    difference = sum(round(abs(a - b) * images) for a, b in zip(ours, theirs, strict=True))
    allowed = len(ours) * images // DECISIONS_PER_TIE
    assert difference <= allowed, f"top-1 of project and textbook differ by {difference} hits; {allowed} can be ties"
    return difference


def counted(shared: Sharing) -> dict[str, Any]:
    """Return the savings of the tree as plain data."""
    return {
        "layer_runs": shared.layer_runs,
        "layer_runs_one_by_one": shared.layer_runs_one_by_one,
        "layer_factor": shared.layer_factor,
        "madds_factor": shared.madds_factor,
    }


def memory(space: SearchSpace, genomes: Sequence[Genome], batch: int) -> dict[str, Any]:
    """Memory of activations between layers in MiB, and multiply-adds of stem and layers with the least of it.

    Args:
        space: of the genomes.
        genomes: to be scored together.
        batch: images.
    """
    ordered = sorted({space.canonical(genome) for genome in genomes})
    shared = shared_depths(ordered)
    sizes = [batch * size for size in activation_table(space).handed_on]
    table, images = cost_table(space), torch.Size((batch, space.image_channels, space.image_size, space.image_size))
    everything, least = branches(shared), largest_pair(sizes)
    tight = kept_within(ordered, space, images, FLOAT, (least + FLOAT * batch) / MIB)

    def madds(kept: Kept) -> int:
        spent = 0

        def run(prefix: Genome, features: Tensor) -> Tensor:
            nonlocal spent
            spent += table.blocks[len(prefix) - 1][prefix[-1]].madds if prefix else stem_madds(space)
            return features

        walk(ordered, torch.empty(0), run, lambda genome, features: None, kept)
        return spent

    return {
        "memory_path_mib": sum(sizes) / MIB,
        "memory_mib": most_held(shared, everything, sizes) / MIB,
        "memory_least_mib": least / MIB,
        "madds_factor_least_memory": madds(tight) / madds(everything),
    }


def _tell(name: str, repeats: int) -> Callable[[int, float], None]:
    return lambda done, ratio: print(f"evaluate {name}: repeat {done}/{repeats}, ratio {ratio:.2f}", file=sys.stderr)


def described(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    lines = []
    of_spos = {f"{space} {kind}": row for space, rows in result["spos"].items() for kind, row in rows.items()}
    for name, found in (*result["populations"].items(), *of_spos.items()):
        low, high = found["ratio_quartiles"]
        lines += [
            f"{name:10}  {found['ratio']:.2f} times as fast as the textbook "
            f"(quartiles {low:.2f} to {high:.2f}, n = {found['repeats']})",
            f"  processor {found['processor_ratio']:.2f} times less processor time, "
            f"{found['user_ratio']:.2f} times outside the kernel",
            f"  seconds   {found['project_s']:.3g} beside {found['textbook_s']:.3g}, medians",
            f"  sharing   {found['layer_runs']:,} layer runs instead of {found['layer_runs_one_by_one']:,}: "
            f"{found['layer_factor']:.2f} times fewer; {found['madds_factor']:.2f} times fewer multiply-adds",
            f"  memory    {found['memory_mib']:.3g} MiB between layers ({found['memory_path_mib']:.3g} for a path); "
            f"in the least, {found['memory_least_mib']:.3g}, {found['madds_factor_least_memory']:.3f} times "
            "the multiply-adds",
            f"  measured  {found['genomes']:,} genomes of {found['space']}, {found['images']} images of "
            f"{found['image_size']} pixels in batches of {found['batch']}",
            *(
                [
                    f"  protocol  textbook: BN recalibrated on {found['calibration']} images per genome; fairnas: "
                    + ("along the tree" if found["recalibrated"] else "running statistics")
                ]
                if found["calibration"]
                else []
            ),
            f"  textbook  scored {found['textbook_genomes']:,} of the genomes, time scaled up; "
            f"top-1 equal up to {found['hits_that_differ']} hits",
        ]
    return [*lines, f"machine     {Machine(**result['machine'])}"]


if __name__ == "__main__":
    sys.exit(main())
