"""`fairnas train`: stage one, in one process or several."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.parsing import Given, RunArguments, UsageError, given_flags, wants_help
from fairnas.cli.run import RunVerb, command_from, show_run_help
from fairnas.cli.stage import do_stage
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class TrainVerb(RunVerb):
    """Train the supernet of a run, resuming from its checkpoint.

    With a recipe, it starts a run and accepts every flag of `fairnas run`; without, --run names the run to resume.
    Under torchrun, several processes split the paths of a step, its images, or both. (torchrun has an option `--run` of
    its own; there, write `--out`.)

    Examples:
        fairnas train digits --run runs/digits
        fairnas train --run runs/digits
        torchrun --nproc-per-node=2 -m fairnas train digits --out runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Start a run from a recipe and train its supernet, or resume the training of a run."""
    if wants_help(arguments):
        show_run_help(arguments, "train", TrainVerb)
    given = given_flags(TrainVerb, arguments, "train")
    config = command_from(given, "train", TrainVerb).config if "name" in given.own else None
    chosen = RunArguments(_directory(given), given.own.get("json", False))
    from fairnas.cli.progress import interruptible
    from fairnas.pipeline import follow, prepare
    from fairnas.train import in_all_processes, joined_group

    with joined_group() as group, contextlib.ExitStack() as held:

        def hold() -> None:
            if group.is_first:
                held.enter_context(RunDirectory.begin(chosen.run) if config else RunDirectory.open(chosen.run).locked())

        in_all_processes(group, hold)
        prepared = in_all_processes(group, lambda: prepare(config or RunDirectory.open(chosen.run).config, group))
        in_all_processes(group, prepared.require_same)
        if config is not None:
            run, images = RunDirectory(chosen.run), prepared.dataset.fingerprint
            in_all_processes(group, lambda: run.configure(config, images) if group.is_first else None)
        if group.is_first:
            do_stage("train", chosen, prepared=prepared)
        else:
            with interruptible(silent=True) as stop:
                follow(prepared, stop)


def _directory(given: Given) -> Path:
    """Return the run directory. Without a recipe it must be named, and its settings cannot be changed."""
    if "name" in given.own:
        return given.own.get("out") or Path("runs") / given.own["name"]
    if given.own.get("out") is None:
        raise UsageError("`fairnas train` needs --run PATH, or a recipe to begin with; try `fairnas train digits`")
    others = [
        *(setting.said for setting in given.settings.values()),
        *(f"--objective {each}" for each in given.own["objective"]),
    ]
    if "config_file" in given.own:
        others.append(f"--config {given.own['config_file']}")
    if others:
        raise UsageError(
            f"{others[0]} is for a run that begins, and no recipe is given; leave it out, or name the recipe"
        )
    return given.own["out"]
