"""Reading flags with tyro; a mistake becomes one line."""

import contextlib
import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from fairnas.errors import FairnasError

T = TypeVar("T")


class UsageError(FairnasError):
    """A flag that does not exist, or a value that it cannot take."""


def parse(kind: type[T], arguments: Sequence[str], verb: str, default: T | None = None) -> T:
    """Read the flags of a verb into a dataclass. Raises `UsageError` in one line; `--help` prints and exits."""
    if "--help" in arguments or "-h" in arguments:
        return _cli(kind, arguments, verb, default)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return _cli(kind, arguments, verb, default)
    except SystemExit:
        raise UsageError(_one_line(printed.getvalue(), verb)) from None


def _cli(kind: type[T], arguments: Sequence[str], verb: str, default: T | None) -> T:
    style = (tyro.conf.FlagCreatePairsOff,)
    text = inspect.getdoc(kind)  # given as it stands, because tyro takes the examples out of docstrings
    if default is None:
        return tyro.cli(kind, args=arguments, prog=f"fairnas {verb}", description=text, config=style)
    return tyro.cli(kind, args=arguments, prog=f"fairnas {verb}", description=text, default=default, config=style)


def _one_line(box: str, verb: str) -> str:
    """The message in a box that tyro drew for people with tall screens."""
    rows = [row.strip(" │╭╮╰╯─|") for row in box.splitlines()]
    rows = [row for row in rows if row.strip("- ")]
    message, hint = [], ""
    for row in rows[1:]:  # the first is the box's title
        if row.startswith(("Argument helptext", "Perhaps you meant", "For full helptext")):
            break
        message.append(row)
    if "Perhaps you meant:" in rows:
        hint = f"; did you mean {rows[rows.index('Perhaps you meant:') + 1].split()[0]}?"
    return f"{' '.join(message).rstrip('.')}{hint} (see `fairnas {verb} --help`)"


def peek(arguments: Sequence[str], flag: str) -> str | None:
    """The value of a flag before the rest can be read, because defaults depend on it."""
    for position, argument in enumerate(arguments):
        if argument.startswith(flag + "="):
            return argument[len(flag) + 1 :]
        if argument == flag and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


@dataclass(frozen=True)
class RunArguments:
    """What every verb over a run directory takes."""

    run: Annotated[Path, tyro.conf.arg(aliases=("--out",))]
    """The run directory. (torchrun takes `--run` for an option of its own; there, write `--out`.)"""
    json: bool = False
    """Print one JSON object and nothing else."""
