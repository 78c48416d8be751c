"""The supernet as a judge of genomes, on the run's validation images (paper 3.2)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from fairnas.data import ordered_batches
from fairnas.evaluate import Score, Statistics, score_genomes
from fairnas.nets import Supernet
from fairnas.pipeline.experiment import Experiment
from fairnas.space import Genome
from fairnas.train import Strategy, scoring_statistics


def score_on_validation(
    experiment: Experiment,
    genomes: Sequence[Genome],
    supernet: Supernet | None = None,
    strategy: Strategy | None = None,
) -> list[Mapping[str, float]]:
    """One-shot accuracies on the validation images, by the trained supernet and its strategy, or by the given ones."""
    scores = score(experiment, genomes, validation_batches(experiment), supernet, strategy=strategy)
    return [{"top1": each.top1, "top5": each.top5, "loss": each.loss} for each in scores]


def score(
    experiment: Experiment,
    genomes: Sequence[Genome],
    batches: Iterable[tuple[Tensor, Tensor]],
    supernet: Supernet | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
    strategy: Strategy | None = None,
) -> list[Score]:
    """Scores on some batches, as the run's configuration wants BN treated; `on_progress` counts images."""
    judge = experiment.judge if supernet is None else experiment.judge_of(supernet, strategy=strategy)
    return score_genomes(judge, genomes, batches, on_progress)


def validation_batches(experiment: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that genomes are scored on."""
    images, batch_size = experiment.dataset.validation, experiment.config.evaluate.batch_size
    if statistics_of(experiment) == "batch":
        # batches as equal as can be: a last one of a few images would have poor statistics
        batch_size = math.ceil(len(images) / math.ceil(len(images) / batch_size))
    return ordered_batches(
        images,
        experiment.dataset,
        batch_size=batch_size,
        device=experiment.device,
        workers=experiment.config.resources.loader_workers,
    )


def statistics_of(experiment: Experiment) -> Statistics:
    """The BN statistics that genomes of a run are scored with."""
    return scoring_statistics(experiment.config.train, experiment.config.evaluate.bn)


def evaluation_setting(experiment: Experiment) -> str:
    """What a score depends on: the supernet's weights, the validation images, how BN is treated, and precision."""
    evaluate = experiment.config.evaluate
    drawn = f" drawn for each network from seed {experiment.config.seed}" if evaluate.calibration == "own" else ""
    statistics = {
        "running": "running BN statistics",
        "batch": f"BN statistics of batches of {evaluate.batch_size}",
        "recalibrated": f"BN recalibrated on {evaluate.calibration_images} training images{drawn}",
    }[statistics_of(experiment)]
    identity = f"weights {experiment.weights_digest[:16]}, data {experiment.dataset.fingerprint[:16]}, {statistics}"
    return identity if evaluate.precision == "float32" else f"{identity}, {evaluate.precision}"
