"""`fairnas figure 10`: how the networks of a ranking study were trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.output import command_line, print_page
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class FigureTenVerb:
    """Figure 10: training curves of the networks of a ranking study, coloured by their one-shot accuracy.

    Beside them, when in the training the one-shot order shows: Kendall's tau after each measured epoch. Needs a run
    whose stage `rank` is finished; nothing is trained. Writes a page, numbers, and PNG and SVG files for a paper.

    Example:
        fairnas figure 10 --run runs/digits
    """

    run: Path
    """The run directory."""
    out: Path = Path("runs/figure10")
    """Folder of page, numbers and pictures."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_10(arguments: Sequence[str]) -> None:
    """Parse, read, print."""
    given = parse(FigureTenVerb, arguments, "figure 10")
    from fairnas.paper.figure_10 import draw_figure_10

    command = command_line(["figure", "10"], arguments)
    numbers = draw_figure_10(given.out, given.run, command)
    print_page(numbers, given.json)
