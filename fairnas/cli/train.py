"""`fairnas train`: stage one alone, in one process or in several."""

import contextlib
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
    Under torchrun, several processes share out the paths of a step, its images, or both.

    Examples:
        fairnas train digits --run runs/digits
        fairnas train --run runs/digits
        torchrun --nproc-per-node=2 -m fairnas train digits --out runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Start a run from a recipe and train its supernet, or go on with the training of a run."""
    if not arguments or arguments[0].startswith("-"):
        given, config = parse(TrainVerb, arguments, "train"), None
    else:
        config, verb = read_arguments(arguments, "train")
        given = TrainVerb(verb.out or Path("runs") / verb.name, verb.json)
    from fairnas.cli.progress import interruptible
    from fairnas.pipeline import follow, prepare
    from fairnas.train import in_all_processes, joined_group

    with joined_group() as group, contextlib.ExitStack() as held:

        def hold() -> None:
            if group.is_first:
                held.enter_context(RunDirectory.begin(given.run) if config else RunDirectory.open(given.run).locked())

        in_all_processes(group, hold)
        prepared = in_all_processes(group, lambda: prepare(config or RunDirectory.open(given.run).config, group))
        in_all_processes(group, prepared.require_same)
        if config is not None:
            run, images = RunDirectory(given.run), prepared.dataset.fingerprint
            in_all_processes(group, lambda: run.configure(config, images) if group.is_first else None)
        if group.is_first:
            do_stage("train", given, prepared=prepared)
        else:
            with interruptible(silent=True) as stop:
                follow(prepared, stop)
