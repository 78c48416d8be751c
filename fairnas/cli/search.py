"""`fairnas search --run DIR`: stage two alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from fairnas.cli.output import column, millions, percent, print_json, print_table, value
from fairnas.cli.parsing import RunArguments, parse, peek
from fairnas.cli.shortforms import ShortForms, WorkerFlags
from fairnas.cli.stage import do_stage
from fairnas.config import ACCURACY_WORDS, EvaluateConfig, Measure, SearchConfig
from fairnas.rundir import RunDirectory

_TELLING = 0.005
"""Difference of two accuracies of a network that shows in a table."""


@dataclass(frozen=True)
class SearchVerb(RunArguments, ShortForms, WorkerFlags):
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
    do_stage("search", given, config=given.over(config), resources=given.resources_for(config))


def _left(given: SearchVerb, run: RunDirectory) -> SearchConfig:
    """The settings of the search without the objectives that are to be taken out."""
    if not given.without:
        return given.search
    from fairnas.search.objectives import without_objectives

    rows = run.read_json("search.json")["objectives"] if (run.path / "search.json").exists() else []
    return without_objectives(given.search, given.without, {row["name"]: row.get("text") for row in rows})


def _tell(given: SearchVerb) -> None:
    """What a search found, without searching."""
    run = RunDirectory.open(given.run)
    search = run.read_json("search.json")
    front, files, written = search["front"], {"csv": given.csv, "parquet": given.parquet}, 0
    if any(files.values()):
        from fairnas.pipeline.candidate_table import read_candidates

        table = read_candidates(run)
        written = len(table)
        if given.csv is not None:
            table.write_csv(given.csv)
        if given.parquet is not None:
            table.write_parquet(given.parquet)
    if given.json:
        paths = {kind: str(path) if path else None for kind, path in files.items()}
        print_json({"front": front, "objectives": search["objectives"], **paths, "candidates": written})
        return
    if given.show:
        from fairnas.pipeline.summary import further_objectives

        units, measure = further_objectives(search), search.get("measure", "top1")
        other = _other_measure(front, measure)
        other = None if other in units else other
        rows = [
            [
                row["genome"],
                percent(row[measure]),
                *([percent(row[other])] if other else []),
                millions(row["madds"]),
                millions(row["params"]),
                *(value(row.get(name)) for name in units),
                str(row["generation"]),
            ]
            for row in front
        ]
        further = (column(name, unit) for name, unit in units.items())
        accuracies = [f" one-shot {ACCURACY_WORDS[measure]}", *([f" {ACCURACY_WORDS[other]}"] if other else [])]
        names = ("genome", *accuracies, " MAdds", " params", *further, " generation")
        print_table(names, rows, title="the front")
        _print_objectives(search["objectives"])
        if search["failed"]:
            print(f"failed    {search['failed']:,} networks; the first: {search.get('failure') or 'reason unknown'}")
    for kind, path in files.items():
        if path is not None:
            print(f"{kind:9} {path}: {written:,} candidates")


def _other_measure(front: Sequence[Mapping[str, Any]], measure: Measure) -> Measure | None:
    """Which accuracy has something to say beside the one that was searched by; balanced accuracy where it differs."""
    if measure != "top1":
        return "top1"
    apart = [abs(row["top1"] - row.get("balanced_accuracy", row["top1"])) for row in front]
    return "balanced_accuracy" if max(apart, default=0.0) > _TELLING else None


def _print_objectives(objectives: Sequence[Mapping[str, Any]]) -> None:
    rows = []
    for each in objectives:
        bound = each["bound"]
        limit = "" if bound is None else f"{'up to' if each['direction'] == 'min' else 'from'} {value(bound)}"
        wanted = "more is better" if each["direction"] == "max" else "less is better"
        rows.append([each["name"], wanted, limit, each.get("origin", "not recorded"), each.get("text", each["name"])])
    print_table(("objective", "", "bound", "from", "given as"), rows, title="what the search optimised")
