"""Other scores of the networks of the ranking study: with other BN statistics, and by another run's supernet."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from fairnas.config import Measure
from fairnas.data import DataSummary
from fairnas.errors import RunDirectoryError
from fairnas.evaluate import Statistics
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import score_on_validation, statistics_of
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.space import Genome


def one_shot(experiment: Experiment, genomes: Sequence[Genome], measure: Measure) -> list[float]:
    """One-shot accuracy on the validation images, by the run's settings of scoring."""
    return [score[measure] for score in score_on_validation(experiment, genomes)]


def by_each_statistics(experiment: Experiment, genomes: Sequence[Genome]) -> Mapping[str, Sequence[float]]:
    """One-shot accuracy with each kind of BN statistics that the run's own scores do not use (paper 4.4).

    Networks with generated weights cannot use recalibrated statistics (`Experiment.make_scorer`). The memory bound of
    the run's own scores does not apply: one batch of calibration images may need more.
    """
    left_out = {statistics_of(experiment)} | ({"recalibrated"} if experiment.strategy.has_own_networks else set())
    scores = {}
    for statistics in (each for each in get_args(Statistics) if each not in left_out):
        evaluate = dataclasses.replace(
            experiment.config.evaluate, bn=statistics, calibration="shared", activation_mib=None
        )
        other = copy.copy(experiment)
        other.config = dataclasses.replace(experiment.config, evaluate=evaluate)
        found = score_on_validation(other, genomes, experiment.supernet)
        scores[statistics] = [each[experiment.config.measure] for each in found]
    return scores


def other_supernet(experiment: Experiment) -> Experiment | None:
    """Run named by `stand_alone.against`, with the images of this run; it is only read.

    Raises:
        RunDirectoryError: if there is none, its supernet is not trained, or it is of another space or other images.
    """
    given = experiment.config.stand_alone.against
    return None if given is None else opened_beside(experiment, Path(given))


def opened_beside(experiment: Experiment, path: Path) -> Experiment:
    """Open another run to score this run's networks on this run's images. Raises as `require_comparable` does."""
    other = require_comparable(experiment.run, path)
    opened = (experiment.space, experiment.dataset)
    return Experiment(other, opened=opened, stop=experiment.stop, resources=experiment.config.resources)


def require_comparable(ours: RunDirectory, path: Path) -> RunDirectory:
    """Run at `path`, whose supernet can score the networks of our run.

    Raises:
        RunDirectoryError: if there is none, its supernet is not trained, or it is of another space or other images.
    """
    if path.resolve() == ours.path.resolve():
        raise RunDirectoryError(f"{path} is this run itself; give another run to compare it against")
    return require_like(
        path, ours.read_json("space.json"), read_record(ours, "data.json", DataSummary).fingerprint, str(ours.path)
    )


def require_like(path: Path, space: dict[str, Any], fingerprint: str, ours: str) -> RunDirectory:
    """Run at `path`, whose supernet can score networks of a given space on given images.

    Args:
        path: run directory.
        space: the space, as in `space.json`.
        fingerprint: fingerprint of the images.
        ours: name of the run with this space and these images, for messages.

    Raises:
        RunDirectoryError: if there is none, its supernet is not trained, or it is of another space or other images.
    """
    run = RunDirectory.open(path)
    run.require_finished("train")
    theirs = run.read_json("space.json")
    if theirs != space:
        raise RunDirectoryError(
            f"{path} has search space '{theirs['name']}' or other layers than {ours}; give a run of the same space"
        )
    if read_record(run, "data.json", DataSummary).fingerprint != fingerprint:
        raise RunDirectoryError(
            f"{path} has other images than {ours}, or splits them otherwise; "
            "give a run with the same data and the same seed"
        )
    return run


def name_beside(run: RunDirectory, other: RunDirectory) -> str:
    """Name of another run next to this one: its folder, with the parent folder if both have the same name."""
    ours, theirs = run.path.resolve(), other.path.resolve()
    return theirs.name if theirs.name != ours.name else f"{theirs.parent.name}/{theirs.name}"
