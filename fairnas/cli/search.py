"""`fairnas search --run DIR`: stage two alone."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from fairnas.cli.output import column, millions, percent, print_json, print_table, value
from fairnas.cli.parsing import RunArguments, given_flags, show_help, wants_help, without_help
from fairnas.cli.settings import stage_settings, with_objectives
from fairnas.cli.stage import do_stage
from fairnas.config import ACCURACY_WORDS, EvaluateConfig, Measure, Resources, RunConfig, SearchConfig
from fairnas.errors import FairnasError
from fairnas.record import read_record
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.search.record import SearchRecord

_TELLING = 0.005
"""Difference between two accuracies of a network from which the other measure is shown in the table."""


@dataclass(frozen=True)
class SearchVerb(RunArguments):
    """Search the trained supernet of a run, and select networks from the front.

    Settings given here replace the run's once the search has succeeded; if it fails, the run is unchanged. Genomes that
    were already scored are not scored again.

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
    resources: Resources = field(default_factory=Resources)
    objective: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """An additional objective: balanced_accuracy, top5, loss, latency, or FILE.py:NAME. May be given several times."""
    without: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Remove an objective and its bound, by name. May be given several times."""
    show: bool = False
    """List the front found, the objectives and their origin; search nothing."""
    csv: Path | None = None
    """Write every scored candidate to this CSV file; search nothing."""
    parquet: Path | None = None
    """Write every scored candidate to this Parquet file; search nothing."""


def main(arguments: Sequence[str]) -> None:
    """Parse, search, print."""
    if wants_help(arguments):
        show_help(SearchVerb, arguments, "search", _shown(without_help(arguments)))
    flags = given_flags(SearchVerb, arguments, "search")
    given = SearchVerb(**flags.own)
    if given.show or given.csv or given.parquet:
        _tell(given)
        return
    run = RunDirectory.open(given.run)
    stored = run.config
    config, resources = stage_settings(stored, flags)
    config = with_objectives(_left(given, config, run), given.objective)
    do_stage("search", given, config=config, instead_of=stored, resources=resources)


def _shown(arguments: Sequence[str]) -> SearchVerb | None:
    """Values that help shows: the run's, if it is named."""
    with contextlib.suppress(FairnasError):
        config = RunDirectory.open(given_flags(SearchVerb, arguments, "search").own["run"]).config
        return SearchVerb(Path(), search=config.search, evaluate=config.evaluate, resources=config.resources)
    return None


def _left(given: SearchVerb, config: RunConfig, run: RunDirectory) -> RunConfig:
    """Return a configuration without the objectives to be removed."""
    if not given.without:
        return config
    from fairnas.search.objectives import without_objectives
    from fairnas.search.record import SearchRecord

    there = (run.path / "search.json").exists()
    objectives = read_record(run, "search.json", SearchRecord).objectives if there else ()
    texts = {each.name: each.text for each in objectives}
    return dataclasses.replace(config, search=without_objectives(config.search, given.without, texts))


def _tell(given: SearchVerb) -> None:
    """Print or export the results of a search, without searching."""
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
    """Return the accuracy measure worth showing beside the run's: balanced accuracy if it differs on the front."""
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
