"""`--minutes` and `--hours`: what the user gave, what was chosen for the rest, and how such a run goes on."""

import contextlib
import dataclasses
import math
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnas.cli.parsing import UsageError, peek
from fairnas.config import RunConfig
from fairnas.errors import FairnasError, TooLittleTimeError
from fairnas.untrusted import parse_toml

if TYPE_CHECKING:
    from fairnas.pipeline.timetable import Timetable
    from fairnas.planning.time_budget import BudgetedRun
    from fairnas.rundir import RunDirectory


LEAST_MINUTES = 0.1
"""To load the libraries and to export one network takes longer on any machine."""


def refuse_hopeless(arguments: Sequence[str]) -> None:
    """Raise `TooLittleTimeError` for a time in which no run ends, before anything is loaded or looked at."""
    given = {"--minutes": peek(arguments, "--minutes"), "--hours": peek(arguments, "--hours")}
    file = peek(arguments, "--config")
    if file is not None and not any(given.values()) and Path(file).is_file():
        # said where the file is read
        with contextlib.suppress(FairnasError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            given[f"minutes in {file}"] = str(parse_toml(Path(file).read_text(encoding="utf-8")).get("minutes"))
    for name, text in given.items():
        minutes = _number(text) * (60 if name == "--hours" else 1)
        if 0 < minutes < LEAST_MINUTES:
            raise TooLittleTimeError(
                f"{name} is {text}: no run ends within {minutes * 60:.2g} seconds, whatever it is of; "
                "give --minutes 10 or more"
            )


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan  # said where flags are read


def with_hours(config: RunConfig, hours: float | None, arguments: Sequence[str], verb: str) -> RunConfig:
    """The configuration with `--hours` as minutes. Raises `UsageError` for both flags, or where there is no dial."""
    if hours is not None:
        if peek(arguments, "--minutes") is not None:
            raise UsageError(f"--hours {hours:g} and --minutes are both given; give one of them")
        config = dataclasses.replace(config, minutes=hours * 60)
    if config.minutes is not None and verb not in ("run", "plan"):
        raise UsageError(
            f"a whole run ends within so many minutes, `fairnas {verb}` is a part of it; give them to `fairnas run`"
        )
    return config


def given_settings(arguments: Sequence[str]) -> frozenset[str]:
    """Dotted names of the settings that flags or the TOML file give, whatever their values; they stay as they are."""
    flags = (argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--"))
    names = {flag.replace("-", "_") for flag in flags}
    file = peek(arguments, "--config")
    if file is not None:
        names |= set(_leaves(parse_toml(Path(file).read_text(encoding="utf-8"))))
    return frozenset(names)


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key


def going_on(run: "RunDirectory", config: RunConfig, given: frozenset[str]) -> RunConfig:
    """The configuration of a run that goes on: what was chosen once stays chosen.

    What the user gives again must be what it was; what a run was not begun with, it cannot take. The run directory
    refuses the difference, in its own words.
    """
    from fairnas.planning.setting_ranges import BUDGETED_SETTINGS, value_of

    stored = run.config
    if stored.minutes is None:
        return config  # begun without the dial: a difference in minutes is refused
    chosen = {name: value_of(stored, name) for name in BUDGETED_SETTINGS if name not in given}
    if config.minutes is None:
        chosen["minutes"] = stored.minutes
    return replaced(config, chosen)


def timetable_of(run: "RunDirectory", given: frozenset[str], begun: float | None) -> "Timetable | None":
    """The time that a run has for its stages, or None where it may take as long as it does.

    Args:
        run: with its record of what was chosen.
        given: names of the settings that the user gave, which are not shortened.
        begun: when the time of a new run began, on the clock of `time.monotonic`. A run that goes on has as much time
            as what is left of it was foreseen to take.
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


def replaced(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The configuration with some settings by dotted names."""
    for name, value in settings.items():
        section, _, field = name.rpartition(".")
        inner = getattr(config, section) if section else config
        changed = dataclasses.replace(inner, **{field or name: value})
        config = dataclasses.replace(config, **{section: changed}) if section else changed
    return config


def dial_lines(budgeted: "BudgetedRun") -> list[str]:
    """What was chosen, as a table in plain lines."""
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
