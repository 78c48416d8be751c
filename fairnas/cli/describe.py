"""`fairnas describe SPACE GENOME`: layers and costs of a genome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from fairnas.cli.output import millions, print_json, print_table
from fairnas.cli.parsing import parse
from fairnas.space import SearchSpace, format_genome, get_space


@dataclass(frozen=True)
class DescribeVerb:
    """Show the layers of a genome, its multiply-adds and parameters.

    Example:
        fairnas describe proxyless 2023500551311335354
    """

    space: tyro.conf.Positional[str]
    """Name of a search space, a TOML file, or FILE.py:NAME."""
    genome: tyro.conf.Positional[str]
    """One character of 0-9a-z per layer."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, describe, print."""
    given = parse(DescribeVerb, arguments, "describe")
    space = get_space(given.space)
    result = describe(space, given.genome)
    if given.json:
        print_json(result)
        return
    columns = ("layer", "block", " in", " out", " stride", " MAdds", " params")
    rows = [
        [str(row[key]) for key in ("layer", "block", "in_channels", "out_channels", "stride")]
        + [millions(row[key]) for key in ("madds", "params")]
        for row in result["layers"]
    ]
    print_table(columns, rows)
    print(
        f"{space.name} {result['genome']}: {result['madds'] / 1e6:.2f} M multiply-adds, "
        f"{result['params'] / 1e6:.3f} M parameters ({space.image_size} pixels, {space.num_classes} classes)"
    )


def describe(space: SearchSpace, text: str) -> dict[str, Any]:
    """Return a genome as plain data. Raises `GenomeError`."""
    genome = space.parse(text)
    from fairnas.nets.cost import cost_table

    table = cost_table(space)
    total = table(genome)
    layers = [
        {
            "layer": number,
            "choice": choice,
            "block": space.block(number, choice).label,
            "in_channels": space.layers[number].in_channels,
            "out_channels": space.layers[number].out_channels,
            "stride": space.layers[number].stride,
            "madds": table.blocks[number][choice].madds,
            "params": table.blocks[number][choice].params,
        }
        for number, choice in enumerate(genome)
    ]
    return {
        "space": space.name,
        "genome": format_genome(genome),
        "madds": total.madds,
        "params": total.params,
        "layers": layers,
    }
