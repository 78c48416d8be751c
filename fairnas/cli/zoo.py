"""`fairnas zoo [NAME]`: published networks, our counts beside the paper's."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class ZooVerb(ListArguments):
    """List published networks, or show one.

    Examples:
        fairnas zoo
        fairnas zoo fairnas_a --json
    """

    name: tyro.conf.Positional[str | None] = None
    """Which network; default: all."""


def main(arguments: Sequence[str]) -> None:
    """Parse, list."""
    given = parse(ZooVerb, arguments, "zoo")
    from fairnas import zoo

    rows = [zoo.row(name) for name in ([given.name] if given.name is not None else zoo.NETWORKS)]
    if given.json:
        print_json(rows[0] if given.name is not None else {"networks": rows})
        return
    table = [
        [
            row["name"],
            row["space"],
            row["genome"],
            f"{row['madds'] / 1e6:.1f} M",
            f"{row['paper']['madds_millions']} M",
        ]
        + [
            f"{row['params'] / 1e6:.2f} M",
            f"{row['paper']['params_millions']} M",
            f"{row['paper']['top1']} %",
        ]
        + [row["verdict"]]
        for row in rows
    ]
    columns = (
        "network",
        "space",
        "genome",
        " MAdds",
        " paper",
        " params",
        " paper",
        " top-1 (paper)",
        "counts",
    )
    print_table(columns, table)
