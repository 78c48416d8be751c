"""`fairnas search --run DIR`: stage two alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairnas.cli.parsing import RunArguments, parse, peek
from fairnas.cli.run import with_bounds
from fairnas.cli.stage import do_stage
from fairnas.config import SearchConfig
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class SearchVerb(RunArguments):
    """Search the trained supernet of a run, and select networks from the front.

    Settings given here replace the run's; genomes that were scored before are not scored again.

    Example:
        fairnas search --run runs/digits --max-madds 600k --search.generations 40
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    max_madds: str | None = None
    """Upper bound on multiply-adds, such as 330M."""
    max_params: str | None = None
    """Upper bound on parameters, such as 4.5M."""


def main(arguments: Sequence[str]) -> None:
    """Parse, search, print."""
    path = peek(arguments, "--run") or peek(arguments, "--out")
    stored = RunDirectory.open(Path(path)).config if path is not None else None
    default = SearchVerb(Path(path), search=stored.search) if path is not None and stored is not None else None
    given = parse(SearchVerb, arguments, "search", default)
    config = dataclasses.replace(RunDirectory.open(given.run).config, search=given.search)
    do_stage("search", given, config=with_bounds(config, given.max_madds, given.max_params))
