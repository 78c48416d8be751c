"""Similarity of the choice blocks of a trained supernet, layer by layer (paper 5; Figures 2, 9, 12, 13, 14).

In the first layer, the paper's, all blocks get the output of the stem. What later layers get depends on the choices
before them; the paper says nothing about those, and we take several random paths, or one that is given.

BN normalises as genomes of the run are scored: by running statistics, those of the first validation batch, or those of
the calibration images, the latter two found anew for every prefix and block. The untrained supernet, the zero point,
has no running statistics yet; it always normalises by validation images.

Where the strategy makes the weights of each network, blocks have none of their own: what lies in the supernet was never
trained, or was written for some other network. There is nothing to compare then.
"""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairnas.analysis.similarity import FeatureMapsError, layer_similarity
from fairnas.data import ordered_batches
from fairnas.data.decode import CorruptImageError, quiet_pillow, read_square
from fairnas.data.images import Images, ResidentImages
from fairnas.errors import ConfigError, DataError
from fairnas.evaluate import EvaluationCopy, Statistics
from fairnas.evaluate.maps import block_maps
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.pipeline.calibration import CalibrationImages
from fairnas.pipeline.experiment import Experiment, Narrator
from fairnas.pipeline.judge import statistics_of, validation_batches
from fairnas.randomness import generator
from fairnas.report.similarity import (
    Alikeness,
    DrawnLayer,
    Growth,
    LayerAlikeness,
    Similarity,
    SupernetAlikeness,
    as_numbers,
    summary_numbers,
)
from fairnas.report.similarity_page import render_similarity
from fairnas.report.similarity_plates import draw_layer, draw_overview
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import new_supernet
from fairnas.writing import write_atomically

_FEW = 32
"""Images that BN normalises by in the untrained supernet, and, unless by running statistics, while one trains."""
_FOLLOWED, _FOLLOWED_IMAGES = "similarity/", 4
"""How similarity is called in the record of a training, and the validation images it is followed on, along one path."""


@dataclass(frozen=True)
class Look:
    """What is looked at."""

    image: Path | None = None
    """An image file; None takes validation images."""
    images: int = 8
    """How many of them."""
    paths: int = 4
    """Random paths up to a layer."""
    path: str | None = None
    """One path, instead."""
    layers: tuple[int, ...] = (0,)
    """Drawn one by one; all are measured."""
    against: Path | None = None
    """Another run of the same space, beside this one."""
    command: str = ""
    """What the user typed."""

    def check(self) -> None:
        """Raise `ConfigError` for numbers out of range."""
        for flag, value in (("--images", self.images), ("--paths", self.paths)):
            if value < 1:
                raise ConfigError(f"{flag} is {value}; give 1 or more")


def measure_similarity(path: Path, out: Path, look: Look, narrator: Narrator) -> dict[str, Any]:
    """Measure, draw, write page, numbers and plates, and return the numbers.

    Raises:
        RunDirectoryError: if there is no run, or its supernet is not trained.
        CheckpointError: if its weights are not numbers.
        DataError: if the image cannot be read.
        ConfigError: if a layer or path does not exist, the other run has another space, or blocks of either run have
            no weights of their own.
    """
    look.check()
    with contextlib.ExitStack() as held:
        experiment = _opened(path, held, narrator)
        other = _opened(look.against, held, narrator) if look.against else None
        if other is not None:
            _require_same_blocks(experiment, other)
        space = experiment.space
        _require_layers(look.layers, space)
        images = _images(experiment, look)
        paths = _paths(experiment, look)
        supernets = [("trained", experiment, experiment.supernet), ("untrained", experiment, _untrained(experiment))]
        if other is not None:
            supernets.append(("against", other, other.supernet))
        narrator.stage(1, 1, "compare the feature maps of all blocks", "")
        measured: dict[str, SupernetAlikeness] = {}
        drawn: dict[str, dict[int, DrawnLayer]] = {}
        for number, (name, whose, supernet) in enumerate(supernets):
            narrator.progress(number, len(supernets), f"{name} supernet")
            normalised = _Statistics("batch", _FEW) if name == "untrained" else _Statistics(statistics_of(whose))
            measured[name], drawn[name] = _measured(whose, supernet, images, paths, normalised, look.layers)
        narrator.progress(len(supernets), len(supernets), "drawing")
        similarity = Similarity(
            run=path.resolve().name,
            against=look.against.resolve().name if look.against else None,
            trainings={name: _training_in_words(whose) for name, whose, _ in supernets if name != "untrained"},
            space=space.name,
            data=experiment.dataset.name,
            labels=tuple(tuple(block.label for block in layer.choices) for layer in space.layers),
            image=look.image.name if look.image else None,
            images=len(images),
            paths=tuple(format_genome(genome) for genome in paths),
            statistics=statistics_in_words(experiment),
            supernets=measured,
            growth=read_growth(experiment.run, space.depth),
            drawn=drawn["trained"],
            drawn_against=drawn.get("against", {}),
            command=look.command,
        )
        experiment.run.write_json("similarity.json", summary_numbers(similarity))
    plates = [file for layer in similarity.drawn.values() for file in draw_layer(out, layer, similarity)]
    plates += draw_overview(out, similarity)
    numbers = as_numbers(similarity) | {"plates": [file.name for file in plates]}
    write_atomically(out / "similarity.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "similarity.html", render_similarity(similarity).encode())
    return numbers | {"page": str(out / "similarity.html")}


def is_followed(epoch: int, epochs: int) -> bool:
    """Whether similarity is recorded after an epoch: 1, 2, 3, 4, 6, 8, 12, 16, ... and the last.

    It grows fast at first, and so few epochs cost a training less than a hundredth of its time.
    """
    odd = epoch // (epoch & -epoch)
    return epoch == epochs or odd == 1 or odd == 3


def followed_similarity(experiment: Experiment, supernet: Supernet) -> Mapping[str, float]:
    """Per layer, the mean cosine across blocks on the same channel, for the record of a training.

    Nothing where feature maps are no numbers: a training that diverges is reported by its loss. Nothing either where
    blocks have no weights of their own.
    """
    if experiment.has_own_networks:
        return {}
    look, normalised = Look(images=_FOLLOWED_IMAGES, paths=1), _Statistics(statistics_of(experiment), _FEW)
    try:
        found, _ = _measured(experiment, supernet, _images(experiment, look), _paths(experiment, look), normalised)
    except FeatureMapsError:
        return {}
    means = {each.layer: each.whole.aligned.mean for each in found.layers}
    return {f"{_FOLLOWED}{layer}": mean for layer, mean in means.items() if not math.isnan(mean)}


def read_growth(run: RunDirectory, layers: int) -> tuple[Growth, ...]:
    """What `followed_similarity` gave while a run was trained, as far as the run recorded it."""
    return tuple(
        Growth(int(row["epoch"]), tuple(float(row.get(f"{_FOLLOWED}{layer}", math.nan)) for layer in range(layers)))
        for row in run.metrics("train")
        if any(key.startswith(_FOLLOWED) for key in row)
    )


def _opened(path: Path, held: contextlib.ExitStack, narrator: Narrator) -> Experiment:
    run = RunDirectory.open(path)
    run.require_finished("train")
    held.enter_context(run.locked())
    experiment = Experiment(run, narrator)
    if experiment.has_own_networks:
        raise ConfigError(
            f"{path} was trained by '{run.config.train.strategy}', which makes weights for each network, so the "
            "supernet's blocks have none of their own to compare; give a run of another strategy"
        )
    return experiment


def _require_same_blocks(experiment: Experiment, other: Experiment) -> None:
    ours, theirs = (
        dataclasses.replace(each.space, num_classes=1, name="compared", source="") for each in (experiment, other)
    )
    if ours != theirs:
        raise ConfigError(
            f"--against {other.run.path} has space '{other.space.name}', {experiment.run.path} has "
            f"'{experiment.space.name}', or their images differ in size; give a run with the same blocks and images"
        )


def _require_layers(layers: Sequence[int], space: SearchSpace) -> None:
    for layer in layers:
        if not 0 <= layer < space.depth:
            raise ConfigError(f"--layers names {layer}; space '{space.name}' has layers 0 to {space.depth - 1}")


def _untrained(experiment: Experiment) -> Supernet:
    """The supernet as its training found it."""
    config = experiment.config
    return new_supernet(experiment.space, config.train, config.seed).to(experiment.device).eval()


def _images(experiment: Experiment, look: Look) -> ResidentImages:
    """The pixels to look at, as squares of the size that the run's data have."""
    dataset = experiment.dataset
    size = dataset.image_size
    if look.image is None:
        workers = experiment.config.resources.loader_workers
        places = np.arange(min(look.images, len(dataset.validation)))
        pixels, labels = next(iter(dataset.validation.batches([(0, places)], None, torch.device("cpu"), workers)))
        return ResidentImages(pixels, labels, size)
    if not look.image.is_file():
        raise DataError(f"there is no image file {look.image}; give another --image, or leave it out")
    try:
        with quiet_pillow():
            pixels, _ = read_square(str(look.image), dataset.decoding)
    except CorruptImageError as error:
        raise DataError(f"the image {look.image} cannot be decoded: {error}; give another --image") from None
    return ResidentImages(torch.from_numpy(pixels.copy())[None], torch.zeros(1, dtype=torch.int64), size)


def _paths(experiment: Experiment, look: Look) -> tuple[Genome, ...]:
    if look.path is not None:
        return (experiment.space.parse(look.path),)
    rng = generator(experiment.config.seed, "similarity paths")
    return tuple(experiment.space.sample(rng) for _ in range(look.paths))


@dataclass(frozen=True)
class _Statistics:
    """What BN normalises by."""

    kind: Statistics
    most: int | None = None
    """Images that are not running statistics are taken from; default: as many as for scoring genomes."""

    def companions(self, experiment: Experiment) -> Tensor | None:
        """These images."""
        config = experiment.config
        if self.kind == "running":
            return None
        if self.kind == "batch":
            return next(validation_batches(experiment))[0][: self.most]
        wanted = min(config.evaluate.calibration_images, self.most or config.evaluate.calibration_images)
        workers = config.resources.loader_workers
        return CalibrationImages(experiment.dataset, wanted, config.seed, experiment.device, workers).shared()


def _measured(
    experiment: Experiment,
    supernet: Supernet,
    pixels: Images,
    paths: Sequence[Genome],
    normalised: _Statistics,
    drawn: Sequence[int] = (),
) -> tuple[SupernetAlikeness, dict[int, DrawnLayer]]:
    """Every layer of a supernet; for those that are drawn, matrices and feature maps, too."""
    companions = normalised.companions(experiment)
    copied = EvaluationCopy(supernet, "running" if companions is None else "batch")
    batches = ordered_batches(pixels, experiment.dataset, batch_size=len(pixels), device=experiment.device)
    images = next(batches)[0]
    rows, plates = [], {}
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
            LayerAlikeness(layer, Alikeness.of(found), Alikeness.of(layer_similarity(added)) if added else None)
        )
        if layer in drawn:
            plates[layer] = DrawnLayer(layer, found, wholes[0])
    return SupernetAlikeness(tuple(rows)), plates


def statistics_in_words(experiment: Experiment) -> str:
    """By what BN normalises the trained supernet."""
    wanted = experiment.config.evaluate.calibration_images
    return {
        "running": "running statistics",
        "batch": "the statistics of the first validation batch",
        "recalibrated": f"statistics of {wanted:,} training images, found for every path",
    }[statistics_of(experiment)]


def _training_in_words(experiment: Experiment) -> str:
    train, run = experiment.config.train, experiment.run
    passes = Ledger.from_dict(run.read_json("ledger.json")).audit().backward_passes
    return f"{train.strategy}, {train.epochs} epochs, {passes:,} backward passes, seed {experiment.config.seed}"
