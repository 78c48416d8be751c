"""Stage one of a run: the supernet and its ledger."""

import platform
import statistics
from collections.abc import Callable, Mapping
from typing import get_args

import torch

from fairnas.config import Measure
from fairnas.pipeline.block_similarity import followed_similarity, is_followed
from fairnas.pipeline.experiment import Experiment, pick_device
from fairnas.pipeline.metrics_log import MetricsLog
from fairnas.pipeline.prepare import Prepared
from fairnas.pipeline.scoring import score_on_validation
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace
from fairnas.train import LoopOptions, supernet_training, training_steps
from fairnas.train import train as run_training
from fairnas.versions import installed_versions

CURVE_GENOMES = 12
"""Number of random genomes whose mean accuracy is measured over the epochs (Figure 1, top)."""


def train(experiment: Experiment) -> tuple[str, ...]:
    """Train the supernet, resuming from its checkpoint; write the ledger."""
    config, run, dataset = experiment.config, experiment.run, experiment.dataset
    training = supernet_training(
        experiment.space, config.train, config.seed, experiment.device, config.resources, experiment.group
    )
    experiment.group.stop = experiment.stop
    followed = curve_genomes(experiment.space, config.seed)
    per_epoch = training_steps(training.images(dataset), config.train, training.batches_per_step)
    first, taken, total = 0, 0, config.train.epochs * per_epoch

    with MetricsLog(run, "train") as metrics_log:

        def on_epoch(epoch: int, step: int, values: Mapping[str, float]) -> None:
            scores = score_on_validation(experiment, followed, training.network, training.strategy)
            curve: dict[str, float] = {}
            for measure in get_args(Measure):
                accuracies = [score[measure] for score in scores]
                curve[f"one_shot_{measure}_mean"] = statistics.fmean(accuracies)
                curve[f"one_shot_{measure}_std"] = statistics.pstdev(accuracies)
            training.seal_ledger()
            curve["updates_gini"], curve["gradient_gini"] = training.ledger.unevenness()
            alike = is_followed(epoch, config.train.epochs)
            similarity = followed_similarity(experiment, training.network) if alike else {}
            metrics_log.record(step, {**values, **curve, **similarity})

        def begun(step: int) -> None:
            nonlocal first
            first = step
            metrics_log.rewind(step)

        def stop() -> bool:
            nonlocal taken
            taken += 1
            experiment.watch.seen(taken, total, first)
            return experiment.stop()

        longer = experiment.longer_identities_of(config.train, "train.epochs")
        options = LoopOptions(
            checkpoint=run.path / "supernet" / "checkpoint.pt",
            identity=experiment.identity,
            legacy_identities=longer,
            seconds=config.resources.checkpoint_seconds,
            steps=config.resources.checkpoint_steps,
            on_progress=experiment.narrator.progress,
            on_resume=begun,
            on_epoch=on_epoch,
            stop=stop,
        )
        run_training(training, dataset, config.train, config.seed, options, experiment.group)
    run.write_json("ledger.json", training.ledger.to_dict())
    run.write_json("versions.json", {**installed_versions(), "device": device_name(experiment.device)})
    return ("supernet/checkpoint.pt", "ledger.json", "space.json", "data.json", "versions.json")


def curve_genomes(space: SearchSpace, seed: int) -> list[Genome]:
    """Genomes of the accuracy curve."""
    rng = generator(seed, "curve genomes")
    return [space.sample(rng) for _ in range(CURVE_GENOMES)]


def follow(prepared: Prepared, stop: Callable[[], bool]) -> None:
    """Train the supernet as one of the other processes of a group, which write no files and print nothing."""
    config, group = prepared.config, prepared.group
    device = pick_device(config.resources.device)
    training = supernet_training(prepared.space, config.train, config.seed, device, config.resources, group)
    group.stop = stop
    options = LoopOptions(
        seconds=config.resources.checkpoint_seconds,
        steps=config.resources.checkpoint_steps,
        # called in the first process, whose ledger is compared with those of the others
        on_epoch=lambda epoch, step, values: training.seal_ledger(),
    )
    run_training(training, prepared.dataset, config.train, config.seed, options, group)


def device_name(device: torch.device) -> str:
    """Name of the device for people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
