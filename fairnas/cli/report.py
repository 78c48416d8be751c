"""`fairnas report --run DIR`: the report of a run; `fairnas report A B`: a comparison of two runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from fairnas.cli.output import print_json
from fairnas.cli.parsing import RunArguments, UsageError, parse
from fairnas.cli.stage import do_stage
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class ReportVerb:
    """Write report.html from the present state of a run, or a page that compares two runs.

    Examples:
        fairnas report --run runs/digits
        fairnas report runs/strict runs/uniform
        fairnas report runs/strict runs/uniform --page strict-and-uniform.html
    """

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """One run directory, or two to compare."""
    run: Annotated[Path | None, tyro.conf.arg(aliases=("--out",))] = None
    """Run directory, as for the other verbs."""
    page: Path | None = None
    """Path of the page that compares two runs; default: against-B.html in the directory of A."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, write, print."""
    given = parse(ReportVerb, arguments, "report")
    runs = (*([given.run] if given.run is not None else []), *given.runs)
    if not 1 <= len(runs) <= 2:
        raise UsageError(
            f"{len(runs)} run directories are given; give one for its report, `fairnas report --run DIR`, "
            "or two to compare, `fairnas report A B`"
        )
    if len(runs) == 2:
        _compare(runs[0], runs[1], given)
        return
    if given.page is not None:
        raise UsageError("--page is for the page of two runs; the report of one lies in its directory")
    do_stage("report", RunArguments(runs[0], given.json))


def _compare(first: Path, second: Path, given: ReportVerb) -> None:
    one, other = RunDirectory.open(first), RunDirectory.open(second)
    from fairnas.report import write_comparison  # imported here, because it loads torch

    numbers = write_comparison(one, other, given.page)
    print_json(numbers) if given.json else _print(numbers)


def _print(numbers: Mapping[str, Any]) -> None:
    a, b = numbers["runs"]
    if not numbers["same_space"]:
        print("the search spaces differ: the same genome is another network in each of them")
    if numbers["same_data"] is False:
        print("the data differ: accuracies of the one say nothing about those of the other")
    settings = ", ".join(f"{key} ({one}; {other})" for key, (one, other) in numbers["settings"].items())
    print(f"settings that differ: {settings or 'none'}")
    if numbers["hypervolume"] is not None:
        one, other = numbers["hypervolume"]
        print(f"hypervolume with one reference: {one:.4f} of {a}, {other:.4f} of {b}")
    gap = numbers["tau_difference"]
    if gap is not None:
        low, high = gap["interval"]
        limits = "no interval" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}"
        print(f"tau of {a} minus tau of {b}: {gap['difference']:.2f} ({limits})")
    print(f"page      {numbers['page']}")
