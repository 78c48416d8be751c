"""The supernet as a judge of genomes, on the run's validation images (paper 3.2)."""

import hashlib
from collections.abc import Mapping, Sequence

from fairnas.data import ordered_batches
from fairnas.evaluate import score_genomes
from fairnas.nets import Supernet
from fairnas.pipeline.experiment import Experiment
from fairnas.space import Genome


def score_on_validation(
    experiment: Experiment, genomes: Sequence[Genome], supernet: Supernet | None = None
) -> list[Mapping[str, float]]:
    """One-shot accuracies on the validation images, with the weights of the trained supernet or of the given one."""
    batches = ordered_batches(
        experiment.dataset.validation,
        experiment.dataset,
        batch_size=experiment.config.search.batch_size,
        device=experiment.device,
        workers=experiment.config.resources.loader_workers,
    )
    scores = score_genomes(supernet or experiment.supernet, genomes, batches)
    return [{"top1": score.top1, "top5": score.top5, "loss": score.loss} for score in scores]


def evaluation_setting(experiment: Experiment) -> str:
    """What a score depends on: the supernet's weights, the validation images, and how BN is treated."""
    digest = hashlib.sha256()
    for name, tensor in experiment.supernet.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"weights {digest.hexdigest()[:16]}, data {experiment.dataset.fingerprint[:16]}, running BN statistics"
