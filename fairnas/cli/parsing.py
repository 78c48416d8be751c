"""Flags read by tyro, with mistakes as one-line errors."""

import contextlib
import inspect
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import tyro

from fairnas.cli.flags import SHORT, fields_of, has_more, help_type, read_type, section_name, shorts_of
from fairnas.configfile import leaves
from fairnas.errors import FairnasError

T = TypeVar("T")
HELP = ("--help", "-h", "--help-all")


class UsageError(FairnasError):
    """A flag that does not exist, or a value that it does not accept."""


@dataclass(frozen=True)
class GivenSetting:
    """A setting given by the user."""

    value: Any
    origin: Literal["flag", "file"]
    said: str
    """The setting as written, for messages: `--minutes 3`."""


Settings = Mapping[str, GivenSetting]
"""Settings of a run that the user gives, by dotted name; flags and file count the same."""


@dataclass(frozen=True)
class Given:
    """Flags given in a command."""

    own: Mapping[str, Any]
    """Values of the verb's own flags, by field name."""
    settings: Settings


def values_of(settings: Settings) -> dict[str, Any]:
    """Return the values of settings by dotted name."""
    return {key: setting.value for key, setting in settings.items()}


def wants_help(arguments: Sequence[str]) -> bool:
    """True if a command asks for help."""
    return not set(HELP).isdisjoint(arguments)


def without_help(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without those that ask for help."""
    return [argument for argument in arguments if argument not in HELP]


def given_flags(kind: type, arguments: Sequence[str], verb: str) -> Given:
    """Read the flags given to a verb that takes settings of a run.

    Args:
        kind: dataclass of the verb.
        arguments: arguments after the verb.
        verb: name of the verb, for messages.

    Raises:
        FairnasError: for any mistake, with a message of one line.
    """
    read, default = read_type(kind)
    tree = _quietly(lambda: tyro.cli(read, args=arguments, prog=f"fairnas {verb}", default=default), verb)
    own: dict[str, Any] = {}
    settings: dict[str, GivenSetting] = {}
    for field in fields_of(kind):
        if field.section:
            for name, value in leaves(tree[field.name]):
                flag = name if field.is_root else f"{field.name}.{name}"
                said = f"--{flag.replace('_', '-')} {value}"
                settings[section_name(field.section) + name] = GivenSetting(value, "flag", said)
        elif field.name in tree:
            own[field.name] = tree[field.name]
    for name, (setting, short) in shorts_of(kind).items():
        if SHORT + name in tree:
            value = tree[SHORT + name]
            said = f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}"
            if setting.key in settings:
                other = settings[setting.key].said.split()[0]
                raise UsageError(f"{said} and {other} are both given; give one of them")
            settings[setting.key] = GivenSetting(short.read(value) if short.read else value, "flag", said)
    return Given(own, settings)


def show_help(kind: type, arguments: Sequence[str], verb: str, default: Any = None) -> NoReturn:
    """Print the flags of a verb and exit.

    Args:
        kind: dataclass of the verb; its docstring is the description.
        arguments: arguments after the verb; `--help-all` shows all settings, otherwise the common ones are shown.
        verb: name of the verb.
        default: instance of `kind` whose values are shown; None: the fields' own defaults.
    """
    everything = "--help-all" in arguments
    shown, values = help_type(kind, default, everything)
    text = inspect.getdoc(kind) or ""  # passed as it is, because tyro removes the examples from docstrings
    if has_more(kind) and not everything:
        text += f"\n\nThese are the settings that most runs need; `fairnas {verb} --help-all` shows all of them."
    style = (tyro.conf.FlagCreatePairsOff,)
    tyro.cli(shown, args=["--help"], prog=f"fairnas {verb}", description=text, default=values, config=style)
    raise AssertionError("tyro exits after help")


def parse(kind: type[T], arguments: Sequence[str], verb: str) -> T:
    """Read the flags of a verb into a dataclass. Raises `UsageError` with one line; `--help` prints and exits."""
    if wants_help(arguments):
        show_help(kind, arguments, verb)
    style = (tyro.conf.FlagCreatePairsOff,)
    return _quietly(lambda: tyro.cli(kind, args=arguments, prog=f"fairnas {verb}", config=style), verb)


def _quietly(read: Callable[[], T], verb: str) -> T:
    """Return what tyro reads, with its error output as a `UsageError`."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return read()
    except SystemExit:
        raise UsageError(_one_line(printed.getvalue(), verb)) from None


def _one_line(box: str, verb: str) -> str:
    """Return the message in the box that tyro draws around errors."""
    rows = [row.strip(" │╭╮╰╯─|") for row in box.splitlines()]
    rows = [row for row in rows if row.strip("- ")]
    message, hint = [], ""
    for row in rows[1:]:  # the first is the title of the box
        if row.startswith(("Argument helptext", "Perhaps you meant", "For full helptext")):
            break
        message.append(row)
    if "Perhaps you meant:" in rows:
        hint = f"; did you mean {rows[rows.index('Perhaps you meant:') + 1].split()[0]}?"
    return f"{_in_our_words(' '.join(message).rstrip('.'))}{hint} (see `fairnas {verb} --help`)"


# Patterns for tyro's messages, and our wording. The first match counts; other messages stay as they are.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"Error parsing (--\S+): .*\bint\(\) with base 10: ('.*')", r"\1 is \2; give a whole number"),
    (r"Error parsing (--\S+): no type matching .*\bINT\b.* from \[('.*?')\].*", r"\1 is \2; give a whole number"),
    (r"Error parsing (--\S+): no type matching .*\bFLOAT\b.* from \[('.*?')\].*", r"\1 is \2; give a number"),
    (r"Error parsing (--\S+): could not convert string to float: ('.*')", r"\1 is \2; give a number"),
    (r"Error parsing config(?:\.\S+)?: (.*)", r"\1"),  # from a check of ours, whose message names the setting
    (r"Error parsing (--\S+): (.*)", r"\1: \2"),
    (r"invalid choice ('.*?') for argument '(\S+)'\. Expected one of \((.*?),?\)", r"\2 is \1; give one of \3"),
    (r"Missing value for argument '(\S+)'.*", r"\1 needs a value"),
    (r"Missing from (fairnas [^:]+): ((?:--\S+ )?[A-Z]+) (.*?)\.? \(required\).*", r"`\1` needs \2: \3"),
    (r"Unrecognized options: (--[^\s,]+)(?:, .*)?", r"unknown option \1"),
    (r"Unrecognized options: (.*)", r"\1: too many arguments"),
)


def _in_our_words(message: str) -> str:
    """Reword one of tyro's messages: what was given, what is allowed."""
    message = message.replace("--out PATH, --run PATH", "--run PATH")
    for pattern, ours in _WORDS:
        if found := re.fullmatch(pattern, message):
            return found.expand(ours)
    return message


@dataclass(frozen=True)
class RunArguments:
    """Arguments of every verb for a run directory."""

    run: Annotated[Path, tyro.conf.arg(aliases=("--out",))]
    """The run directory."""
    json: bool = False
    """Print one JSON object and nothing else."""
