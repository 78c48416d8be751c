"""`python -m benchmarks.bookkeeping`: what a search costs beside the scoring of networks, at the paper's scale.

200 generations of 64 over a space of 19 layers are 12,800 candidates. The evaluator answers at once, so what is left is
ours: sorting, mating, mutation, the controller's learning, hypervolumes, and an archive on the disk that is flushed
after every generation.
"""

import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import run
from benchmarks.timing import Machine, Spread, threads
from fairnas.cli.output import print_table
from fairnas.config import SearchConfig
from fairnas.nets import cost_table
from fairnas.search import SEARCHERS, Archive, run_search
from fairnas.space import Genome, format_genome, get_space


@dataclass(frozen=True)
class BookkeepingBenchmark:
    """Search with every searcher and an evaluator that answers at once; print milliseconds per candidate.

    For example: python -m benchmarks.bookkeeping --searchers moremnas nsga2
    """

    searchers: tuple[str, ...] = tuple(SEARCHERS)
    """Searchers to time."""
    space: str = "proxyless"
    """Search space: 19 layers of 6 choices."""
    population: int = 64
    """Genomes per generation."""
    generations: int = 200
    """Generations."""
    repeats: int = 1
    """Searches per searcher, with seeds 0, 1, ..."""
    threads: int = 1
    """Threads of torch."""
    json: bool = False
    """Print one JSON object and nothing else."""


def scores(genomes: Sequence[Genome]) -> list[dict[str, float]]:
    """Accuracies that grow with the choices and look measured."""
    found = []
    for genome in genomes:
        noise = zlib.crc32(format_genome(genome).encode()) / 2**32
        top1 = 0.5 + 0.3 * sum(genome) / (5 * len(genome)) + 0.02 * noise
        found.append({"top1": top1, "top5": min(1.0, top1 + 0.2), "loss": 1 - top1})
    return found


def measure(given: BookkeepingBenchmark) -> dict[str, Any]:
    """Wall-clock and processor time of each search. Raises `FairnasError` for a name that does not exist."""
    space = get_space(given.space)
    costs = cost_table(space).measures
    found: dict[str, Any] = {}
    for name in given.searchers:
        config = SearchConfig(searcher=name, population=given.population, generations=given.generations)
        wall, processor, front = [], [], 0
        candidates = 0
        for seed in range(given.repeats):
            with tempfile.TemporaryDirectory() as folder, threads(given.threads):
                began, worked = time.perf_counter(), time.process_time()
                with Archive(Path(folder) / "archive.sqlite", "instant") as archive:
                    result = run_search(space, config, scores, costs, archive, seed)
                candidates, front = result.evaluations, len(result.front)
                wall.append(1000 * (time.perf_counter() - began) / candidates)
                processor.append(1000 * (time.process_time() - worked) / candidates)
        found[name] = {
            "candidates": candidates,
            "front": front,
            "ms_per_candidate": Spread.of(wall).median,
            "processor_ms_per_candidate": Spread.of(processor).median,
        }
        print(f"bookkeeping {name}: {found[name]['ms_per_candidate']:.2f} ms per candidate", file=sys.stderr)
    return {
        "benchmark": "bookkeeping",
        "space": space.name,
        "layers": space.depth,
        "repeats": given.repeats,
        "searchers": found,
        "machine": Machine.here().to_dict(),
    }


def _show(given: BookkeepingBenchmark, result: dict[str, Any]) -> None:
    rows = [
        [
            name,
            f"{each['candidates']:,}",
            f"{each['front']:,}",
            f"{each['ms_per_candidate']:.2f}",
            f"{each['processor_ms_per_candidate']:.2f}",
        ]
        for name, each in result["searchers"].items()
    ]
    columns = ("searcher", " candidates", " front", " ms per candidate", " of processor time")
    print_table(columns, rows, title=f"{result['space']}, {result['layers']} layers")
    print(f"machine     {Machine(**result['machine'])}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("bookkeeping", BookkeepingBenchmark, measure, _show, arguments)


if __name__ == "__main__":
    sys.exit(main())
