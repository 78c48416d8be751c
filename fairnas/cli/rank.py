"""`fairnas rank --run DIR`: the ranking study alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.stage import do_stage
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class RankVerb(RunArguments):
    """Train networks from scratch and say how far the supernet's order of models can be believed.

    Settings given here replace the run's; networks that were trained before are not trained again.

    Example:
        fairnas rank --run runs/digits --models 30 --choose stratified
    """

    models: int | None = None
    """Networks of the study; default: the run's."""
    seeds: int | None = None
    """Trainings per network; default: the run's."""
    choose: Literal["front", "stratified", "random"] | None = None
    """Which networks; default: the run's."""


def main(arguments: Sequence[str]) -> None:
    """Parse, rank, print."""
    given = parse(RankVerb, arguments, "rank")
    config = RunDirectory.open(given.run).config
    ours = config.stand_alone
    study = dataclasses.replace(
        ours,
        models=ours.models if given.models is None else given.models,
        seeds=ours.seeds if given.seeds is None else given.seeds,
        choose=given.choose or ours.choose,
    )
    do_stage("rank", given, config=dataclasses.replace(config, stand_alone=study))
