"""`fairnas search --run DIR`: stage two alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairnas.cli.output import millions, percent, print_json, print_table
from fairnas.cli.parsing import RunArguments, parse, peek
from fairnas.cli.run import with_bounds
from fairnas.cli.stage import do_stage
from fairnas.config import SearchConfig
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class SearchVerb(RunArguments):
    """Search the trained supernet of a run, and select networks from the front.

    Settings given here replace the run's; genomes that were scored before are not scored again.

    Examples:
        fairnas search --run runs/digits --max-madds 600k --search.generations 40
        fairnas search --run runs/digits --show
        fairnas search --run runs/digits --csv candidates.csv
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    max_madds: str | None = None
    """Upper bound on multiply-adds, such as 330M."""
    max_params: str | None = None
    """Upper bound on parameters, such as 4.5M."""
    show: bool = False
    """List the front that was found; search nothing."""
    csv: Path | None = None
    """Write every candidate that was scored to this file; search nothing."""


def main(arguments: Sequence[str]) -> None:
    """Parse, search, print."""
    path = peek(arguments, "--run") or peek(arguments, "--out")
    stored = RunDirectory.open(Path(path)).config if path is not None else None
    default = SearchVerb(Path(path), search=stored.search) if path is not None and stored is not None else None
    given = parse(SearchVerb, arguments, "search", default)
    if given.show or given.csv:
        _tell(given)
        return
    config = dataclasses.replace(RunDirectory.open(given.run).config, search=given.search)
    do_stage("search", given, config=with_bounds(config, given.max_madds, given.max_params))


def _tell(given: SearchVerb) -> None:
    """What a search found, without searching."""
    run = RunDirectory.open(given.run)
    front = run.read_json("search.json")["front"]
    written = 0
    if given.csv is not None:
        from fairnas.pipeline.summary import write_candidates

        written = write_candidates(run, given.csv)
    if given.json:
        print_json({"front": front, "csv": str(given.csv) if given.csv else None, "candidates": written})
        return
    if given.show:
        rows = [
            [
                row["genome"],
                percent(row["top1"]),
                millions(row["madds"]),
                millions(row["params"]),
                str(row["generation"]),
            ]
            for row in front
        ]
        print_table(("genome", " one-shot top-1", " MAdds", " params", " generation"), rows, title="the front")
    if given.csv is not None:
        print(f"csv       {given.csv}: {written:,} candidates")
