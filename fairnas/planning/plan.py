"""Plan of a run: the measurements of a rehearsal, multiplied by the lengths in the configuration."""

import dataclasses
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from fairnas.config import Resources, RetrainConfig
from fairnas.nets import cost_table
from fairnas.pipeline.costs import measures_latency
from fairnas.pipeline.experiment import pick_device
from fairnas.pipeline.prepare import Prepared
from fairnas.pipeline.retrain_stage import retraining_length
from fairnas.pipeline.stages import STAGES
from fairnas.planning.dry_run import FLOAT, DryRunTimes, rehearse
from fairnas.progress import Narrator, SilentNarrator
from fairnas.space import Genome
from fairnas.train import strategy_facts

LOG_OF_AN_EPOCH = 1000
"""Bytes of an epoch in `metrics.jsonl` and `tensorboard/`."""


@dataclass(frozen=True)
class StagePlan:
    """Forecast of one stage."""

    name: str
    """Name of the stage, as in `fairnas STAGE`."""
    work: str
    """Amount of work, for people."""
    seconds: float
    """Expected wall-clock seconds on this device."""


@dataclass(frozen=True)
class Plan:
    """Forecast of a run on this device."""

    steps: int
    """Number of supernet steps of the whole training."""
    path_images_per_s: float
    """Images per second during supernet training, counted once for every path that is trained on them."""
    stages: tuple[StagePlan, ...]
    """Stages in order."""
    memory: int
    """Peak in bytes, as far as rehearsed."""
    memory_of: str
    """Description of that memory."""
    disk: int
    """Largest size of the run directory, in bytes."""
    execution: str
    """Executor of supernet steps, with the reason."""

    @property
    def seconds(self) -> float:
        """Expected wall-clock seconds of the whole recipe."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def hours(self) -> float:
        """Expected wall-clock hours."""
        return self.seconds / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "seconds": self.seconds, "hours": self.hours}


def measure_plan(prepared: Prepared, narrator: Narrator | None = None) -> Plan:
    """Measure a few real steps of everything, for up to about a minute, and forecast the run. Writes nothing.

    Args:
        prepared: the run.
        narrator: receives the progress.
    """
    return foresee(prepared, rehearse(prepared, narrator or SilentNarrator()))


def foresee(prepared: Prepared, measured: DryRunTimes) -> Plan:
    """Forecast of a whole run from the measurements of its parts."""
    config = prepared.config
    strategy = strategy_facts(config.train, prepared.space.choices)
    images = min(config.train.batch_size, len(prepared.dataset.train))
    device = pick_device(config.resources.device)
    works = {
        "train": _train(prepared, measured),
        "search": _search(prepared, measured),
        "retrain": _retrain(prepared, measured),
        "rank": _rank(prepared, measured),
        "export": _export(prepared, measured),
        "report": ("one page", measured.report),
    }
    who = (
        "this process" if measured.processes <= 1 else f"this process and {measured.processes} that train side by side"
    )
    return Plan(
        steps=prepared.steps,
        path_images_per_s=strategy.passes_per_step * images / measured.supernet.step,
        stages=tuple(StagePlan(stage.name, *works[stage.name]) for stage in STAGES),
        memory=measured.memory,
        memory_of="of the GPU, allocated by torch" if device.type == "cuda" else f"resident, {who}",
        disk=_disk(prepared, measured),
        execution=prepared.execution.reason,
    )


def _train(prepared: Prepared, measured: DryRunTimes) -> tuple[str, float]:
    epochs = prepared.config.train.epochs
    per_epoch = prepared.steps // epochs
    seconds = measured.supernet.seconds(epochs, per_epoch) + epochs * measured.curve
    seconds += _saves(prepared.config.resources, seconds, prepared.steps) * measured.save
    return f"{counted(epochs, 'epoch')} of {counted(per_epoch, 'step')}", seconds


def _saves(resources: Resources, seconds: float, steps: int) -> int:
    """Number of checkpoints that a training of given seconds and steps writes, including the last."""
    by_clock = int(seconds / resources.checkpoint_seconds) if resources.checkpoint_seconds else steps
    by_steps = (steps - 1) // resources.checkpoint_steps if resources.checkpoint_steps else 0
    return min(steps, by_clock + by_steps + 1)


def _search(prepared: Prepared, measured: DryRunTimes) -> tuple[str, float]:
    times = measured.search
    sizes = np.array(times.scored)
    places, seconds = zip(*times.per_genome, strict=True)
    per_genome = np.interp(np.arange(len(sizes)), list(places), list(seconds))
    later = times.left * sizes[-10:].mean()  # generations that were not rehearsed are like the last rehearsed ones
    scoring = float(sizes @ per_genome + later * per_genome[-1])
    bookkeeping = times.bookkeeping * (1 + times.left / len(sizes))
    genomes = _genomes_scored(measured)
    generations = counted(prepared.config.search.generations, "generation")
    work = f"{generations}, about {counted(genomes, 'network')} to score"
    config = prepared.config.search
    if not measures_latency(config):
        return work, scoring + bookkeeping
    latency = 60 * config.latency_minutes
    return f"{work}, {config.latency_minutes:g} min of measuring latency", scoring + bookkeeping + latency


def _genomes_scored(measured: DryRunTimes) -> int:
    sizes = np.array(measured.search.scored)
    return round(float(sizes.sum() + measured.search.left * sizes[-10:].mean()))


def _score(measured: DryRunTimes, count: int) -> float:
    """Seconds for scoring a few networks that share little."""
    return count * measured.search.per_genome[0][1]


def _retrain(prepared: Prepared, measured: DryRunTimes) -> tuple[str, float]:
    networks = measured.retrained
    return counted(len(networks), "training"), _side_by_side(prepared, measured, networks)


def _rank(prepared: Prepared, measured: DryRunTimes) -> tuple[str, float]:
    config = prepared.config
    if not measured.studied:
        return "no study", 0.0
    plain = dataclasses.replace(prepared, config=dataclasses.replace(config, retrain=RetrainConfig()))
    done = measured.retrained if config.retrain.recipe == "supernet" else ()  # trained by `retrain`, with seed 0
    seeds = range(config.stand_alone.seeds)
    networks = [genome for genome in measured.studied for seed in seeds if seed > 0 or genome not in done]
    scoring = _score(measured, len(measured.studied))
    trainings = _side_by_side(plain, measured, networks)
    return counted(len(networks), "training"), trainings + scoring + measured.study


def _side_by_side(prepared: Prepared, measured: DryRunTimes, networks: Sequence[Genome]) -> float:
    """Seconds for trainings from scratch in parallel: each process takes the next one when it is done."""
    if not networks:
        return 0.0
    processes = max(1, min(measured.processes, len(networks)))
    table = cost_table(prepared.space)
    ends, known = [0.0] * processes, {}
    for madds in (table(genome).madds for genome in networks):
        if madds not in known:
            known[madds] = _one_training(prepared, measured, madds)
        heapq.heappush(ends, heapq.heappop(ends) + known[madds])
    return max(ends) + (measured.process_start if processes > 1 else 0.0)


def _one_training(prepared: Prepared, measured: DryRunTimes, madds: float) -> float:
    """Seconds for one training, interpolated between measured ones."""
    config, dataset = prepared.config, prepared.dataset
    length = retraining_length(config, dataset)
    images = min(config.train.batch_size, len(dataset.train))
    longer, passes = length.batch_size / images, length.validations - 1  # the last one is one of those at the end
    if config.retrain.recipe == "product":
        longer, passes = longer * measured.product, 2 * length.validations
    validation = len(dataset.validation) / (len(dataset.validation) + len(dataset.test))
    known: dict[int, list[float]] = {}
    for job in measured.jobs:
        times = dataclasses.replace(job.training, step=job.training.step * longer)
        seconds = times.seconds(length.epochs, length.steps // length.epochs)
        seconds += passes * validation * job.scoring
        seconds += _saves(config.resources, seconds, length.steps) * job.save + job.scoring
        known.setdefault(job.madds, []).append(seconds)
    return float(np.interp(madds, sorted(known), [fmean(known[size]) for size in sorted(known)]))


def _export(prepared: Prepared, measured: DryRunTimes) -> tuple[str, float]:
    count, times = len(measured.retrained), measured.export
    work = counted(count, "network")
    if prepared.config.export.int8:  # its accuracy is measured on all images, which was not timed here
        work += ", without the time for int8"
    return work, times.first + (count - 1) * times.next + _score(measured, count)


def _disk(prepared: Prepared, measured: DryRunTimes) -> int:
    """Size of the run directory in bytes.

    A checkpoint exists twice while it is replaced; stand-alone weights include momentum.
    """
    table, exported = cost_table(prepared.space), measured.export
    job = measured.jobs[-1]  # the largest
    per_parameter = 2 * FLOAT
    checkpoints = [
        job.checkpoint + per_parameter * (table(genome).params - job.params) for genome in measured.retrained
    ]
    models = [
        exported.files + per_parameter * (table(genome).params - exported.params) for genome in measured.retrained
    ]
    archive = measured.search.archive * _genomes_scored(measured) / sum(measured.search.scored)
    under_way = 2 * max(1, measured.processes) * job.checkpoint
    logs = prepared.config.train.epochs * LOG_OF_AN_EPOCH
    parts = (2 * measured.checkpoint, sum(checkpoints), under_way, sum(models), archive, logs, measured.report_file)
    return round(sum(parts))


def counted(count: int, noun: str) -> str:
    """Number of things, as text."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
