"""Similarity of the choice blocks of a trained supernet, layer by layer (paper 5; Figures 2, 9, 12, 13, 14).

In the first layer, which the paper shows, all blocks get the output of the stem. The input of later layers depends on
the choices before them; the paper does not describe this case, and we use several random paths, or a given one.

BN uses the statistics by which genomes of the run are scored: running statistics, those of the first validation batch,
or those of the calibration images; the latter two are computed for every prefix and block. The untrained supernet, the
reference, has no running statistics yet and always uses validation images.

If the strategy generates the weights of each network, blocks have none of their own: the weights in the supernet were
never trained, or written for another network. Then there is nothing to compare.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fairnas.analysis.similarity import FeatureMapsError, layer_similarity
from fairnas.data import ordered_batches
from fairnas.data.decode import quiet_pillow, read_square
from fairnas.data.formats import CorruptImageError
from fairnas.data.images import Images, ResidentImages
from fairnas.errors import ConfigError, DataError
from fairnas.evaluate import EvaluationCopy, Statistics
from fairnas.evaluate.maps import block_maps
from fairnas.nets import Supernet
from fairnas.pipeline.calibration import CalibrationImages
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import statistics_of, validation_batches
from fairnas.randomness import generator
from fairnas.report.similarity import DrawnLayer, Growth, LayerStats, SimilarityStats, SupernetStats
from fairnas.rundir import RunDirectory
from fairnas.space import Genome

FEW_IMAGES = 32
"""Number of images for BN statistics in the untrained supernet and, unless running statistics are used, during
training.
"""
_FOLLOWED, _FOLLOWED_IMAGES = "similarity/", 4
"""Prefix of the metric recorded in a training, and number of validation images, along one path, that it is measured on.
"""


@dataclass(frozen=True)
class SimilarityOptions:
    """Settings of a comparison."""

    image: Path | None = None
    """Image file; None uses validation images."""
    images: int = 8
    """Number of validation images."""
    paths: int = 4
    """Number of random paths up to a layer."""
    path: str | None = None
    """Single path to use instead of random ones."""
    layers: tuple[int, ...] = (0,)
    """Layers that get figures of their own; all layers are measured."""
    against: Path | None = None
    """Second run of the same space, to compare with."""
    command: str = ""
    """Command that the user typed."""

    def check(self) -> None:
        """Raise `ConfigError` for numbers out of range."""
        for flag, value in (("--images", self.images), ("--paths", self.paths)):
            if value < 1:
                raise ConfigError(f"{flag} is {value}; give 1 or more")


def is_followed(epoch: int, epochs: int) -> bool:
    """True if similarity is recorded after an epoch: 1, 2, 3, 4, 6, 8, 12, 16, ... and the last.

    Similarity grows fast at first, and recording it after so few epochs costs a training less than 1 % of its time.
    """
    odd = epoch // (epoch & -epoch)
    return epoch == epochs or odd == 1 or odd == 3


def followed_similarity(experiment: Experiment, supernet: Supernet) -> Mapping[str, float]:
    """Mean cosine between blocks on the same channel, per layer, for the record of a training.

    Empty if feature maps are not finite, because a diverging training is reported by its loss, and if blocks have no
    weights of their own.
    """
    if experiment.has_own_networks:
        return {}
    options, normalised = (
        SimilarityOptions(images=_FOLLOWED_IMAGES, paths=1),
        NormalisationStatistics(statistics_of(experiment), FEW_IMAGES),
    )
    try:
        found, _ = compare_blocks(
            experiment,
            supernet,
            images_to_compare(experiment, options),
            paths_to_compare(experiment, options),
            normalised,
        )
    except FeatureMapsError:
        return {}
    means = {each.layer: each.whole.aligned.mean for each in found.layers}
    return {f"{_FOLLOWED}{layer}": mean for layer, mean in means.items() if not math.isnan(mean)}


def read_growth(run: RunDirectory, layers: int) -> tuple[Growth, ...]:
    """Read the results of `followed_similarity` during a run's training, as far as they were recorded."""
    return tuple(
        Growth(int(row["epoch"]), tuple(float(row.get(f"{_FOLLOWED}{layer}", math.nan)) for layer in range(layers)))
        for row in run.recorded_metrics("train")
        if any(key.startswith(_FOLLOWED) for key in row)
    )


def images_to_compare(experiment: Experiment, options: SimilarityOptions) -> ResidentImages:
    """Pixels to compare, as squares of the size of the run's data."""
    dataset = experiment.dataset
    size = dataset.image_size
    if options.image is None:
        places = np.arange(min(options.images, len(dataset.validation)))
        pixels, labels = next(iter(dataset.validation.batches([(0, places)], None, torch.device("cpu"))))
        return ResidentImages(pixels, labels, size)
    if not options.image.is_file():
        raise DataError(f"there is no image file {options.image}; give another --image, or leave it out")
    try:
        with quiet_pillow():
            pixels, _ = read_square(str(options.image), dataset.decoding)
    except CorruptImageError as error:
        raise DataError(f"the image {options.image} cannot be decoded: {error}; give another --image") from None
    return ResidentImages(torch.from_numpy(pixels.copy())[None], torch.zeros(1, dtype=torch.int64), size)


def paths_to_compare(experiment: Experiment, options: SimilarityOptions) -> tuple[Genome, ...]:
    """Paths up to each layer: the given one, or random ones."""
    if options.path is not None:
        return (experiment.space.parse(options.path),)
    rng = generator(experiment.config.seed, "similarity paths")
    return tuple(experiment.space.sample(rng) for _ in range(options.paths))


@dataclass(frozen=True)
class NormalisationStatistics:
    """Statistics that BN uses."""

    kind: Statistics
    most: int | None = None
    """Largest number of images for statistics other than running ones; default: as many as for scoring genomes."""

    def companions(self, experiment: Experiment) -> Tensor | None:
        """Images for the statistics; None for running statistics."""
        config = experiment.config
        if self.kind == "running":
            return None
        if self.kind == "batch":
            return next(validation_batches(experiment))[0][: self.most]
        wanted = min(config.evaluate.calibration_images, self.most or config.evaluate.calibration_images)
        return CalibrationImages(experiment.dataset, wanted, config.seed, experiment.device).shared()


def compare_blocks(
    experiment: Experiment,
    supernet: Supernet,
    pixels: Images,
    paths: Sequence[Genome],
    normalised: NormalisationStatistics,
    drawn: Sequence[int] = (),
) -> tuple[SupernetStats, dict[int, DrawnLayer]]:
    """Compare the blocks of every layer of a supernet; for drawn layers also return matrices and feature maps."""
    companions = normalised.companions(experiment)
    copied = EvaluationCopy(supernet, "running" if companions is None else "batch")
    batches = ordered_batches(pixels, experiment.dataset, batch_size=len(pixels), device=experiment.device)
    images = next(batches)[0]
    rows, plots = [], {}
    walk = block_maps(copied, images, paths, range(experiment.space.depth), companions)
    for layer, group in itertools.groupby(walk, key=lambda maps: maps.layer):
        wholes: list[np.ndarray] = []
        added: list[np.ndarray] = []
        for maps in group:
            wholes += list(maps.outputs.transpose(0, 1).numpy())
            if maps.shortcut is not None:
                added += list((maps.outputs - maps.shortcut).transpose(0, 1).numpy())
        found = layer_similarity(wholes)
        rows.append(
            LayerStats(layer, SimilarityStats.of(found), SimilarityStats.of(layer_similarity(added)) if added else None)
        )
        if layer in drawn:
            plots[layer] = DrawnLayer(layer, found, wholes[0])
    return SupernetStats(tuple(rows)), plots
