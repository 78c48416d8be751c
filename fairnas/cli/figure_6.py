"""`fairnas figure 6`: searchers beside each other, on a trained supernet or on a benchmark's truth."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairnas.cli.output import command_line, print_json, print_table
from fairnas.cli.parsing import UsageError, given_flags, show_help, wants_help
from fairnas.cli.settings import configured
from fairnas.config import RunConfig, SearchConfig
from fairnas.rundir import RunDirectory

_SUPERNET_SEEDS, _TRUTH_SEEDS = 5, 20
_PAPER = SearchConfig(population=64, generations=17)


@dataclass(frozen=True)
class FigureSixVerb:
    """Figure 6: fronts of several searchers, and their hypervolume over evaluations, with intervals over seeds.

    They search the supernet of a run whose stage `train` is finished, within the bounds of its configuration, or the
    truth of NAS-Bench-Macro, where every network was trained from scratch by its authors. No network is scored twice,
    whoever asks for it. Repeated on the same folder, it goes on where it stopped; more seeds and searchers may join.

    Examples:
        fairnas figure 6 --run runs/digits
        fairnas figure 6 --run runs/digits --seeds 10 --searchers moremnas nsga2
        fairnas figure 6 --truth nas-bench-macro_cifar10.json
    """

    run: Path | None = None
    """The run directory whose supernet is searched."""
    truth: Path | None = None
    """The JSON file of NAS-Bench-Macro for CIFAR-10, instead of a run."""
    out: Path = Path("runs/figure6")
    """Folder of the page, of the searches and of their archive."""
    seeds: int | None = None
    """Searches per searcher; default: 5 on a supernet, 20 on the truth."""
    first_seed: int = 0
    """Of the searches; the others follow it."""
    searchers: tuple[str, ...] = ("moremnas", "nsga2", "nsga2_reinforced", "random", "mnasnet_rl")
    """Who is compared; `fairnas searchers` lists all."""
    population: int | None = None
    """Genomes per generation (paper: 64)."""
    generations: int | None = None
    """Generations; default: 17, which with 64 genomes are the paper's 1,088 models."""
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
            f"search.searcher is {config.search.searcher}, but --searchers says who searches; leave it out"
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
            assert given.run is not None, "one of the two was given"
            searched = held.enter_context(trained_supernet(given.run, search, given.searchers, narrator, stop))
        numbers = draw_figure_6(given.out, figure, searched, narrator, stop)
    print_json(numbers) if given.json else _print(numbers)


def _print(numbers: dict[str, Any]) -> None:
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
    print(f"Hypervolume is a share of that of {best}; 95 % intervals over seeds.")
    for verdict in numbers["verdicts"]:
        print(f"{verdict['question']} {verdict['answer']}.")
    print(f"page      {numbers['page']}")
