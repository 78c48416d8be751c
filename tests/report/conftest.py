"""A run directory as the stages write it: digits, 480 candidates, 13 networks ranked with 2 seeds."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairnas.config import DataConfig, RunConfig, SearchConfig, TrainConfig
from fairnas.fairness import Ledger, count_passes
from fairnas.randomness import generator
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import Genome, InvertedResidual, format_genome, get_space
from fairnas.space.file import to_dict

SPACE = get_space("digits")
FILES = {
    "train": ("ledger.json", "space.json", "data.json"),
    "search": ("search.json",),
    "retrain": (),
    "rank": ("ranking.json",),
    "export": (),
}
STAGES = ("train", "search", "retrain", "rank", "export")
NASTY = "</script><b>&\"'`<!--"
SETTING = "supernet 1234, digits"
GENERATIONS, POPULATION = 20, 24

MakeRun = Callable[..., RunDirectory]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """`make_run(stages, strategy=..., name=...)`: a run that got as far as `stages`."""

    def make(stages: tuple[str, ...] = STAGES, *, strategy: str = "strict", name: str = "a-run") -> RunDirectory:
        config = RunConfig(
            recipe="digits",
            space="digits",
            data=DataConfig(augmentation="shift", validation_per_class=30),
            train=TrainConfig(strategy=strategy, epochs=40, batch_size=64),
            search=SearchConfig(population=POPULATION, generations=GENERATIONS),
        )
        run = RunDirectory.create(tmp_path_factory.mktemp("runs") / name, config)
        writers = {"train": write_training, "search": write_search, "retrain": write_stand_alone}
        writers |= {"rank": write_ranking, "export": write_models}
        for stage in stages:
            writers[stage](run)
            run.finish_stage(stage, FILES[stage])
        return run

    return make


@pytest.fixture(scope="session")
def whole_run(make_run: MakeRun) -> RunDirectory:
    """A finished run. Shared: don't change it."""
    return make_run()


def write_training(run: RunDirectory) -> None:
    run.write_json("space.json", to_dict(SPACE))
    run.write_json(
        "data.json",
        {
            "name": "digits",
            "classes": [str(number) for number in range(9)] + [NASTY],
            "class_counts": {"train": [120] * 10, "validation": [30] * 10, "test": [30] * 10},
            "image_size": 8,
            "image_channels": 1,
            "mean": [0.3],
            "std": [0.37],
            "counts": {"train": 1197, "validation": 300, "test": 300},
            "augmentation": {"crop": "shift", "flip": "none", "rotate": "none", "colour": 0.0},
            "fit": "crop",
            "value_range": None,
            "fingerprint": "5b1d6f0c9e3a",
            "findings": [
                {"id": "class-sizes", "message": f"one class is called {NASTY}"},
                {"id": "val-is-test", "message": "validation images were carved out of the training set"},
            ],
        },
    )
    strategy = run.config.train.strategy
    ledger = Ledger(strategy, SPACE.choices)
    for step in range(720):
        rng = generator(0, "paths", step)
        if strategy == "strict":
            orders = [rng.permutation(count) for count in SPACE.choices]
            paths = [tuple(int(order[k]) for order in orders) for k in range(6)]
        else:
            paths = [SPACE.sample(rng)]
            if strategy == "greedy":
                paths = [tuple(min(a, b) for a, b in zip(paths[0], SPACE.sample(rng), strict=True))]
        passes = count_passes(paths, SPACE.choices)
        ledger.record(passes, np.minimum(passes, 1), len(paths))
    ledger.seal("0" * 64)
    run.write_json("ledger.json", ledger.to_dict())
    rng = generator(0, "curve")
    for epoch in range(1, 41):
        top1 = 0.96 - 0.85 * np.exp(-epoch / 6) + rng.normal(0, 0.006)
        run.append_metrics(
            "train",
            epoch * 18,
            {
                "epoch": epoch,
                "loss": float(0.09 + 2.2 * np.exp(-epoch / 5) + abs(rng.normal(0, 0.02))),
                "lr": 0.05,
                "one_shot_top1_mean": float(top1),
                "one_shot_top1_std": float(0.012 + 0.1 * np.exp(-epoch / 5)),
            },
        )


def cost(genome: Genome) -> dict[str, int]:
    """Multiply-adds and parameters, nearly right."""
    madds, params, side = 8 * 9 * 64, 1200, 8
    for number, choice in enumerate(genome):
        layer, block = SPACE.layers[number], SPACE.block(number, choice)
        assert isinstance(block, InvertedResidual)
        wide = layer.in_channels * block.expansion
        side //= layer.stride
        weights = wide * (layer.in_channels + block.kernel**2 + layer.out_channels)
        madds, params = madds + weights * side**2, params + weights + 2 * wide
    return {"madds": madds, "params": params}


def ability(genome: Genome) -> float:
    """True quality of a network, before noise, from 0 to 1."""
    spent = cost(genome)["madds"] / 1e6
    return float(0.93 + 0.045 * (1 - np.exp(-spent / 0.35)) + 0.004 * np.sin(sum(genome)))


def row_of(genome: Genome, generation: int, images: int = 300) -> dict[str, object]:
    rng = generator(1, "score", *genome)
    top1 = round(float(np.clip(ability(genome) + rng.normal(0, 0.006), 0, 1)) * images) / images
    scores = {"top1": top1, "balanced_accuracy": top1, "top5": min(1.0, top1 + 0.02), "loss": 3 * (1 - top1)}
    return {"genome": format_genome(genome), **scores, **cost(genome), "generation": generation}


OBJECTIVES = [
    {"name": name, "text": name, "direction": way, "unit": unit, "bound": bound}
    | {"range": [0, 1], "range_is_estimated": False, "origin": "recipe 'digits'"}
    for name, way, unit, bound in (
        ("top1", "max", "share of images", None),
        ("madds", "min", "multiply-adds", 1.1e6),
        ("params", "min", "parameters", None),
    )
]


def write_search(run: RunDirectory) -> None:
    rng = generator(0, "search")
    rows: dict[str, dict[str, object]] = {}
    hypervolume, best = [], 0.55
    for generation in range(GENERATIONS):
        while len(rows) < POPULATION * (generation + 1):
            genome = SPACE.sample(rng)
            if generation and rng.random() < 0.85:  # children of the best so far
                parent = max(rng.choice(np.array(list(rows)), 6), key=lambda g: float(str(rows[g]["top1"])))
                genome = tuple(
                    a if rng.random() < 0.75 else b for a, b in zip(SPACE.parse(parent), genome, strict=True)
                )
            rows.setdefault(format_genome(genome), row_of(genome, generation))
        best += (0.83 - best) * 0.22
        hypervolume.append(best)
        run.append_metrics("search", generation, {"hypervolume": best, "evaluated": len(rows)})
    with Archive(run.path / "archive.sqlite", SETTING) as archive:
        for generation in range(GENERATIONS):
            new = [row for row in rows.values() if row["generation"] == generation]
            measures = [{k: float(str(r[k])) for k in ("top1", "top5", "loss", "madds", "params")} for r in new]
            keys = [SPACE.parse(str(row["genome"])) for row in new]
            archive.add(dict(zip(keys, measures, strict=True)), generation)
        archive.add({(5,) * 8: {"top1": float("nan"), "madds": 1.0, "params": 1.0}}, GENERATIONS - 1)
        left = archive.fingerprint()
    with Archive(run.path / "archive.sqlite", "another supernet") as other:
        other.add({(0,) * 8: {"top1": 0.5, "madds": 1e9, "params": 1e9}}, 0)
    front = front_of(list(rows.values()))
    content = {
        "searcher": "nsga2",
        "measure": "top1",
        "population": POPULATION,
        "generations": GENERATIONS,
        "evaluations": len(rows) + 1,
        "distinct": len(rows) + 1,
        "failed": 1,
        "failure": "55555555: top1 not finite",
        "hypervolume": hypervolume,
        "operators": {
            "first": {"children": 24, "survived": 24, "on_front": 3},
            "crossover": {"children": 300, "survived": 120, "on_front": 40},
            "random": {"children": 156, "survived": 30, "on_front": 4},
        },
        "reference": [0.0, 2e6, 4e4],
        "front": front,
        "selected": [front[-1], front[len(front) // 2], front[0]],
        "rejected": 0,
        "bounds": {"madds": 1.1e6, "params": None},
        "objectives": OBJECTIVES,
        "sources": {},
        "setting": SETTING,
        "archive": dataclasses.asdict(left),
    }
    run.write_json("search.json", content)


def front_of(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    def key(row: dict[str, object]) -> tuple[float, ...]:
        return (-float(str(row["top1"])), float(str(row["madds"])), float(str(row["params"])))

    def beaten(row: dict[str, object]) -> bool:
        own = key(row)
        return any(key(r) != own and all(a <= b for a, b in zip(key(r), own, strict=True)) for r in rows)

    return sorted((row for row in rows if not beaten(row)), key=lambda row: float(str(row["madds"])))


def write_stand_alone(run: RunDirectory) -> None:
    for row in run.read_json("search.json")["selected"]:
        write_stand_alone_result(run, str(row["genome"]), seed=0)


def write_stand_alone_result(run: RunDirectory, genome: str, seed: int, status: str = "done") -> float:
    rng = generator(2, "stand alone", seed, *SPACE.parse(genome))
    top1 = round(300 * min(1.0, ability(SPACE.parse(genome)) + 0.008 + float(rng.normal(0, 0.003)))) / 300
    hits = [30] * 10
    for number in range(300 - round(300 * top1)):
        hits[(9 - number**2) % 10] -= 1
    score = {"top1": top1, "top5": 1.0, "loss": 0.1, "images": 300, "balanced_accuracy": top1, "balanced_loss": 0.1}
    score |= {"class_hits": hits, "class_images": [30] * 10}
    content = {"genome": genome, "seed": seed, "identity": "0", "status": status, "epochs": 40}
    if status == "done":
        content |= {"validation": score, "test": score}
        content["curve"] = [
            {"epoch": epoch, "loss": 2.3 / epoch, "validation_top1": known, "validation_balanced_accuracy": known}
            for epoch in range(1, 41)
            for known in [top1 * epoch / 40 if epoch % 10 == 0 else None]
        ]
    run.write_json(f"stand_alone/{genome}-s{seed}.json", content)
    return top1


def write_ranking(run: RunDirectory) -> None:
    front = run.read_json("search.json")["front"]
    rows = [front[round(index)] for index in np.linspace(0, len(front) - 1, 13)]
    models = []
    for row in rows:
        seeds = [write_stand_alone_result(run, row["genome"], seed) for seed in range(2)]
        models.append(
            {
                "genome": row["genome"],
                "one_shot": row["top1"],
                "stand_alone": seeds,
                "mean": float(np.mean(seeds)),
                "madds": row["madds"],
                "params": row["params"],
                "depth": 8,
                "loss": row["loss"],
            }
        )

    def agreement(tau: float, low: float, high: float) -> dict[str, object]:
        return {"tau": tau, "interval": [low, high], "n": 13, "p_value": 0.001, "spearman": tau + 0.1}

    one_shot, alone = [m["one_shot"] for m in models], [m["mean"] for m in models]
    spans = [max(values) - min(values) for values in (one_shot, alone)]
    best = {"pearson": 0.8, "best_tau": 0.5, "best_n": 3, "regret": {"1": 0.01, "3": 0.0}, "n": 13}
    content = {
        "choose": "front",
        "measure": "top1",
        "scored_by": "running",
        "against_run": None,
        "images": {"validation": 300, "test": 300},
        "models": models,
        "tau": agreement(0.82, 0.55, 0.95),
        "best": best,
        "ceiling": {"tau": 0.79, "interval": [0.48, 0.94], "n": 13, "seeds": 2, "pairs": 1, "reachable": 0.9},
        "differences": {},
        "by_loss": None,
        "corrected": None,
        "statistics": [],
        "against": None,
        "diverged": 0,
        "second_choice": None,
        "predictors": {"madds": agreement(0.74, 0.40, 0.91), "params": agreement(0.51, 0.05, 0.79)},
        "gap": {
            "one_shot": [min(one_shot), max(one_shot)],
            "stand_alone": [min(alone), max(alone)],
            "n": 13,
            "gap": abs(spans[0] - spans[1]),
        },
        "advice": ["Rank 30 networks instead of 13 to halve the interval: `stand_alone.models = 30`."],
    }
    run.write_json("ranking.json", content)


def write_models(run: RunDirectory) -> None:
    for row in run.read_json("search.json")["selected"]:
        folder = run.path / "models" / row["genome"]
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"\0" * 61_000)
        (folder / "model.onnx").write_bytes(b"\0" * 74_000)
        (folder / "model.json").write_text(json.dumps(model_facts(row["genome"])))


def model_facts(
    genome: str, device: str = "a CPU", int8_top1: float | None = None, **times: float
) -> dict[str, object]:
    """What `model.json` says of a network; latencies in milliseconds by `float32` and `int8`."""
    files = {"float32": "model.onnx", "int8": "model.int8.onnx"}
    latency = {files[name]: {"latency_ms": ms, "quartiles_ms": [ms, ms], "runs": 9} for name, ms in times.items()}
    accuracy = {"images": 300, "float_top1": 0.7, "int8_top1": int8_top1, "lost": 0.1, "only_float": 1, "only_int8": 0}
    accuracy |= {"float_balanced_accuracy": 0.7, "int8_balanced_accuracy": 0.6}
    preprocessing = {"image_size": 8, "image_channels": 1, "mean": [0.3], "std": [0.4], "fit": "crop"}
    return {
        "genome": genome,
        "space": "digits",
        "classes": [str(number) for number in range(10)],
        "preprocessing": preprocessing | {"value_range": None},
        **{"measures": {}, "images": {}, "test_classes": {"images": [], "right": []}, "objectives": []},
        **{"provenance": {}, "licence": "not stated", "madds": 5, "params": 7},
        **{"parity_error": 1e-7, "program_parity_error": 1e-7},
        "int8": None if int8_top1 is None else {"calibration_images": 1, "accuracy": {"test": accuracy}},
        "latency": {"device": device, **latency},
        **{"files": [], "sha256": {}, "made_of": ""},
    }


@pytest.fixture(scope="session")
def whole_page(whole_run: RunDirectory) -> Path:
    """The report of the finished run."""
    from fairnas.report import write_report

    return write_report(whole_run)
