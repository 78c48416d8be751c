"""`fairnas figure 11`: the evolution of the search of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.output import command_line, print_page
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class FigureElevenVerb:
    """Figure 11: the networks of a search by generation, accuracy over multiply-adds and over parameters.

    Needs a run whose stage `search` is finished; nothing is scored again.

    Example:
        fairnas figure 11 --run runs/digits
    """

    run: Path
    """The run directory."""
    out: Path = Path("runs/figure11")
    """Folder of the page."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_11(arguments: Sequence[str]) -> None:
    """Parse, read, print."""
    given = parse(FigureElevenVerb, arguments, "figure 11")
    from fairnas.paper.figure_11 import draw_figure_11

    command = command_line(["figure", "11"], arguments)
    numbers = draw_figure_11(given.out, given.run, command)
    print_page(numbers, given.json)
