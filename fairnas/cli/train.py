"""`fairnas train`: stage one alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.run import read_arguments
from fairnas.cli.stage import do_stage
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class TrainVerb(RunArguments):
    """Train the supernet of a run, going on from its checkpoint.

    With a recipe in front it starts a run, and takes every flag that `fairnas run` takes.

    Examples:
        fairnas train digits --run runs/digits
        fairnas train --run runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Start a run from a recipe and train its supernet, or go on with the training of a run."""
    if not arguments or arguments[0].startswith("-"):
        do_stage("train", parse(TrainVerb, arguments, "train"))
        return
    config, verb = read_arguments(arguments, "train")
    from fairnas.pipeline import prepare

    prepared = prepare(config)
    run = RunDirectory.create(verb.out or Path("runs") / verb.name, config)
    do_stage("train", RunArguments(run.path, verb.json), prepared=prepared)
