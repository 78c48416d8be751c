"""`fairnas retrain --run DIR [GENOME ...]`: train networks from scratch."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.stage import do_stage
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class RetrainVerb(RunArguments):
    """Train the selected networks of a run from scratch, and any others that are named.

    Networks that were trained before are not trained again.

    Examples:
        fairnas retrain --run runs/digits
        fairnas retrain 01234501 --run runs/digits
    """

    genomes: tyro.conf.Positional[tuple[str, ...]] = ()
    """More genomes, in text form."""


def main(arguments: Sequence[str]) -> None:
    """Parse, retrain, print."""
    given = parse(RetrainVerb, arguments, "retrain")
    config = RunDirectory.open(given.run).config
    named = tuple(dict.fromkeys([*config.stand_alone.genomes, *given.genomes]))
    do_stage(
        "retrain",
        given,
        config=dataclasses.replace(config, stand_alone=dataclasses.replace(config.stand_alone, genomes=named)),
    )
