"""`fairnas search --run DIR`: stage two alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from fairnas.cli.output import column, millions, percent, print_json, print_table, value
from fairnas.cli.parsing import RunArguments, parse, peek
from fairnas.cli.shortforms import ShortForms
from fairnas.cli.stage import do_stage
from fairnas.config import ACCURACY_WORDS, EvaluateConfig, Measure, SearchConfig
from fairnas.record import read_record
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.search.record import SearchRecord

_TELLING = 0.005
"""Difference of two accuracies of a network that shows in a table."""


@dataclass(frozen=True)
class SearchVerb(RunArguments, ShortForms):
    """Search the trained supernet of a run, and select networks from the front.

    Settings given here replace the run's when the search has ended well; if it fails, the run is as it was. Genomes
    that were scored before are not scored again.

    Examples:
        fairnas search --run runs/digits --max-madds 600k --search.generations 40
        fairnas search --run runs/digits --scheduler tcp://10.0.0.5:8786
        fairnas search --run runs/digits --evaluate.bn recalibrated
        fairnas search --run runs/digits --show
        fairnas search --run runs/digits --latency-table phone.json --max-latency 20ms
        fairnas search --run runs/digits --objective energy.py:energy
        fairnas search --run runs/digits --without energy
        fairnas search --run runs/digits --csv candidates.csv --parquet candidates.parquet
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    workers: int | None = None
    """Score genomes in so many processes on this machine."""
    scheduler: str | None = None
    """Score genomes on the workers of the Dask scheduler at this address."""
    without: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Take an objective out again, by its name, and its bound with it. May be given several times."""
    show: bool = False
    """List the front that was found, the objectives and where they come from; search nothing."""
    csv: Path | None = None
    """Write every candidate that was scored to this file; search nothing."""
    parquet: Path | None = None
    """The same as a Parquet file; search nothing."""


def main(arguments: Sequence[str]) -> None:
    """Parse, search, print."""
    path = peek(arguments, "--run") or peek(arguments, "--out")
    stored = RunDirectory.open(Path(path)).config if path is not None else None
    default = SearchVerb(Path(path), search=stored.search, evaluate=stored.evaluate) if path and stored else None
    given = parse(SearchVerb, arguments, "search", default)
    if given.show or given.csv or given.parquet:
        _tell(given)
        return
    run = RunDirectory.open(given.run)
    config = dataclasses.replace(run.config, search=_left(given, run), evaluate=given.evaluate)
    resources = None
    if given.workers is not None or given.scheduler is not None:
        resources = dataclasses.replace(config.resources, workers=given.workers, scheduler=given.scheduler)
    do_stage("search", given, config=given.over(config), resources=resources)


def _left(given: SearchVerb, run: RunDirectory) -> SearchConfig:
    """The settings of the search without the objectives that are to be taken out."""
    if not given.without:
        return given.search
    from fairnas.search.objectives import without_objectives
    from fairnas.search.record import SearchRecord

    there = (run.path / "search.json").exists()
    objectives = read_record(run, "search.json", SearchRecord).objectives if there else ()
    return without_objectives(given.search, given.without, {each.name: each.text for each in objectives})


def _tell(given: SearchVerb) -> None:
    """What a search found, without searching."""
    from fairnas.search.record import SearchRecord

    run = RunDirectory.open(given.run)
    search = read_record(run, "search.json", SearchRecord)
    files, written = {"csv": given.csv, "parquet": given.parquet}, 0
    if any(files.values()):
        from fairnas.pipeline.candidate_table import read_candidates

        table = read_candidates(run)
        written = len(table)
        if given.csv is not None:
            table.write_csv(given.csv)
        if given.parquet is not None:
            table.write_parquet(given.parquet)
    if given.json:
        paths, plain = {kind: str(path) if path else None for kind, path in files.items()}, search.to_dict()
        print_json({"front": plain["front"], "objectives": plain["objectives"], **paths, "candidates": written})
        return
    if given.show:
        _print_front(search)
    for kind, path in files.items():
        if path is not None:
            print(f"{kind:9} {path}: {written:,} candidates")


def _print_front(search: "SearchRecord") -> None:
    further, measure = search.further_objectives, search.measure
    other = _other_measure(search)
    other = None if other in {each.name for each in further} else other
    rows = [
        [
            each.text,
            percent(each.value(measure)),
            *([percent(each.get(other))] if other else []),
            millions(each.value("madds")),
            millions(each.value("params")),
            *(value(each.get(objective.name)) for objective in further),
            str(each.generation),
        ]
        for each in search.front
    ]
    accuracies = [f" one-shot {ACCURACY_WORDS[measure]}", *([f" {ACCURACY_WORDS[other]}"] if other else [])]
    heads = (column(objective.name, objective.unit) for objective in further)
    print_table(("genome", *accuracies, " MAdds", " params", *heads, " generation"), rows, title="the front")
    _print_objectives(search)
    if search.failed:
        print(f"failed    {search.failed:,} networks; the first: {search.failure or 'reason unknown'}")


def _other_measure(search: "SearchRecord") -> Measure | None:
    """Which accuracy has something to say beside the one that was searched by; balanced accuracy where it differs."""
    if search.measure != "top1":
        return "top1"
    both = [(each.value("top1"), each.get("balanced_accuracy")) for each in search.front]
    apart = [abs(top1 - balanced) for top1, balanced in both if balanced is not None]
    return "balanced_accuracy" if max(apart, default=0.0) > _TELLING else None


def _print_objectives(search: "SearchRecord") -> None:
    rows = []
    for each in search.objectives:
        limit = "" if each.bound is None else f"{'up to' if each.direction == 'min' else 'from'} {value(each.bound)}"
        wanted = "more is better" if each.direction == "max" else "less is better"
        rows.append([each.name, wanted, limit, each.origin, each.text])
    print_table(("objective", "", "bound", "from", "given as"), rows, title="what the search optimised")
