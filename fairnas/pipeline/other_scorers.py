"""Who else scores the networks of the ranking study: the supernet by other BN statistics, another run's supernet."""

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
    """One-shot accuracy on the validation images, as the run's configuration wants genomes scored."""
    return [score[measure] for score in score_on_validation(experiment, genomes)]


def by_each_statistics(experiment: Experiment, genomes: Sequence[Genome]) -> Mapping[str, Sequence[float]]:
    """One-shot accuracy by each of the BN statistics that the run's own scores are not made with (paper 4.4).

    Networks whose weights are made for them cannot be scored by recalibrated ones (`Experiment.make_scorer`). The
    memory that the run's own scores are held to does not bound these: one batch of calibration images may need more.
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
    """The run that `stand_alone.against` names, with the images of this one; it is read, never written.

    Raises:
        RunDirectoryError: if there is none, its supernet is not trained, or it is of another space or other images.
    """
    given = experiment.config.stand_alone.against
    return None if given is None else opened_beside(experiment, Path(given))


def opened_beside(experiment: Experiment, path: Path) -> Experiment:
    """Another run, to score this run's networks on this run's images. Raises as `require_comparable` does."""
    other = require_comparable(experiment.run, path)
    opened = (experiment.space, experiment.dataset)
    return Experiment(other, opened=opened, stop=experiment.stop, resources=experiment.config.resources)


def require_comparable(ours: RunDirectory, path: Path) -> RunDirectory:
    """The run at `path`, whose supernet can score the networks of ours.

    Raises:
        RunDirectoryError: if there is none, its supernet is not trained, or it is of another space or other images.
    """
    if path.resolve() == ours.path.resolve():
        raise RunDirectoryError(f"{path} is this run itself; give another run to compare it against")
    return require_like(
        path, ours.read_json("space.json"), read_record(ours, "data.json", DataSummary).fingerprint, str(ours.path)
    )


def require_like(path: Path, space: dict[str, Any], fingerprint: str, ours: str) -> RunDirectory:
    """The run at `path`, whose supernet can score networks of a space on certain images.

    Args:
        path: of the run.
        space: the space, as `space.json` holds it.
        fingerprint: of the images.
        ours: what the run is called that space and images are of.

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
    """What another run is called beside this one: its folder, with the one above if both have the same name."""
    ours, theirs = run.path.resolve(), other.path.resolve()
    return theirs.name if theirs.name != ours.name else f"{theirs.parent.name}/{theirs.name}"
