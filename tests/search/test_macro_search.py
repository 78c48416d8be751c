"""Search where the truth is known: the stand-alone accuracies of all networks of NAS-Bench-Macro."""

import json
import os
from pathlib import Path

import pytest

from fairnas.config import SearchConfig
from fairnas.search import (
    Archive,
    Candidate,
    cost_ranges,
    hypervolume,
    objectives_from,
    pareto_front,
    run_search,
)
from fairnas.space import Genome, get_space, parse_genome

NAME = "nas-bench-macro_cifar10.json"
SEEDS = range(4)


@pytest.fixture(scope="module")
def truth() -> dict[Genome, dict[str, float]]:
    folder = Path(os.environ.get("FAIRNAS_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / NAME).is_file():
        message = f"{NAME} is not in {folder}; set FAIRNAS_DATA to the folder that holds it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    rows = json.loads((folder / NAME).read_text())
    return {
        parse_genome(text): {"top1": row["mean_acc"] / 100, "madds": row["flops"], "params": row["params"]}
        for text, row in rows.items()
    }


@pytest.mark.slow
def test_evolution_finds_nearly_the_true_front_and_beats_chance(truth, tmp_path: Path) -> None:
    space = get_space("nas_bench_macro")

    def costs(genome: Genome) -> dict[str, float]:
        return {name: truth[genome][name] for name in ("madds", "params")}

    def evaluate(genomes):
        return [{"top1": truth[genome]["top1"]} for genome in genomes]

    config = SearchConfig(population=40, generations=20)
    ranges = cost_ranges(space, costs)
    assert ranges["madds"] == (
        min(t["madds"] for t in truth.values()),
        max(t["madds"] for t in truth.values()),
    )
    objectives = objectives_from(config)
    networks = {space.canonical(genome) for genome in space.enumerate()}
    assert len(networks) == 3969
    true_front = pareto_front([Candidate.of(genome, truth[genome]) for genome in networks], objectives)
    best = hypervolume(true_front, objectives, ranges)

    reached: dict[str, list[float]] = {}
    for name in ("nsga2", "random"):
        chosen = SearchConfig(searcher=name, population=40, generations=20)
        for seed in SEEDS:
            with Archive(tmp_path / f"{name}{seed}", "truth") as archive:
                result = run_search(space, chosen, evaluate, costs, archive, seed)
            assert result.evaluations == 800
            reached.setdefault(name, []).append(result.hypervolume[-1] / best)
    assert min(reached["nsga2"]) > 0.97, reached
    assert sum(reached["nsga2"]) > sum(reached["random"]) + 0.02 * len(SEEDS), reached
