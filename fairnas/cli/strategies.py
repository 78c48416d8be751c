"""`fairnas strategies`: the strategies that choose the paths of a supernet step."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class StrategiesVerb(ListArguments):
    """List the training strategies.

    Example:
        fairnas strategies
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, list."""
    given = parse(StrategiesVerb, arguments, "strategies")
    from fairnas.train.strategies import STRATEGIES

    rows = [{"name": name, "summary": each.summary, "source": each.source} for name, each in STRATEGIES.items()]
    if given.json:
        print_json({"strategies": rows})
    else:
        print_table(("strategy", "what it does", "source"), [list(row.values()) for row in rows])
