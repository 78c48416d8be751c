"""`--minutes`: settings chosen to fit the time, and how such a run is resumed."""

import time
from typing import TYPE_CHECKING, Any

from fairnas.config import RunConfig
from fairnas.config.settings import with_settings

if TYPE_CHECKING:
    from fairnas.pipeline.timetable import Timetable
    from fairnas.planning.time_budget import BudgetedRun
    from fairnas.rundir import RunDirectory


def going_on(run: "RunDirectory", config: RunConfig, given: frozenset[str]) -> RunConfig:
    """Return the configuration of a resumed run: settings chosen at its beginning stay as chosen.

    Settings given again must have the same values, and a run begun without a time limit cannot get one; the run
    directory refuses any difference.
    """
    from fairnas.planning.setting_ranges import BUDGETED_SETTINGS, value_of

    stored = run.config
    if stored.minutes is None:
        return config  # begun without a time limit: a difference in minutes is refused
    chosen = {name: value_of(stored, name) for name in BUDGETED_SETTINGS if name not in given}
    if config.minutes is None:
        chosen["minutes"] = stored.minutes
    return with_settings(config, chosen)


def timetable_of(run: "RunDirectory", given: frozenset[str], begun: float | None) -> "Timetable | None":
    """Return the time planned for each stage of a run, or None for a run without a time limit.

    Args:
        run: run with its record of the chosen settings.
        given: names of the settings given by the user, which are not shortened.
        begun: start of a new run on the clock of `time.monotonic`. A resumed run gets the time that was planned for its
            remaining stages.
    """
    from fairnas.pipeline.timetable import ENDING, Timetable
    from fairnas.planning.time_budget import AIM

    minutes, path = run.config.minutes, run.path / "dial.json"
    if minutes is None or not path.exists():
        return None
    record = run.read_json("dial.json")
    if begun is not None:
        return Timetable(begun + ENDING * 60 * minutes, record["stages"], given)
    left = sum(seconds for stage, seconds in record["stages"].items() if not run.is_finished(stage))
    return Timetable(time.monotonic() + left / AIM, record["stages"], given)


def dial_lines(budgeted: "BudgetedRun") -> list[str]:
    """Format the chosen settings as a table in plain lines."""
    rows = [(each.name, _shown(each.recipe), _shown(each.chosen), each.why) for each in budgeted.settings]
    rows.insert(0, ("setting", "recipe", "chosen", "why"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    minutes = budgeted.prepared.config.minutes or 0.0
    stages = ", ".join(f"{stage.name} {stage.seconds / 60:.2g}" for stage in budgeted.plan.stages)
    return [
        *lines,
        f"time       {budgeted.seconds / 60:.2g} of {minutes:g} minutes: {budgeted.spent / 60:.2g} to measure this "
        f"device, then {stages}",
        *(f"given up   {line}" for line in budgeted.given_up),
        *(f"note       {note}" for note in budgeted.notes),
    ]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
