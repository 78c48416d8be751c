"""`fairnas searchers`: the algorithms that propose genomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class SearchersVerb(ListArguments):
    """List the searchers.

    Example:
        fairnas searchers
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, list."""
    given = parse(SearchersVerb, arguments, "searchers")
    from fairnas.search.searchers import SEARCHERS

    rows = [{"name": name, "summary": each.line, "source": each.source} for name, each in SEARCHERS.items()]
    if given.json:
        print_json({"searchers": rows})
    else:
        print_table(("searcher", "what it does", "source"), [list(row.values()) for row in rows])
