"""`fairnas figure N`: a figure of the paper, made from our own experiment."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from fairnas.cli.output import command_line, print_json, print_page, print_table
from fairnas.cli.parsing import Settings, UsageError, given_flags, parse, show_help, wants_help
from fairnas.cli.settings import configured, given_folder, merged, recipe_config, shown_config
from fairnas.config import RunConfig, SearchConfig
from fairnas.errors import UnknownNameError
from fairnas.recipes import NAMES
from fairnas.rundir import RunDirectory

_SUPERNET_SEEDS, _TRUTH_SEEDS = 5, 20  # a search of the truth takes seconds, so there can be more
_PAPER = SearchConfig(population=64, generations=17)  # 1,088 networks, as in the paper's Figure 6


@dataclass(frozen=True)
class FigureVerb:
    """Make a figure of the paper from our own experiment: a page and its numbers.

    1: accuracy while a supernet trains, strict fairness and its rivals, and histograms of its models (minutes to
    hours). 4: the chance that uniform sampling trains all blocks equally often, lemma 1 (seconds). 6: searchers
    compared, on the supernet of a run or on NAS-Bench-Macro (minutes). 8: one-shot against stand-alone accuracy, by
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
    """Number of the figure: 1, 4, 6, 8, 10 or 11."""
    out: Path | None = None
    """Folder for the page; default: runs/figureN."""
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


@dataclass(frozen=True)
class FigureOneVerb:
    """Figure 1: mean one-shot accuracy over the epochs, and histograms of stratified models.

    Compares strict fairness, EF with k = m at two learning rates, and Single Path One-Shot at equal epochs and at equal
    compute. The same command on the same folder resumes. Accepts the settings of a run.

    Examples:
        fairnas figure 1 --out runs/figure1
        fairnas figure 1 --data folder:my_images --seeds 5
        fairnas figure 1 --data cifar10 --data.root downloads --epochs 40
    """

    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: RunConfig(""))
    out: Path = Path("runs/figure1")
    """Folder for the page and the trainings."""
    recipe: str | None = None
    """Recipe that settings start from; default: the one that suits --data, otherwise digits."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """TOML file with settings that replace the recipe's."""
    seeds: int = 3
    """Trainings per arm."""
    epochs: int | None = None
    """Short for --train.epochs."""
    models: int = 960
    """Stratified models scored per supernet (paper: 960)."""
    json: bool = False
    """Print one JSON object and nothing else."""


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
    """Recipe that suits the data given."""
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


@dataclass(frozen=True)
class FigureFourVerb:
    """Figure 4: the chance that n uniform draws hit each of m choice blocks equally often (lemma 1), with a simulation.

    Example:
        fairnas figure 4 --out runs/figure4
    """

    out: Path = Path("runs/figure4")
    """Folder for the page."""
    repetitions: int = 20_000
    """Simulated trainings per point."""
    seed: int = 0
    """Seed of the simulation."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_4(arguments: Sequence[str]) -> None:
    """Parse, compute, print."""
    given = parse(FigureFourVerb, arguments, "figure 4")
    from fairnas.paper.figure_4 import draw_figure_4

    command = command_line(["figure", "4"], arguments)
    numbers = draw_figure_4(given.out, given.repetitions, given.seed, command)
    print_page(numbers, given.json)


@dataclass(frozen=True)
class FigureSixVerb:
    """Figure 6: fronts of several searchers, and their hypervolume over evaluations, with intervals over seeds.

    Searches the supernet of a run whose stage `train` is finished, within the bounds of its configuration, or
    NAS-Bench-Macro, whose authors trained every network from scratch. No network is scored twice, even for different
    searchers. The same command on the same folder resumes; seeds and searchers may be added.

    Examples:
        fairnas figure 6 --run runs/digits
        fairnas figure 6 --run runs/digits --seeds 10 --searchers moremnas nsga2
        fairnas figure 6 --truth nas-bench-macro_cifar10.json
    """

    run: Path | None = None
    """Run directory whose supernet is searched."""
    truth: Path | None = None
    """JSON file of NAS-Bench-Macro for CIFAR-10, to be searched instead of a run."""
    out: Path = Path("runs/figure6")
    """Folder for the page, the searches and their archive."""
    seeds: int | None = None
    """Searches per searcher; default: 5 on a supernet, 20 on the truth."""
    first_seed: int = 0
    """First seed of the searches; the others follow it."""
    searchers: tuple[str, ...] = ("moremnas", "nsga2", "nsga2_reinforced", "random", "mnasnet_rl")
    """Searchers to compare; `fairnas searchers` lists all."""
    population: int | None = None
    """Genomes per generation (paper: 64)."""
    generations: int | None = None
    """Generations per search; default: 17, which with 64 genomes are the paper's 1,088 models."""
    search: SearchConfig = field(default_factory=lambda: _PAPER)
    """Other settings of the searches; default: the run's."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_6(arguments: Sequence[str]) -> None:
    """Parse, search, print."""
    if wants_help(arguments):
        show_help(FigureSixVerb, arguments, "figure 6")
    flags = given_flags(FigureSixVerb, arguments, "figure 6")
    given = FigureSixVerb(**flags.own)
    begin = RunDirectory.open(given.run).config.search if given.run is not None else _PAPER
    begin = dataclasses.replace(begin, population=_PAPER.population, generations=_PAPER.generations)
    config = configured(RunConfig("", search=begin), flags, flags.settings)
    if (given.run is None) == (given.truth is None):
        raise UsageError("`fairnas figure 6` needs either --run DIR, with a trained supernet, or --truth FILE")
    if config.search.searcher != begin.searcher:
        raise UsageError(
            f"search.searcher is {config.search.searcher}, but --searchers names the searchers; leave it out"
        )
    search = dataclasses.replace(
        config.search,
        population=config.search.population if given.population is None else given.population,
        generations=config.search.generations if given.generations is None else given.generations,
    )
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.paper.figure_6_study import FigureSix, draw_figure_6
    from fairnas.paper.search_targets import benchmark_truth, trained_supernet

    seeds = given.seeds if given.seeds is not None else _SUPERNET_SEEDS if given.run else _TRUTH_SEEDS
    command = command_line(["figure", "6"], arguments)
    figure = FigureSix(search, given.searchers, seeds, given.first_seed, command)
    figure.check()
    with contextlib.ExitStack() as held, interruptible() as stop, narrated() as narrator:
        if given.truth is not None:
            searched = benchmark_truth(given.truth, search, given.searchers)
        else:
            assert given.run is not None, "one of the two must have been given"
            searched = held.enter_context(trained_supernet(given.run, search, given.searchers, narrator, stop))
        numbers = draw_figure_6(given.out, figure, searched, narrator, stop)
    print_json(numbers) if given.json else _print_searchers(numbers)


def _print_searchers(numbers: dict[str, Any]) -> None:
    rows = []
    for name, found in numbers["searchers"].items():
        low, high = found["final"]["interval"]
        middle = found["median_evaluations"]
        rows.append(
            [
                name,
                f"{found['reached']} of {found['final']['n']}",
                "-" if middle is None else f"{middle:,}",
                f"{found['final']['mean']:.2%} [{low:.2%}, {high:.2%}]",
            ]
        )
    best = "the true front" if numbers["best"]["true"] else "the best front known"
    asked = numbers["evaluations"][-1]
    print_table(("searcher", " seeds at 99 %", " evaluations to it", f" hypervolume after {asked:,}"), rows)
    print(f"Hypervolume is relative to that of {best}; 95 % intervals over seeds.")
    for verdict in numbers["verdicts"]:
        print(f"{verdict['question']} {verdict['answer']}.")
    print(f"page      {numbers['page']}")


@dataclass(frozen=True)
class FigureEightVerb:
    """Figure 8: one-shot against stand-alone accuracy of the networks of a ranking study, with Kendall's tau.

    If another run with the same space and data is given, its supernet scores the same networks. Also shows the
    histogram of one-shot accuracies with the supernet accuracy gap lambda (paper 4.5, bottom of Figure 1). Needs a run
    whose stage `rank` is finished; trains nothing. Writes a page, numbers, and PNG and SVG files for a paper.

    Examples:
        fairnas figure 8 --run runs/strict --against runs/uniform
        fairnas figure 8 --run runs/strict --against runs/uniform --sample 1000
    """

    run: Path
    """The run directory."""
    against: Path | None = None
    """Another run directory; default: the one named in the study."""
    sample: int = 0
    """Number of random networks in the histograms (paper: 1,000); default: all that the search scored."""
    out: Path = Path("runs/figure8")
    """Folder for page, numbers and pictures."""
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


@dataclass(frozen=True)
class FigureTenVerb:
    """Figure 10: training curves of the networks of a ranking study, coloured by their one-shot accuracy.

    Also shows when, in the training, the one-shot order appears: Kendall's tau after each measured epoch. Needs a run
    whose stage `rank` is finished; trains nothing. Writes a page, numbers, and PNG and SVG files for a paper.

    Example:
        fairnas figure 10 --run runs/digits
    """

    run: Path
    """The run directory."""
    out: Path = Path("runs/figure10")
    """Folder for page, numbers and pictures."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_10(arguments: Sequence[str]) -> None:
    """Parse, read, print."""
    given = parse(FigureTenVerb, arguments, "figure 10")
    from fairnas.paper.figure_10 import draw_figure_10

    command = command_line(["figure", "10"], arguments)
    numbers = draw_figure_10(given.out, given.run, command)
    print_page(numbers, given.json)


@dataclass(frozen=True)
class FigureElevenVerb:
    """Figure 11: the networks of a search by generation, accuracy over multiply-adds and over parameters.

    Needs a run whose stage `search` is finished; scores nothing again.

    Example:
        fairnas figure 11 --run runs/digits
    """

    run: Path
    """The run directory."""
    out: Path = Path("runs/figure11")
    """Folder for the page."""
    json: bool = False
    """Print one JSON object and nothing else."""


def figure_11(arguments: Sequence[str]) -> None:
    """Parse, read, print."""
    given = parse(FigureElevenVerb, arguments, "figure 11")
    from fairnas.paper.figure_11 import draw_figure_11

    command = command_line(["figure", "11"], arguments)
    numbers = draw_figure_11(given.out, given.run, command)
    print_page(numbers, given.json)


FIGURES: dict[str, Callable[[Sequence[str]], None]] = {
    "1": figure_1,
    "4": figure_4,
    "6": figure_6,
    "8": figure_8,
    "10": figure_10,
    "11": figure_11,
}
"""Functions that make the figures of the paper, by number."""
