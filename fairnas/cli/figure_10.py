"""`fairnas figure 10`: how the networks of a ranking study were trained."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.cli.output import print_json
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
    from fairnas.pipeline.figure_10 import draw_figure_10

    command = shlex.join(["fairnas", "figure", "10", *(each for each in arguments if each != "--json")])
    numbers = draw_figure_10(given.out, given.run, command)
    if given.json:
        print_json(numbers)
        return
    for sentence in numbers["sentences"]:
        print(sentence)
    print(f"page      {numbers['page']}")
    for file in numbers["files"]:
        print(f"picture   {file}")
