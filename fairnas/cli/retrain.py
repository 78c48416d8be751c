"""`fairnas retrain --run DIR [GENOME ...]`: train networks for use."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fairnas.cli.parsing import RunArguments, UsageError, parse, peek
from fairnas.cli.shortforms import WorkerFlags
from fairnas.cli.stage import do_stage
from fairnas.config import RetrainConfig
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class RetrainVerb(RunArguments, WorkerFlags):
    """Train the selected networks of a run for use, and any others that are named.

    By the recipe `supernet` as those of the ranking study, or by `product` with the tricks of MnasNet, which the other
    settings are for. Settings given here replace the run's. Networks that were trained before with the same settings
    are not trained again.

    Examples:
        fairnas retrain --run runs/digits
        fairnas retrain 01234501 --run runs/digits
        fairnas retrain --run runs/digits --recipe product --epochs 100 --initial inherit
        fairnas retrain --run runs/digits --scheduler tcp://10.0.0.5:8786
    """

    genomes: tyro.conf.Positional[tuple[str, ...]] = ()
    """More genomes, in text form."""
    settings: Annotated[RetrainConfig, tyro.conf.arg(name="")] = field(default_factory=RetrainConfig)


def main(arguments: Sequence[str]) -> None:
    """Parse, retrain, print."""
    given = parse(RetrainVerb, arguments, "retrain", _stored(arguments))
    if peek(arguments, "--temperature") is not None and not given.settings.distillation:
        raise UsageError("--temperature is of distillation, which is 0; give --distillation, too")
    config = RunDirectory.open(given.run).config
    named = tuple(dict.fromkeys([*config.stand_alone.genomes, *given.genomes]))
    alone = dataclasses.replace(config.stand_alone, genomes=named)
    config = dataclasses.replace(config, stand_alone=alone, retrain=given.settings)
    do_stage("retrain", given, config=config, resources=given.resources_for(config))


def _stored(arguments: Sequence[str]) -> RetrainVerb | None:
    """The run's own settings, which flags replace. The supernet's recipe has none, so with it they begin anew."""
    path = peek(arguments, "--run") or peek(arguments, "--out")
    if path is None or "--help" in arguments or "-h" in arguments:
        return None
    stored = RunDirectory.open(Path(path)).config.retrain
    return RetrainVerb(Path(path), settings=RetrainConfig() if peek(arguments, "--recipe") == "supernet" else stored)
