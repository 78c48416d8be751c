"""Common parts of the benchmark commands: flags, errors in one line, JSON or lines for people."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import tyro

from fairnas.cli.output import print_json
from fairnas.errors import FairnasError


class Given(Protocol):
    """The flags of a benchmark."""

    @property
    def json(self) -> bool:
        """Print one JSON object and nothing else."""
        ...


T = TypeVar("T", bound=Given)


def run(
    name: str,
    kind: type[T],
    measure: Callable[[T], dict[str, Any]],
    show: Callable[[T, dict[str, Any]], None],
    arguments: Sequence[str] | None,
) -> int:
    """Parse, measure, print. Returns the exit code: 0, or 2 for wrong input.

    Args:
        name: of the module in `benchmarks`.
        kind: the dataclass of its flags.
        measure: gives the result as plain data.
        show: prints it for people.
        arguments: default: the command line's.
    """
    style = (tyro.conf.FlagCreatePairsOff,)
    given = tyro.cli(kind, args=arguments, prog=f"python -m benchmarks.{name}", config=style)
    try:
        result = measure(given)
    except FairnasError as error:
        print(f"benchmarks.{name}: {error}", file=sys.stderr)
        return 2
    print_json(result) if given.json else show(given, result)
    return 0
