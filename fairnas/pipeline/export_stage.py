"""Last stages: export of networks, and the report."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import torch

import fairnas
from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.data import ordered_batches
from fairnas.errors import RunDirectoryError
from fairnas.export import Aim, ExportReport, Preprocessing, Product, Quantisation, export_product
from fairnas.export.facts import INT8, ONNX
from fairnas.export.int8 import Batches
from fairnas.nets import StandAlone, build, cost
from fairnas.pipeline.calibration import CalibrationImages
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.retrain_stage import retrain_context, retrained_genomes
from fairnas.pipeline.scoring import score_on_validation
from fairnas.pipeline.search_stage import read_search
from fairnas.pipeline.training_job import Job
from fairnas.report import write_report
from fairnas.scores import NetworkScore
from fairnas.space import Genome, format_genome
from fairnas.train import read_checkpoint


def export(experiment: Experiment) -> tuple[str, ...]:
    """Export every retrained network. Unchanged earlier exports are left alone."""
    genomes = retrained_genomes(experiment)
    scores = score_on_validation(experiment, genomes)
    files: list[str] = []
    for number, (genome, score) in enumerate(zip(genomes, scores, strict=True)):
        experiment.narrator.progress(number, len(genomes), format_genome(genome))
        if experiment.stop():
            raise KeyboardInterrupt
        files += export_network(experiment, genome, score)
    experiment.narrator.progress(len(genomes), len(genomes), "")
    return tuple(files)


def export_network(experiment: Experiment, genome: Genome, one_shot: Mapping[str, float]) -> tuple[str, ...]:
    """Export one retrained network, with its one-shot accuracy by every measure.

    A network whose training diverged is skipped, with a message.
    """
    job_context, job = retrain_context(experiment), Job(genome, 0, True)
    result = job_context.finished(job)
    if result is None:
        raise RunDirectoryError(
            f"{format_genome(genome)} has no trained weights; `fairnas retrain --run {experiment.run.path}` makes them"
        )
    if result.validation is None or result.test is None:
        experiment.narrator.say(f"{format_genome(genome)} is not exported: its training diverged")
        return ()
    network = build(experiment.space, genome)
    network.load_state_dict(read_checkpoint(job_context.weights_path(job), "stand-alone network")["network"])
    measures = {"test_top5": result.test.top5}
    for name in get_args(Measure):
        measures[f"one_shot_{name}"] = one_shot[name]
        measures[f"validation_{name}"] = result.validation.accuracy(name)
        measures[f"test_{name}"] = result.test.accuracy(name)
    product = product_of(experiment, network, measures, aims_of(experiment, genome, one_shot), result.test)
    folder = experiment.run.path / "models" / format_genome(genome)
    report = export_product(folder, product, quantisation_of(experiment))
    experiment.narrator.say(export_line(product.genome, report))
    return tuple(f"models/{format_genome(genome)}/{name}" for name in report.facts.files)


def product_of(
    experiment: Experiment,
    network: StandAlone,
    measures: Mapping[str, float],
    aims: tuple[Aim, ...] = (),
    test: NetworkScore | None = None,
) -> Product:
    """Return a trained network of a run with the facts its users need; `test` counts its test images by class."""
    dataset, config = experiment.dataset, experiment.config
    return Product(
        network=network.eval(),
        classes=dataset.classes,
        preprocessing=Preprocessing(
            dataset.image_size, dataset.image_channels, dataset.mean, dataset.std, dataset.fit, dataset.value_range
        ),
        measures=measures,
        provenance={
            "fairnas": fairnas.__version__,
            "recipe": config.recipe,
            "strategy": config.train.strategy,
            **({"balance": config.train.balance} if config.train.balance != "none" else {}),
            **({"measure": ACCURACY_WORDS[config.measure]} if config.measure != "top1" else {}),
            "retraining": config.retrain.recipe,
            **({"initial": "the supernet's weights"} if config.retrain.initial == "inherit" else {}),
            "seed": str(config.seed),
            "data": _public_name(dataset.name),
            "data_fingerprint": dataset.fingerprint,
            "augmentation": _augmentation(experiment),
        },
        images={split: len(getattr(dataset, split)) for split in ("train", "validation", "test")},
        aims=aims,
        class_images=test.class_images if test else (),
        class_hits=test.class_hits if test else (),
        licence=config.export.licence,
    )


def _augmentation(experiment: Experiment) -> str:
    """Augmentation of the training images of a network for use, as text; the product recipe may add its own."""
    dataset, ours = experiment.dataset, experiment.config.retrain
    parts = [dataset.augmentation.words(dataset.image_size, dataset.fit == "pad")]
    parts += [f"a square of {ours.cutout} pixels blanked (cutout)"] if ours.cutout else []
    parts += [f"mixed in pairs (mixup, alpha {ours.mixup:g})"] if ours.mixup else []
    return "; ".join(parts)


def _public_name(data: str) -> str:
    """Name of a data set without the folders above it, because exported files are passed on."""
    kind, _, path = data.partition(":")
    return f"{kind}:{Path(path).name}" if path else data


def aims_of(experiment: Experiment, genome: Genome, one_shot: Mapping[str, float]) -> tuple[Aim, ...]:
    """Objectives of the run's search, with the values of one network, which may not be part of the search."""
    search = read_search(experiment.run)
    found = {each.genome: each.measures for each in (*search.front, *search.selected)}
    size = cost(experiment.space, genome)
    known = {**one_shot, "madds": size.madds, "params": size.params, **found.get(genome, {})}
    return tuple(
        Aim(each.name, each.direction, each.unit, known.get(each.name), each.bound) for each in search.objectives
    )


def quantisation_of(experiment: Experiment) -> Quantisation | None:
    """Calibration and evaluation data of a run's int8 models, if they are wanted."""
    if not experiment.config.export.int8:
        return None
    dataset, wanted, cpu = experiment.dataset, experiment.config.export.calibration_images, torch.device("cpu")
    calibration = CalibrationImages(dataset, wanted, experiment.config.seed, cpu)

    def batches_of(split: str) -> Batches:
        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            images, size = getattr(dataset, split), experiment.config.evaluate.batch_size
            for pixels, labels in ordered_batches(images, dataset, batch_size=size, device=cpu):
                yield pixels.contiguous().numpy(), labels.numpy()

        return batches

    return Quantisation(
        images=wanted,
        calibration=lambda: calibration.shared().contiguous().numpy(),
        judged_on={split: batches_of(split) for split in ("validation", "test")},
        threads=torch.get_num_threads(),
    )


def export_line(genome: str, report: ExportReport) -> str:
    """Result of one export, in a line."""
    if report.unchanged:
        return f"{genome}: its files are there and unchanged"
    facts = report.facts
    error = max(facts.parity_error, facts.program_parity_error)
    line = (
        f"{genome}: ONNX and torch.export agree with PyTorch to {error:.0e}; "
        f"ONNX takes {facts.latency.models[ONNX].latency_ms:.3g} ms for one image"
    )
    if facts.int8 is None:
        return line
    test = facts.int8.accuracy["test"]
    return (
        f"{line}; int8 takes {facts.latency.models[INT8].latency_ms:.3g} ms and has {test.int8_top1:.1%} top-1 "
        f"where float32 has {test.float_top1:.1%} ({test.images:,} test images)"
    )


def report(experiment: Experiment) -> tuple[str, ...]:
    """Write `report.html` from the content of the run directory."""
    write_report(experiment.run)
    return ("report.html",)
