"""`python -m benchmarks.searchers`: how soon each searcher finds the true front of NAS-Bench-Macro (paper 4.3.2).

The stand-alone accuracies of all 3,969 distinct networks are known, so scores cost nothing and the true front is known,
too: accuracy, multiply-adds and parameters. Every searcher evaluates as many networks as the paper's comparison, 1,088.
"""

import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.command import run
from benchmarks.timing import Machine
from benchmarks.workload import macro_truth
from fairnas.cli.output import print_table
from fairnas.config import HierarchyConfig, SearchConfig
from fairnas.search import SEARCHERS, Archive, Candidate, cost_ranges, hypervolume, objectives_from, pareto_front
from fairnas.search import run_search as search
from fairnas.space import Genome, get_space

GOAL = 0.99
"""Of the true front's hypervolume."""


@dataclass(frozen=True)
class SearchersBenchmark:
    """Search NAS-Bench-Macro with every searcher and many seeds; print how soon the true front is found.

    For example: python -m benchmarks.searchers --truth nas-bench-macro_cifar10.json
    """

    truth: Path
    """The JSON file of NAS-Bench-Macro with the accuracies on CIFAR-10."""
    searchers: tuple[str, ...] = tuple(SEARCHERS)
    """Which searchers."""
    seeds: int = 20
    """Searches per searcher."""
    first_seed: int = 0
    """The first of them."""
    controller_draws: Literal["layer", "suffix", "whole"] = "layer"
    """What the controller of MoreMNAS draws anew."""
    population: int = 64
    """Genomes per generation."""
    generations: int = 17
    """Generations; 17 of 64 are the paper's 1,088 models."""
    processes: int = 2
    """Searches side by side."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class Outcome:
    """One search."""

    shares: tuple[float, ...]
    """Of the true hypervolume, after each generation."""
    operators: dict[str, tuple[int, int, int]]
    """Children of each operator, how many lived on, how many were on the first front."""


def one_search(given: SearchersBenchmark, name: str, seed: int) -> Outcome:
    """One search over the truth."""
    import torch

    torch.set_num_threads(1)
    table = macro_truth(given.truth)
    space = get_space("nas_bench_macro")

    def costs(genome: Genome) -> dict[str, float]:
        return {name: table[genome][name] for name in ("madds", "params")}

    def scores(genomes: Sequence[Genome]) -> list[dict[str, float]]:
        return [{"top1": table[genome]["top1"]} for genome in genomes]

    config = SearchConfig(
        searcher=name,
        population=given.population,
        generations=given.generations,
        hierarchy=HierarchyConfig(controller_draws=given.controller_draws),
    )
    objectives, ranges = objectives_from(config), cost_ranges(space, costs)
    networks = {space.canonical(genome) for genome in space.enumerate()}
    front = pareto_front([Candidate.of(genome, table[genome]) for genome in sorted(networks)], objectives)
    best = hypervolume(front, objectives, ranges)
    with tempfile.TemporaryDirectory() as folder, Archive(Path(folder) / "archive.sqlite", "truth") as archive:
        found = search(space, config, scores, costs, archive, seed)
    shares = [volume / best for volume in found.hypervolume]
    shares += [shares[-1]] * (given.generations - len(shares))
    operators = {name: (t.children, t.survived, t.on_front) for name, t in found.operators.items()}
    return Outcome(tuple(shares), operators)


def measure(given: SearchersBenchmark) -> dict[str, Any]:
    """All searches, and what they come to. Raises `FairnasError` for a name or a file that does not exist."""
    macro_truth(given.truth)
    jobs = [
        (name, seed) for name in given.searchers for seed in range(given.first_seed, given.first_seed + given.seeds)
    ]
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        futures = [pool.submit(one_search, given, name, seed) for name, seed in jobs]
        outcomes = [future.result() for future in futures]
    found: dict[str, Any] = {}
    for name in given.searchers:
        ours = [outcome for (other, _), outcome in zip(jobs, outcomes, strict=True) if other == name]
        shares = np.array([outcome.shares for outcome in ours])
        reached = [next((n + 1 for n, s in enumerate(row) if s >= GOAL), None) for row in shares.tolist()]
        evaluations = sorted(given.population * n for n in reached if n is not None)
        half = len(ours) // 2
        tallies = {key: np.sum([o.operators.get(key, (0, 0, 0)) for o in ours], axis=0).tolist() for key in _keys(ours)}
        found[name] = {
            "reached": len(evaluations),
            "median_evaluations": evaluations[half] if len(evaluations) > half else None,
            "evaluations": evaluations,
            "mean_share": shares.mean(axis=0).tolist(),
            "final_share": float(shares[:, -1].mean()),
            "final_share_interval": _interval(shares[:, -1]),
            "operators": tallies,
        }
    return {
        "benchmark": "searchers",
        "searchers": found,
        "settings": {
            "seeds": given.seeds,
            "first_seed": given.first_seed,
            "controller_draws": given.controller_draws,
            "population": given.population,
            "generations": given.generations,
        },
        "machine": Machine.here().to_dict(),
    }


def _keys(outcomes: Sequence[Outcome]) -> list[str]:
    return sorted({key for outcome in outcomes for key in outcome.operators})


def _interval(values: np.ndarray) -> list[float]:
    """95 percent, of the mean, by the bootstrap."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, size=(10_000, len(values))).mean(axis=1)
    return np.percentile(means, (2.5, 97.5)).tolist()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("searchers", SearchersBenchmark, measure, show, arguments)


def show(given: SearchersBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    rows = []
    for name, found in result["searchers"].items():
        low, high = found["final_share_interval"]
        median = found["median_evaluations"]
        rows.append(
            [
                name,
                f"{found['reached']} of {given.seeds}",
                "-" if median is None else f"{median:,}",
                *(f"{found['mean_share'][n]:.4f}" for n in (3, 7) if n < given.generations),
                f"{found['final_share']:.4f} [{low:.4f}, {high:.4f}]",
            ]
        )
    early = [f" after {given.population * (n + 1)}" for n in (3, 7) if n < given.generations]
    goal = f" evaluations to {GOAL:.0%}"
    print_table(("searcher", " reached", goal, *early, f"share after {given.population * given.generations:,}"), rows)
    for name, found in result["searchers"].items():
        if found["operators"]:
            parts = [f"{key} {c:,}/{s:,}/{f:,}" for key, (c, s, f) in found["operators"].items()]
            print(f"{name}: children/lived on/on the front: {', '.join(parts)}")


if __name__ == "__main__":
    sys.exit(main())
