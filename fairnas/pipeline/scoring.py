"""Scores of genomes by the supernet, on the run's validation images (paper 3.2)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from fairnas.data import ordered_batches
from fairnas.evaluate import Score, Statistics, score_genomes
from fairnas.nets import Supernet
from fairnas.pipeline.experiment import Experiment
from fairnas.space import Genome
from fairnas.train import Strategy, scoring_statistics

MEASURES = ("top1", "balanced_accuracy", "top5", "loss", "balanced_loss")
"""Measures kept of every score: all of them, so that an archive serves searches with any measure."""


def score_on_validation(
    experiment: Experiment,
    genomes: Sequence[Genome],
    supernet: Supernet | None = None,
    strategy: Strategy | None = None,
) -> list[Mapping[str, float]]:
    """One-shot scores on the validation images, by the trained supernet and its strategy, or by the given ones."""
    scores = score(experiment, genomes, validation_batches(experiment), supernet, strategy=strategy)
    return [{name: getattr(each, name) for name in MEASURES} for each in scores]


def score(
    experiment: Experiment,
    genomes: Sequence[Genome],
    batches: Iterable[tuple[Tensor, Tensor]],
    supernet: Supernet | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
    strategy: Strategy | None = None,
) -> list[Score]:
    """Scores on some batches, with BN as configured; `on_progress` counts images."""
    scorer = experiment.scorer if supernet is None else experiment.make_scorer(supernet, strategy=strategy)
    return score_genomes(scorer, genomes, batches, on_progress)


def validation_batches(experiment: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches that genomes are scored on."""
    return ordered_batches(
        experiment.dataset.validation,
        experiment.dataset,
        batch_size=experiment.config.evaluate.batch_size,
        # a small last batch would have poor statistics, and a single image none
        equal=statistics_of(experiment) == "batch",
        device=experiment.device,
    )


def statistics_of(experiment: Experiment) -> Statistics:
    """BN statistics with which genomes of a run are scored."""
    return scoring_statistics(experiment.config.train, experiment.config.evaluate.bn)


def evaluation_setting(experiment: Experiment) -> str:
    """Everything that a score depends on: the supernet's weights, the validation images, BN statistics, and precision.

    It does not contain the measure of accuracy, because scores include every measure by name.
    """
    evaluate, precision = experiment.config.evaluate, experiment.config.evaluate.precision
    drawn = f" drawn for each network from seed {experiment.config.seed}" if evaluate.calibration == "own" else ""
    statistics = {
        "running": "running BN statistics",
        "batch": f"BN statistics of batches of {_batch_sizes(experiment)}",
        "recalibrated": f"BN recalibrated on {evaluate.calibration_images} training images{drawn}",
    }[statistics_of(experiment)]
    images = f"data {experiment.dataset.fingerprint[:16]} class by class"
    identity = f"weights {experiment.weights_digest[:16]}, {images}, {statistics}"
    if precision == "float32":
        return f"{identity}, in single precision" if experiment.device.type == "cuda" else identity
    return f"{identity}, {precision}" + (" but for the classifier" if experiment.has_own_networks else "")


def _batch_sizes(experiment: Experiment) -> str:
    """Sizes of the batches that statistics come from; if they are all equal, the largest allowed size.

    The latter keeps scores in existing archives valid: equal batches were always cut in this way.
    """
    images, most = len(experiment.dataset.validation), experiment.config.evaluate.batch_size
    size, larger = divmod(images, math.ceil(images / most))
    return f"{size + 1} and {size}" if larger else f"{most}"
