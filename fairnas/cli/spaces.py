"""`fairnas spaces`: the search spaces."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import parse
from fairnas.space import CATALOG


@dataclass(frozen=True)
class SpacesVerb(ListArguments):
    """List the search spaces with their sizes.

    Example:
        fairnas spaces
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, list."""
    given = parse(SpacesVerb, arguments, "spaces")
    rows = [
        {
            "name": space.name,
            "layers": space.depth,
            "choices": list(space.choices),
            "size": space.size,
            "image_size": space.image_size,
            "source": space.source,
        }
        for space in CATALOG.values()
    ]
    if given.json:
        print_json({"spaces": rows})
        return
    table = [
        [
            r["name"],
            str(r["layers"]),
            _counts(r["choices"]),
            f"{r['size']:,}",
            str(r["image_size"]),
            r["source"],
        ]
        for r in rows
    ]
    print_table(("space", " layers", " choices", " networks", " pixels", "what it is"), table)
    print("Your own: a TOML file or FILE.py:NAME wherever a space is asked for (docs/spaces.md).")


def _counts(choices: list[int]) -> str:
    low, high = min(choices), max(choices)
    return str(low) if low == high else f"{low} to {high}"
