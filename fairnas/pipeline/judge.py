"""The supernet as a judge of genomes, on the run's validation images (paper 3.2)."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from fairnas.data import ordered_batches
from fairnas.evaluate import Statistics, score_genomes
from fairnas.nets import Supernet
from fairnas.pipeline.experiment import Experiment
from fairnas.space import Genome
from fairnas.train import scoring_statistics


def score_on_validation(
    experiment: Experiment, genomes: Sequence[Genome], supernet: Supernet | None = None
) -> list[Mapping[str, float]]:
    """One-shot accuracies on the validation images, with the weights of the trained supernet or of the given one."""
    statistics = statistics_of(experiment)
    images, batch_size = experiment.dataset.validation, experiment.config.evaluate.batch_size
    if statistics == "batch":  # batches as equal as can be: a last one of a few images would have poor statistics
        batch_size = math.ceil(len(images) / math.ceil(len(images) / batch_size))
    batches = ordered_batches(
        images,
        experiment.dataset,
        batch_size=batch_size,
        device=experiment.device,
        workers=experiment.config.resources.loader_workers,
    )
    scores = score_genomes(supernet or experiment.supernet, genomes, batches, statistics=statistics)
    return [{"top1": score.top1, "top5": score.top5, "loss": score.loss} for score in scores]


def statistics_of(experiment: Experiment) -> Statistics:
    """The BN statistics that genomes of a run are scored with."""
    return scoring_statistics(experiment.config.train, experiment.config.evaluate.bn)


def evaluation_setting(experiment: Experiment) -> str:
    """What a score depends on: the supernet's weights, the validation images, and how BN is treated."""
    digest = hashlib.sha256()
    for name, tensor in experiment.supernet.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    statistics = "running BN statistics"
    if statistics_of(experiment) == "batch":
        statistics = f"BN statistics of batches of {experiment.config.evaluate.batch_size}"
    return f"weights {digest.hexdigest()[:16]}, data {experiment.dataset.fingerprint[:16]}, {statistics}"
