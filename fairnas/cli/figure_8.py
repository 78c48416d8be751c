"""`fairnas figure 8`: one-shot against stand-alone accuracy, by one or two supernets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.output import command_line, print_page
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class FigureEightVerb:
    """Figure 8: one-shot against stand-alone accuracy of the networks of a ranking study, with Kendall's tau.

    With another run of the same space and data, its supernet scores the same networks. Beside it the histogram of
    one-shot accuracies with the supernet accuracy gap lambda (paper 4.5, bottom of Figure 1). Needs a run whose stage
    `rank` is finished; nothing is trained. Writes a page, numbers, and PNG and SVG files for a paper.

    Examples:
        fairnas figure 8 --run runs/strict --against runs/uniform
        fairnas figure 8 --run runs/strict --against runs/uniform --sample 1000
    """

    run: Path
    """The run directory."""
    against: Path | None = None
    """Another run directory; default: the one that the study was made against."""
    sample: int = 0
    """Random networks that the histograms are of (paper: 1,000); default: those that the search scored."""
    out: Path = Path("runs/figure8")
    """Folder of page, numbers and pictures."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_8(arguments: Sequence[str]) -> None:
    """Parse, score, print."""
    given = parse(FigureEightVerb, arguments, "figure 8")
    from fairnas.cli.progress import narrated
    from fairnas.paper.figure_8_study import FigureEight, draw_figure_8

    command = command_line(["figure", "8"], arguments)
    figure = FigureEight(given.run, given.against, given.sample, command)
    with narrated() as narrator:
        numbers = draw_figure_8(given.out, figure, narrator)
    print_page(numbers, given.json)
