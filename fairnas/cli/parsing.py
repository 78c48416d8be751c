"""Reading flags with tyro; a mistake becomes one line."""

import contextlib
import inspect
import io
import re
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
    return f"{_in_our_words(' '.join(message).rstrip('.'))}{hint} (see `fairnas {verb} --help`)"


# What tyro says, and what we say. The first that fits counts; what fits none stays as it is.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"Error parsing (--\S+): .*\bint\(\) with base 10: ('.*')", r"\1 is \2; give a whole number"),
    (r"Error parsing (--\S+): no type matching .*\bINT\b.* from \[('.*?')\].*", r"\1 is \2; give a whole number"),
    (r"Error parsing (--\S+): no type matching .*\bFLOAT\b.* from \[('.*?')\].*", r"\1 is \2; give a number"),
    (r"Error parsing (--\S+): could not convert string to float: ('.*')", r"\1 is \2; give a number"),
    (r"Error parsing config(?:\.\S+)?: (.*)", r"\1"),  # a check of ours, which names the setting
    (r"Error parsing (--\S+): (.*)", r"\1: \2"),
    (r"invalid choice ('.*?') for argument '(\S+)'\. Expected one of \((.*?),?\)", r"\2 is \1; give one of \3"),
    (r"Missing value for argument '(\S+)'.*", r"\1 needs a value"),
    (r"Missing from (fairnas [^:]+): ((?:--\S+ )?[A-Z]+) (.*?)\.? \(required\).*", r"`\1` needs \2: \3"),
    (r"Unrecognized options: (--[^\s,]+)(?:, .*)?", r"unknown option \1"),
    (r"Unrecognized options: (.*)", r"\1: too many arguments"),
)


def _in_our_words(message: str) -> str:
    """A message of tyro's as one of ours: what was given, what is allowed."""
    message = message.replace("--out PATH, --run PATH", "--run PATH")
    for pattern, ours in _WORDS:
        if found := re.fullmatch(pattern, message):
            return found.expand(ours)
    return message


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
