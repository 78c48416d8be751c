"""Stage one of a run: the supernet and its ledger."""

import statistics
from collections.abc import Mapping

from fairnas.data import ordered_batches
from fairnas.evaluate import score_genomes
from fairnas.pipeline.experiment import Experiment
from fairnas.randomness import generator
from fairnas.train import Pace, supernet_training
from fairnas.train import train as run_training

CURVE_GENOMES = 12
"""Random genomes whose mean accuracy is followed over the epochs (Figure 1, top)."""


def train(experiment: Experiment) -> tuple[str, ...]:
    """Train the supernet, going on from its checkpoint; write the ledger."""
    config, run, dataset = experiment.config, experiment.run, experiment.dataset
    training = supernet_training(experiment.space, config.train, config.seed, experiment.device)
    rng = generator(config.seed, "curve genomes")
    followed = [experiment.space.sample(rng) for _ in range(CURVE_GENOMES)]

    def on_epoch(epoch: int, step: int, values: Mapping[str, float]) -> None:
        batches = ordered_batches(
            dataset.validation,
            dataset,
            batch_size=config.search.batch_size,
            device=experiment.device,
            workers=config.resources.loader_workers,
        )
        accuracies = [score.top1 for score in score_genomes(training.network, followed, batches)]
        curve = {
            "one_shot_top1_mean": statistics.fmean(accuracies),
            "one_shot_top1_std": statistics.pstdev(accuracies),
        }
        run.append_metrics("train", step, {**values, **curve})

    pace = Pace(
        checkpoint=run.path / "supernet" / "checkpoint.pt",
        identity=experiment.identity,
        seconds=config.resources.checkpoint_seconds,
        steps=config.resources.checkpoint_steps,
        on_progress=experiment.narrator.progress,
        on_resume=lambda step: run.rewind_metrics("train", step),
        on_epoch=on_epoch,
        stop=experiment.stop,
        loader_workers=config.resources.loader_workers,
    )
    run_training(training, dataset, config.train, config.seed, pace)
    run.write_json("ledger.json", training.ledger.to_dict())
    return ("supernet/checkpoint.pt", "ledger.json", "space.json", "data.json")
