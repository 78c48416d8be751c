"""Similarity study of the paper's section 5 (Figures 2, 9, 12, 13, 14): measurement, plots, page and numbers.

If a strategy generates the weights of each network, blocks have none of their own: the weights in the supernet were
never trained, or written for another network. Then there is nothing to compare.
"""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.errors import ConfigError
from fairnas.fairness import read_ledger
from fairnas.nets import Supernet
from fairnas.paper.similarity_page import render_similarity
from fairnas.paper.similarity_plots import draw_layer, draw_overview
from fairnas.pipeline.block_similarity import (
    FEW_IMAGES,
    NormalisationStatistics,
    SimilarityOptions,
    compare_blocks,
    images_to_compare,
    paths_to_compare,
    read_growth,
)
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import statistics_of
from fairnas.progress import Narrator
from fairnas.report.similarity import DrawnLayer, Similarity, SupernetStats, as_numbers, summary_numbers
from fairnas.rundir import RunDirectory
from fairnas.space import SearchSpace, format_genome
from fairnas.train import new_supernet


def measure_similarity(path: Path, out: Path, options: SimilarityOptions, narrator: Narrator) -> dict[str, Any]:
    """Measure, draw, write page, numbers and plots, and return the numbers.

    Raises:
        RunDirectoryError: if there is no run, or its supernet is not trained.
        CheckpointError: if its weights are not numbers.
        DataError: if the image cannot be read.
        ConfigError: if a layer or path does not exist, the other run has another space, or blocks of either run have
            no weights of their own.
    """
    options.check()
    with contextlib.ExitStack() as held:
        experiment = _opened(path, held, narrator)
        other = _opened(options.against, held, narrator) if options.against else None
        if other is not None:
            _require_same_blocks(experiment, other)
        space = experiment.space
        _require_layers(options.layers, space)
        images = images_to_compare(experiment, options)
        paths = paths_to_compare(experiment, options)
        supernets = [("trained", experiment, experiment.supernet), ("untrained", experiment, _untrained(experiment))]
        if other is not None:
            supernets.append(("against", other, other.supernet))
        narrator.stage(1, 1, "compare the feature maps of all blocks", "")
        measured: dict[str, SupernetStats] = {}
        drawn: dict[str, dict[int, DrawnLayer]] = {}
        for number, (name, whose, supernet) in enumerate(supernets):
            narrator.progress(number, len(supernets), f"{name} supernet")
            normalised = (
                NormalisationStatistics("batch", FEW_IMAGES)
                if name == "untrained"
                else NormalisationStatistics(statistics_of(whose))
            )
            measured[name], drawn[name] = compare_blocks(whose, supernet, images, paths, normalised, options.layers)
        narrator.progress(len(supernets), len(supernets), "drawing")
        similarity = Similarity(
            run=path.resolve().name,
            against=options.against.resolve().name if options.against else None,
            trainings={name: _training_in_words(whose) for name, whose, _ in supernets if name != "untrained"},
            space=space.name,
            data=experiment.dataset.name,
            labels=tuple(tuple(block.label for block in layer.choices) for layer in space.layers),
            image=options.image.name if options.image else None,
            images=len(images),
            paths=tuple(format_genome(genome) for genome in paths),
            statistics=statistics_in_words(experiment),
            supernets=measured,
            growth=read_growth(experiment.run, space.depth),
            drawn=drawn["trained"],
            drawn_against=drawn.get("against", {}),
            command=options.command,
        )
        experiment.run.write_json("similarity.json", summary_numbers(similarity))
    plots = [file for layer in similarity.drawn.values() for file in draw_layer(out, layer, similarity)]
    plots += draw_overview(out, similarity)
    numbers = as_numbers(similarity) | {"plates": [file.name for file in plots]}
    write_atomically(out / "similarity.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "similarity.html", render_similarity(similarity).encode())
    return numbers | {"page": str(out / "similarity.html")}


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
    """Supernet with its initial weights."""
    config = experiment.config
    return new_supernet(experiment.space, config.train, config.seed).to(experiment.device).eval()


def statistics_in_words(experiment: Experiment) -> str:
    """Statistics that BN uses in the trained supernet, as text."""
    wanted = experiment.config.evaluate.calibration_images
    return {
        "running": "running statistics",
        "batch": "the statistics of the first validation batch",
        "recalibrated": f"statistics of {wanted:,} training images, found for every path",
    }[statistics_of(experiment)]


def _training_in_words(experiment: Experiment) -> str:
    train, run = experiment.config.train, experiment.run
    passes = read_ledger(run).audit().backward_passes
    return f"{train.strategy}, {train.epochs} epochs, {passes:,} backward passes, seed {experiment.config.seed}"
