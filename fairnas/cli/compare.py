"""`fairnas compare`: weight-sharing systems compared, the paper's Table 1 as measurements."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from fairnas.cli.output import command_line, print_json, print_table
from fairnas.cli.parsing import given_flags, show_help, wants_help
from fairnas.cli.settings import configured, recipe_config, shown_config
from fairnas.config import RunConfig

_MODELS = 24  # networks trained from scratch by default


@dataclass(frozen=True)
class CompareVerb:
    """Train weight-sharing systems on one space, one data set and one budget, and measure the claims of Table 1.

    Measures memory, time, compute, fairness by the ledger, how unequally blocks are treated, tau of the scores against
    networks of known accuracy, and the architecture that each system finds. Every system gets the compute that strict
    training takes in the epochs of the recipe. The same command on the same folder resumes; seeds and systems may be
    added.

    Examples:
        fairnas compare digits
        fairnas compare digits --strategies strict uniform darts --seeds 3
        fairnas compare cifar10 --space nas_bench_macro --data.root DIR --truth nas-bench-macro_cifar10.json
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = "digits"
    """Recipe that all systems share."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: RunConfig(""))
    strategies: tuple[str, ...] = ()
    """Strategies to compare; default: all of the paper's Table 1, its baselines, ENAS and the sandwich rule."""
    seeds: int = 1
    """Trainings per system."""
    models: int | None = None
    """Number of networks on which scores are compared; default: 24 trained from scratch, or all of the benchmark."""
    truth: Path | None = None
    """JSON file of NAS-Bench-Macro for CIFAR-10, to be used instead of training networks from scratch."""
    out: Path = Path("runs/table1")
    """Folder for the page and the trainings."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, train, print."""
    if wants_help(arguments):
        name = next((each for each in arguments[:1] if not each.startswith("-")), "digits")
        show_help(CompareVerb, arguments, "compare", CompareVerb(name, shown_config(name)))
    flags = given_flags(CompareVerb, arguments, "compare")
    given = CompareVerb(**flags.own)
    config = configured(recipe_config(given.name, flags, flags.settings), flags, flags.settings)
    # torch is only needed from here on
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.paper.table_1_study import SystemComparison, measure_table_1
    from fairnas.paper.table_1_systems import BESIDE, TABLE_1_SYSTEMS

    comparison = SystemComparison(
        base=config,
        systems=given.strategies or (*TABLE_1_SYSTEMS, *BESIDE),
        seeds=given.seeds,
        models=given.models if given.models is not None or given.truth is not None else _MODELS,
        truth=given.truth,
        command=command_line(["compare"], arguments),
    )
    with interruptible() as stop, narrated() as narrator:
        numbers = measure_table_1(given.out, comparison, narrator, stop)
    print_json(numbers) if given.json else _print(numbers)


def _print(numbers: dict[str, Any]) -> None:
    print_table([numbers["columns"][0], *(f" {name}" for name in numbers["columns"][1:])], numbers["rows"])
    for name, system in numbers["systems"].items():
        for claim, found in system["verdicts"].items():
            print(f"{name}: {claim} {found['verdict']} (paper: {found['claimed']}; here {found['measured']})")
    print(f"page      {numbers['page']}")
