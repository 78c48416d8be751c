"""Shared part of the verbs for single stages: open the run, hold it, do the stage, print the result."""

import contextlib
from typing import TYPE_CHECKING

from fairnas.cli.output import print_json
from fairnas.cli.parsing import RunArguments
from fairnas.cli.summary import print_summary
from fairnas.config import Resources, RunConfig
from fairnas.errors import RunDirectoryError
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.pipeline import Prepared


def do_stage(
    name: str,
    given: RunArguments,
    *,
    config: RunConfig | None = None,
    instead_of: RunConfig | None = None,
    prepared: "Prepared | None" = None,
    resources: Resources | None = None,
) -> None:
    """Do one stage of a run and print the summary.

    Args:
        name: name of the stage.
        given: the verb's arguments.
        config: settings for the stage, if the verb can change them; stored in the run once the stage has succeeded.
        instead_of: the run's configuration from which `config` was made.
        prepared: the run's space and data, from a caller that already holds the run.
        resources: resources to use this time; default: those of the run's configuration.
    """
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.pipeline import Experiment, prepare, require_changeable, run_stage, summarise
    from fairnas.pipeline.costs import MEASURED, check_measured
    from fairnas.train import Group

    run = RunDirectory.open(given.run)
    group = prepared.group if prepared else Group()
    lock = run.locked() if prepared is None else contextlib.nullcontext()
    with lock, interruptible() as stop, narrated() as narrator:
        if instead_of is not None and instead_of != run.config:
            raise RunDirectoryError(
                f"another command changed the settings of {run.path} since this one began; run the same command again"
            )
        if config is not None and config != run.config:
            prepared = prepare(config, narrator=narrator)
            check_measured(prepared.space, config.search, run.path / MEASURED)
            require_changeable(run, config, name)
        for line in prepared.training_plan() if prepared and name == "train" else ():
            narrator.say(line)
        opened = (prepared.space, prepared.dataset) if prepared else None
        run_stage(Experiment(run, narrator, stop, opened, group, resources, config), name)
    result = summarise(run)
    print_json(result.to_dict()) if given.json else print_summary(result)
