"""One arm of Figure 1 with one seed: an ordinary run directory, and the scores of its stratified models beside it."""

from collections.abc import Sequence
from typing import Any

from fairnas.atomic_files import checksum
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.fairness import StrictSampler
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import score_on_validation
from fairnas.pipeline.stages import discard_damaged, run_stage
from fairnas.randomness import derived_seed
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import DivergedError

SCORES = "stratified.json"
_PORTIONS = 8
"""Number of portions in which stratified models are scored; the work can be ended between them."""


def stratified_genomes(space: SearchSpace, count: int) -> tuple[Genome, ...]:
    """Genomes in which every choice block of a layer occurs equally often; equal for every training of a space.

    Raises `ConfigError` if this is impossible for `count`.
    """
    # a seed of their own, because these must not be the paths of strict training
    sampler = StrictSampler(space.choices, derived_seed(0, "stratified genomes"))
    unit = sampler.paths_per_step * sampler.fairness_period
    if count < unit or count % unit:
        raise ConfigError(
            f"--models is {count}; give a multiple of {unit}, so that every choice block of {space.name} is on equally "
            "many models"
        )
    return tuple(path for step in range(count // sampler.paths_per_step) for path in sampler.paths(step))


def is_done(run: RunDirectory, models: int) -> bool:
    """True if a training of the figure is finished and undamaged, and its models are scored with its weights."""
    scores = read_scores(run)
    if scores.get("status") == "diverged":
        return True
    if not run.is_finished("train") or run.damaged_files("train") or scores.get("status") != "done":
        return False
    return scores.get("checkpoint") == _weights(run) and len(scores["top1"]) == models


def _weights(run: RunDirectory) -> str:
    return checksum(run.path / "supernet" / "checkpoint.pt")


def read_scores(run: RunDirectory) -> dict[str, Any]:
    """Scores as written; empty if the file is missing or damaged."""
    try:
        scores = run.read_json(SCORES)
    except RunDirectoryError:
        return {}
    known = isinstance(scores, dict) and scores.get("status") in ("done", "diverged")
    return scores if known and (scores["status"] == "diverged" or isinstance(scores.get("top1"), list)) else {}


def train_and_score(experiment: Experiment, genomes: Sequence[Genome]) -> None:
    """Train the supernet, resuming if possible, and score the genomes. Divergence is a result as well."""
    run = experiment.run
    if not trained(experiment, SCORES):
        return
    top1 = score_top1(experiment, genomes)
    run.write_json(
        SCORES,
        {
            "status": "done",
            "checkpoint": _weights(run),
            "images": len(experiment.dataset.validation),
            "genomes": [format_genome(genome) for genome in genomes],
            "top1": top1,
        },
    )


def trained(experiment: Experiment, file: str) -> bool:
    """Train the supernet, resuming if possible. False if it diverged, which is written to `file` as a result."""
    run = experiment.run
    discard_damaged(experiment, "train")
    if not run.is_finished("train"):
        try:
            run_stage(experiment, "train")
        except DivergedError as error:
            run.write_json(file, {"status": "diverged", "reason": str(error)})
            experiment.narrator.say(f"{run.path.name} diverged: {error}")
            return False
    return True


def score_top1(experiment: Experiment, genomes: Sequence[Genome]) -> list[float]:
    """One-shot top-1 of the genomes, in order; neighbours, which share their first layers, are scored together."""
    ordered = sorted(set(genomes))
    size = -(-len(ordered) // _PORTIONS)
    found: dict[Genome, float] = {}
    for begin in range(0, len(ordered), size):
        if experiment.stop():
            raise KeyboardInterrupt
        experiment.narrator.progress(begin, len(ordered), "models scored")
        portion = ordered[begin : begin + size]
        scores = score_on_validation(experiment, portion)
        found |= {genome: score["top1"] for genome, score in zip(portion, scores, strict=True)}
    return [found[genome] for genome in genomes]
