"""`fairnas retrain --run DIR [GENOME ...]`: train networks for use."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fairnas.cli.parsing import Given, RunArguments, UsageError, given_flags, show_help, wants_help, without_help
from fairnas.cli.settings import stage_settings
from fairnas.cli.stage import do_stage
from fairnas.config import Resources, RetrainConfig, RunConfig
from fairnas.config.settings import with_settings
from fairnas.errors import FairnasError
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class RetrainVerb(RunArguments):
    """Train the selected networks of a run for use, and other networks if named.

    The recipe `supernet` trains as in the ranking study, `product` with the techniques of MnasNet, which the other
    settings control. Settings given here replace the run's. Networks already trained with the same settings are not
    trained again.

    Examples:
        fairnas retrain --run runs/digits
        fairnas retrain 01234501 --run runs/digits
        fairnas retrain --run runs/digits --recipe product --epochs 100 --initial inherit
        fairnas retrain --run runs/digits --scheduler tcp://10.0.0.5:8786
    """

    genomes: tyro.conf.Positional[tuple[str, ...]] = ()
    """Further networks, as genomes in text form."""
    settings: Annotated[RetrainConfig, tyro.conf.arg(name="")] = field(default_factory=RetrainConfig)
    resources: Resources = field(default_factory=Resources)


def main(arguments: Sequence[str]) -> None:
    """Parse, retrain, print."""
    if wants_help(arguments):
        show_help(RetrainVerb, arguments, "retrain", _shown(without_help(arguments)))
    flags = given_flags(RetrainVerb, arguments, "retrain")
    given = RetrainVerb(**flags.own)
    stored = RunDirectory.open(given.run).config
    config, resources = stage_settings(_base(stored, flags), flags)
    if "retrain.temperature" in flags.settings and not config.retrain.distillation:
        raise UsageError("--temperature needs distillation, which is 0; give --distillation too")
    named = tuple(dict.fromkeys([*config.stand_alone.genomes, *given.genomes]))
    config = with_settings(config, {"stand_alone.genomes": named})
    do_stage("retrain", given, config=config, instead_of=stored, resources=resources)


def _shown(arguments: Sequence[str]) -> RetrainVerb | None:
    """Values that help shows: the run's, if it is named."""
    with contextlib.suppress(FairnasError):
        flags = given_flags(RetrainVerb, arguments, "retrain")
        config = _base(RunDirectory.open(flags.own["run"]).config, flags)
        return RetrainVerb(Path(), settings=config.retrain, resources=config.resources)
    return None


def _base(stored: RunConfig, flags: Given) -> RunConfig:
    """Return the run's settings, which flags replace; those of recipe `supernet` have no product settings to keep."""
    recipe = flags.settings.get("retrain.recipe")
    anew = recipe is not None and recipe.value == "supernet"
    return dataclasses.replace(stored, retrain=RetrainConfig()) if anew else stored
