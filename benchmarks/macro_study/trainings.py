"""One supernet of the study: its training with snapshots on the way, and its scores, all resumable.

OUT/ARM-SIDEpx-BUDGET-sSEED/checkpoint.pt      where the training goes on, written every half minute
OUT/ARM-SIDEpx-BUDGET-sSEED/after-STEP.pt      the supernet after this number of steps
OUT/ARM-SIDEpx-BUDGET-sSEED/training.json      what it was, once it is finished (or diverged)
OUT/ARM-SIDEpx-BUDGET-sSEED/scores-*.json      one-shot scores, written subtree by subtree
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.macro_study.arms import (
    Data,
    Length,
    data_config,
    distinct_strategy,
    find_arm,
    length_of,
    some_networks,
    train_config,
)
from fairnas.atomic_files import write_atomically
from fairnas.config import TrainConfig
from fairnas.data import Dataset, load_dataset, ordered_batches
from fairnas.errors import RunDirectoryError
from fairnas.evaluate import EvaluationCopy, RecalibratedCopy, Statistics, score_genomes
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.space import SearchSpace, format_genome, get_space
from fairnas.space.file import to_dict
from fairnas.train import (
    DivergedError,
    LoopOptions,
    new_supernet,
    read_checkpoint,
    supernet_training,
    train,
    training_steps,
    write_checkpoint,
)
from fairnas.train.supernet import SupernetTraining

SPACE = "nas_bench_macro"
SPLIT_SEED = 0
"""Seed of the choice of validation images: the same images for all trainings."""
TELL_SECONDS = 60.0
SCORING_BATCH = 100
"""Images per batch of scoring; where BN uses the statistics of each batch, scores depend on it."""
Scores = dict[str, dict[str, float]]
"""Scores by genome in text form: `top1` and `loss`."""


@dataclass(frozen=True)
class Job:
    """One supernet: what it is and what is wanted of it."""

    out: Path
    data: Data
    arm: str
    seed: int
    budget: int
    lr: float
    points: tuple[float, ...] = (1.0,)
    """Points at which snapshots are taken, as shares of the training; the last is its end."""
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        """Folder of its files."""
        return self.out / f"{self.arm}-{self.data.image_size}px-{self.budget}-s{self.seed}"

    @property
    def space(self) -> SearchSpace:
        """For the images that it sees."""
        space = get_space(SPACE)
        return space.for_data(
            image_size=self.data.image_size,
            image_channels=1 if self.data.name == "digits" else None,
        )

    @property
    def length(self) -> Length:
        """Length of the training."""
        return length_of(find_arm(self.arm), self.budget, self.data, self.space)

    @property
    def config(self) -> TrainConfig:
        """Settings of the training."""
        return train_config(find_arm(self.arm), self.length.epochs, self.lr)

    def dataset(self) -> Dataset:
        """The images, loaded once per process and size."""
        return _dataset(self.data, self.length.per_class, self.space.image_size)

    def identity(self, dataset: Dataset) -> str:
        """Hash of all that its weights depend on."""
        content = [dataclasses.asdict(self.config), find_arm(self.arm).distinct, to_dict(self.space), self.seed]
        content += [dataset.fingerprint, dataclasses.asdict(data_config(self.data, self.length.per_class))]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=2)
def _dataset(data: Data, per_class: int, side: int) -> Dataset:
    config = data_config(data, per_class)
    return load_dataset(config, image_size=side, image_channels=None, seed=SPLIT_SEED)


def finished(job: Job) -> dict[str, Any] | None:
    """Result of a training: `status` is `done` or `diverged`; None while it is not finished."""
    return read_json(job.folder / "training.json")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is none. Raises `RunDirectoryError` if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path} is damaged ({error}); delete it and run the same command again") from None


def write_json(path: Path, content: Any) -> None:
    """Atomically."""
    write_atomically(path, (json.dumps(content) + "\n").encode())


def run_training(job: Job, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train to the end, going on where it stopped; return what became of it."""
    dataset = job.dataset()
    identity = job.identity(dataset)
    known = finished(job)
    if known is not None:
        if known["identity"] != identity:
            raise RunDirectoryError(
                f"{job.folder} holds a training with other settings (learning rate {known['lr']}, given {job.lr}, "
                "or other data); delete it, or give another --out"
            )
        return known
    space, config = job.space, job.config
    training = supernet_training(space, config, job.seed, torch.device(job.device))
    if find_arm(job.arm).distinct:
        training.strategy = distinct_strategy(space, job.seed)
    total = config.epochs * training_steps(dataset, config, training.batches_per_step)
    points = [point_step(total, share) for share in job.points]
    facts: dict[str, Any] = {"identity": identity, "arm": job.arm, "seed": job.seed, "lr": job.lr}
    facts |= {"image_size": job.data.image_size}
    facts |= {"budget": job.budget, "path_images": job.length.path_images, "epochs": config.epochs, "steps": total}
    facts |= {"train_images": len(dataset.train), "points": points}
    try:
        for step in points:
            if not snapshot(job, step).exists():
                _train_to(step, total, training, dataset, job, identity, tell)
                network = training.network.state_dict()
                write_checkpoint(snapshot(job, step), "supernet", {"identity": identity, "network": network})
    except DivergedError as error:
        facts |= {"status": "diverged", "reason": str(error)}
    else:
        ledger = Ledger.from_dict(read_checkpoint(job.folder / "checkpoint.pt", "supernet")["extra"]["ledger"])
        audit = ledger.audit()
        facts |= {"status": "done", "backward_passes": audit.backward_passes, "strict_fair": audit.strict_fair}
        facts |= {"updates": [audit.updates_min, audit.updates_max]}
    write_json(job.folder / "training.json", facts)
    (job.folder / "checkpoint.pt").unlink(missing_ok=True)
    return facts


def point_step(total: int, share: float) -> int:
    """The step at a share of a training."""
    return max(1, round(total * share))


def snapshot(job: Job, step: int) -> Path:
    """File of the supernet after this number of steps."""
    return job.folder / f"after-{step}.pt"


def _train_to(
    step: int,
    total: int,
    training: SupernetTraining,
    dataset: Dataset,
    job: Job,
    identity: str,
    tell: Callable[[str], None],
) -> None:
    """Train until `step` is done and saved: the loop is asked to stop there, and goes on from its checkpoint later."""
    reached, told = 0, time.monotonic()

    def on_resume(at: int) -> None:
        nonlocal reached
        reached = at

    def stop() -> bool:
        nonlocal reached
        reached += 1
        return reached == step

    def on_progress(done: int, steps: int, text: str) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            tell(f"{job.folder.name}: step {done:,} of {steps:,}, {text}")

    checkpoint = job.folder / "checkpoint.pt"
    if checkpoint.exists():  # a kill may have come between the checkpoint of this very step and its snapshot
        content = read_checkpoint(checkpoint, "supernet")
        if content["step"] == step and content["identity"] == identity:
            training.network.load_state_dict(content["network"])
            return
    options = LoopOptions(
        checkpoint=checkpoint, identity=identity, on_progress=on_progress, on_resume=on_resume, stop=stop
    )
    try:
        train(training, dataset, job.config, job.seed, options)
    except KeyboardInterrupt:
        if reached != step or step == total:
            raise


# Scores -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scoring:
    """Way in which the genomes of a supernet are scored."""

    statistics: Statistics
    networks: int | None = None
    """Number of distinct networks, drawn at random; None: all."""
    images: int = 200
    """Validation images."""
    calibration: int = 200
    """Training images that recalibrated BN statistics are taken from."""
    averaged: bool = False
    """Not the snapshot's weights, but the mean of those of all snapshots from `AVERAGED_FROM` of it on."""


AVERAGED_FROM = 0.7
"""Share of a training after which its snapshots are averaged."""


def scores_path(job: Job, step: int, scoring: Scoring) -> Path:
    """The file of the scores of a snapshot; its name says all that they depend on."""
    networks = "all" if scoring.networks is None else str(scoring.networks)
    calibration = f"{scoring.calibration}-" if scoring.statistics == "recalibrated" else ""
    weights = "-mean" if scoring.averaged else ""
    return job.folder / f"scores-{step}{weights}-{scoring.statistics}-{calibration}{scoring.images}-{networks}.json"


def run_scoring(job: Job, step: int, scoring: Scoring, tell: Callable[[str], None]) -> Scores:
    """Score a snapshot, subtree by subtree; what is there already is kept."""
    dataset, space = job.dataset(), job.space
    identity = job.identity(dataset)
    path = scores_path(job, step, scoring)
    networks = some_networks(space, scoring.networks, "scored networks")
    facts = {"identity": identity, "step": step, "wanted": len(networks), **dataclasses.asdict(scoring)}
    known = read_json(path) or {**facts, "scores": {}}
    if known["identity"] != identity:
        raise RunDirectoryError(f"{path} holds scores of another training; delete it, or give another --out")
    scores: Scores = known["scores"]
    if len(scores) == len(networks):
        return scores
    supernet = new_supernet(space, job.config, job.seed)
    steps = [step]
    if scoring.averaged:
        training = finished(job)
        assert training is not None
        steps = [point for point in training["points"] if AVERAGED_FROM * step <= point <= step]
    supernet.load_state_dict(mean_weights([_weights(job, each, identity) for each in steps]))
    supernet = supernet.to(job.device).eval()
    batches = validation_batches(job, dataset, scoring.images)
    for prefix, group in itertools.groupby(networks, key=lambda genome: genome[:2]):
        missing = [genome for genome in group if format_genome(genome) not in scores]
        if missing:
            copied = _copy(supernet, scoring, job, dataset)
            for genome, score in zip(missing, score_genomes(copied, missing, batches), strict=True):
                scores[format_genome(genome)] = {"top1": score.top1, "loss": score.loss}
            write_json(path, {**facts, "scores": scores})
            tell(f"{job.folder.name}: {path.stem}, {len(scores):,} of {len(networks):,} ({format_genome(prefix)})")
    return scores


def _weights(job: Job, step: int, identity: str) -> dict[str, Tensor]:
    content = read_checkpoint(snapshot(job, step), "supernet")
    if content["identity"] != identity:
        raise RunDirectoryError(f"{snapshot(job, step)} is of another training; delete {job.folder}")
    return content["network"]


def mean_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over supernets, BN statistics included; what counts mini-batches is the last one's."""
    return {
        key: torch.stack([state[key].double() for state in states]).mean(0).to(last.dtype)
        if last.is_floating_point()
        else last
        for key, last in states[-1].items()
    }


def _copy(supernet: Supernet, scoring: Scoring, job: Job, dataset: Dataset) -> EvaluationCopy:
    if scoring.statistics != "recalibrated":
        return EvaluationCopy(supernet, scoring.statistics)
    count = min(scoring.calibration, len(dataset.train))
    batches = ordered_batches(dataset.train, dataset, batch_size=count, device=torch.device(job.device))
    return RecalibratedCopy(supernet, next(batches)[0])


def validation_batches(job: Job, dataset: Dataset, images: int) -> list[tuple[Tensor, Tensor]]:
    """The first validation images, this number of them, in whole batches."""
    size = min(SCORING_BATCH, images)
    batches = ordered_batches(dataset.validation, dataset, batch_size=size, device=torch.device(job.device))
    return list(itertools.islice(batches, images // size))


def mean_top1(job: Job) -> float | None:
    """Mean one-shot accuracy of some genomes of a finished training by the statistics of batches; None: diverged.

    A training whose last update was the ruinous one is found by the losses of its genomes.
    """
    facts = finished(job)
    if facts is None or facts["status"] == "diverged":
        return None
    scores = run_scoring(job, facts["points"][-1], TUNING, lambda text: None)
    if not all(math.isfinite(score["loss"]) for score in scores.values()):
        return None
    return statistics.fmean(score["top1"] for score in scores.values())


TUNING = Scoring("batch", networks=24, images=400)
"""Scoring that selects learning rates: on validation images, without the benchmark's accuracies."""
