"""The last stages: networks as files to use, and the report."""

from collections.abc import Mapping

import fairnas
from fairnas.errors import RunDirectoryError
from fairnas.export import Preprocessing, Product, export_product
from fairnas.nets import StandAlone, build
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.jobs import Job
from fairnas.pipeline.judge import score_on_validation
from fairnas.pipeline.truth import retrained_genomes, workshop_of
from fairnas.report import write_report
from fairnas.space import Genome, format_genome
from fairnas.train import read_checkpoint


def export(experiment: Experiment) -> tuple[str, ...]:
    """Export every network that was retrained: weights, ONNX, facts."""
    genomes = retrained_genomes(experiment)
    scores = score_on_validation(experiment, genomes)
    files: list[str] = []
    for number, (genome, score) in enumerate(zip(genomes, scores, strict=True)):
        experiment.narrator.progress(number, len(genomes), format_genome(genome))
        if experiment.stop():
            raise KeyboardInterrupt
        files += export_network(experiment, genome, score["top1"])
    experiment.narrator.progress(len(genomes), len(genomes), "")
    return tuple(files)


def export_network(experiment: Experiment, genome: Genome, one_shot_top1: float) -> tuple[str, ...]:
    """Export one network that was retrained. A network whose training diverged is passed over, and said so."""
    workshop, job = workshop_of(experiment), Job(genome, 0, True)
    result = workshop.finished(job)
    if result is None:
        raise RunDirectoryError(
            f"{format_genome(genome)} has no trained weights; `fairnas retrain --run {experiment.run.path}` makes them"
        )
    if result["status"] != "done":
        experiment.narrator.say(f"{format_genome(genome)} is not exported: its training diverged")
        return ()
    network = build(experiment.space, genome)
    network.load_state_dict(read_checkpoint(workshop.checkpoint_path(job), "stand-alone network")["network"])
    measures = {
        "one_shot_top1": one_shot_top1,
        "validation_top1": result["validation"]["top1"],
        "test_top1": result["test"]["top1"],
        "test_top5": result["test"]["top5"],
    }
    product = product_of(experiment, network, measures)
    folder = experiment.run.path / "models" / format_genome(genome)
    report = export_product(folder, product)
    return tuple(f"models/{format_genome(genome)}/{name}" for name in report.files)


def product_of(experiment: Experiment, network: StandAlone, measures: Mapping[str, float]) -> Product:
    """A trained network of a run, with what its user needs to know."""
    dataset = experiment.dataset
    return Product(
        network=network.eval(),
        classes=dataset.classes,
        preprocessing=Preprocessing(dataset.image_size, dataset.image_channels, dataset.mean, dataset.std),
        measures=measures,
        provenance={
            "fairnas": fairnas.__version__,
            "recipe": experiment.config.recipe,
            "seed": str(experiment.config.seed),
            "data": dataset.name,
            "data_fingerprint": dataset.fingerprint,
        },
    )


def report(experiment: Experiment) -> tuple[str, ...]:
    """Write `report.html` from what the run directory holds."""
    write_report(experiment.run)
    return ("report.html",)
