"""`fairnas plan RECIPE`: cost of a run before it starts."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnas.cli.dial import dial_lines
from fairnas.cli.output import print_json, print_table
from fairnas.cli.run import RunVerb, read_arguments
from fairnas.directory_lock import require_locks

if TYPE_CHECKING:
    from fairnas.planning import Plan


BUSY = 0.4
"""Load per core in the last minute (processes that want to run) above which the user is warned."""


@dataclass(frozen=True)
class PlanVerb(RunVerb):
    """Measure a few real steps on this device, and estimate the cost of the run: hours, memory, disk. Writes nothing.

    Accepts every flag of `fairnas run`, so that a command can be tried before it is run. `--out` is ignored.

    Examples:
        fairnas plan digits
        fairnas plan folder --data folder:my_images --data.image-size 64 --max-madds 60M
        fairnas plan folder --data folder:my_images --minutes 20
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    begun = time.monotonic()
    command = read_arguments(arguments, "plan", PlanVerb)
    config, verb = command.config, command.verb
    require_locks()
    # imported here, because only the work itself needs torch
    from fairnas.cli.progress import narrated
    from fairnas.pipeline import prepare
    from fairnas.pipeline.prepare import require_study
    from fairnas.planning import measure_plan
    from fairnas.planning.time_budget import dial

    load = os.getloadavg()[0]
    record, lines = {}, []
    try:
        with narrated() as narrator:
            if config.minutes is None:
                prepared = prepare(config, narrator=narrator)
                require_study(prepared)
                plan = measure_plan(prepared, narrator)
            else:
                budgeted = dial(config, command.given, begun, narrator)
                prepared, plan = budgeted.prepared, budgeted.plan
                record, lines = {"dial": budgeted.to_dict()}, dial_lines(budgeted)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("a plan keeps nothing, so the same command measures anew") from None
    if verb.json:
        found = {
            "classes": list(prepared.dataset.classes),
            "findings": [finding.to_dict() for finding in prepared.dataset.findings],
            "augmentation": prepared.dataset.augmentation.to_dict(),
        }
        print_json({"recipe": config.recipe, **found, **plan.to_dict(), **record, "load": load})
        return
    if lines:
        print("\n".join(lines), end="\n\n")
    print("\n".join(prepared.plan()))
    print_plan(plan)
    if load > BUSY * (os.cpu_count() or 1):
        print(f"note       other work kept the machine busy (load {load:.1f}), so the times include its effect")


def print_plan(plan: "Plan") -> None:
    """Print the cost stage by stage, then the total."""
    rows = [[stage.name, stage.work, duration(stage.seconds)] for stage in plan.stages]
    print_table(("stage", "work", " about"), rows)
    print(f"in all     about {duration(plan.seconds)} ({plan.hours:.2g} hours) on this device")
    print(f"speed      {plan.path_images_per_s:,.0f} path-images per second in {plan.steps:,} supernet steps")
    if plan.memory:  # absent if time was too short to measure it
        print(f"memory     {size(plan.memory)} at most ({plan.memory_of})")
        print(f"disk       {size(plan.disk)} at most")


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours with two digits."""
    for limit, unit, name in ((99.5, 1, "s"), (99.5 * 60, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds / 3600:,.0f} h" if seconds >= 99.5 * 3600 else f"{seconds / 3600:.2g} h"


def size(octets: float) -> str:
    """Format a size in MB or GB with two digits."""
    return f"{octets / 1e6:.2g} MB" if octets < 99.5e6 else f"{octets / 1e9:.2g} GB"
