"""`fairnas figure N`: a figure of the paper, from our own experiment."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from fairnas.cli.figure_6 import figure_6
from fairnas.cli.figure_8 import figure_8
from fairnas.cli.figure_10 import figure_10
from fairnas.cli.figure_11 import figure_11
from fairnas.cli.output import command_line, print_json, print_page, print_table
from fairnas.cli.parsing import Settings, UsageError, given_flags, parse, show_help, wants_help
from fairnas.cli.settings import configured, given_folder, merged, recipe_config, shown_config
from fairnas.config import RunConfig
from fairnas.errors import UnknownNameError
from fairnas.recipes import NAMES


@dataclass(frozen=True)
class FigureVerb:
    """Make a figure of the paper, from our own experiment: a page and its numbers.

    1: accuracy while a supernet trains, strict fairness beside its rivals, and histograms of its models (minutes to
    hours). 4: the chance that uniform sampling trains all blocks equally often, lemma 1 (seconds). 6: searchers beside
    each other, on the supernet of a run or on NAS-Bench-Macro (minutes). 8: one-shot against stand-alone accuracy, by
    one or two supernets (seconds). 10: the trainings of the networks of a ranking study (seconds). 11: the evolution of
    the search of a run (seconds). `fairnas figure N --help` shows the settings of figure N. Figures 2, 9, 12, 13 and 14
    are made by `fairnas similarity`.

    Examples:
        fairnas figure 4
        fairnas figure 1 --seeds 3
        fairnas figure 6 --run runs/digits
        fairnas figure 8 --run runs/strict --against runs/uniform
        fairnas figure 11 --run runs/digits
    """

    number: tyro.conf.Positional[str]
    """Which figure: 1, 4, 6, 8, 10 or 11."""
    out: Path | None = None
    """Folder of the page; default: runs/figureN."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class FigureOneVerb:
    """Figure 1: mean one-shot accuracy over the epochs, and histograms of stratified models.

    For strict fairness, EF with k = m at two learning rates, and Single Path One-Shot at equal epochs and at equal
    compute. Repeated on the same folder, it goes on where it stopped. Takes the settings of a run, too.

    Examples:
        fairnas figure 1 --out runs/figure1
        fairnas figure 1 --data folder:my_images --seeds 5
        fairnas figure 1 --data cifar10 --data.root downloads --epochs 40
    """

    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: RunConfig(""))
    out: Path = Path("runs/figure1")
    """Folder of the page and of the trainings."""
    recipe: str | None = None
    """Where settings begin; default: what --data asks for, else digits."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """TOML file with settings over the recipe's."""
    seeds: int = 3
    """Trainings per arm."""
    epochs: int | None = None
    """Short for --train.epochs."""
    models: int = 960
    """Stratified models scored per supernet (paper: 960)."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class FigureFourVerb:
    """Figure 4: how likely n uniform draws hit each of m choice blocks equally often (lemma 1), with a simulation.

    Example:
        fairnas figure 4 --out runs/figure4
    """

    out: Path = Path("runs/figure4")
    """Folder of the page."""
    repetitions: int = 20_000
    """Simulated trainings per point."""
    seed: int = 0
    """Of the simulation."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Find the figure and make it."""
    if not arguments or arguments[0].startswith("-"):
        if not wants_help(arguments):
            raise UsageError(f"`fairnas figure` needs a number first ({', '.join(FIGURES)}); try `fairnas figure 4`")
        parse(FigureVerb, arguments, "figure")
    if arguments[0] not in FIGURES:
        raise UnknownNameError("figure", arguments[0], FIGURES)
    FIGURES[arguments[0]](arguments[1:])


def figure_1(arguments: Sequence[str]) -> None:
    """Parse, train, print."""
    if wants_help(arguments):
        show_help(FigureOneVerb, arguments, "figure 1", FigureOneVerb(config=shown_config("digits")))
    flags = given_flags(FigureOneVerb, arguments, "figure 1")
    given, settings = FigureOneVerb(**flags.own), merged(flags)
    config = recipe_config(given.recipe or _asked_for(settings), flags, settings)
    config = configured(config, flags, settings)
    if given.epochs is not None:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=given.epochs))
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.paper.figure_1_study import FigureOne, draw_figure_1

    command = command_line(["figure", "1"], arguments)
    figure = FigureOne(config, given.seeds, given.models, command)
    with interruptible() as stop, narrated() as narrator:
        numbers = draw_figure_1(given.out, figure, narrator, stop)
    print_json(numbers) if given.json else _print_arms(numbers)


def _asked_for(settings: Settings) -> str:
    """The recipe that the data ask for."""
    if given_folder(settings) is not None:
        return "folder"
    data = settings["data.name"].value if "data.name" in settings else None
    return data if data in NAMES else "digits"


def _print_arms(numbers: dict[str, Any]) -> None:
    rows = [
        [
            arm["title"],
            f"{arm['epochs']:,}",
            f"{arm['backward_passes']:,}",
            *(_over_seeds(arm[measure]) for measure in ("mean", "std", "delta")),
        ]
        for arm in numbers["arms"]
    ]
    columns = ("arm", " epochs", " backward passes", " one-shot top-1", " spread of models", " delta")
    print_table(columns, rows)
    for verdict in numbers["verdicts"]:
        print(f"{verdict['question']} {verdict['answer']}.")
    print(f"page      {numbers['page']}")


def _over_seeds(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "diverged"
    spread = f" ± {100 * found['std_over_seeds']:.1f}" if found["std_over_seeds"] is not None else ""
    return f"{found['mean']:.1%}{spread}, n = {found['n']}"


def figure_4(arguments: Sequence[str]) -> None:
    """Parse, compute, print."""
    given = parse(FigureFourVerb, arguments, "figure 4")
    from fairnas.paper.figure_4 import draw_figure_4

    command = command_line(["figure", "4"], arguments)
    numbers = draw_figure_4(given.out, given.repetitions, given.seed, command)
    print_page(numbers, given.json)


FIGURES: dict[str, Callable[[Sequence[str]], None]] = {
    "1": figure_1,
    "4": figure_4,
    "6": figure_6,
    "8": figure_8,
    "10": figure_10,
    "11": figure_11,
}
"""Figures of the paper, by number."""
