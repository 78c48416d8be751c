"""The report: verdicts, plots and numbers of a run on one page, in one file that opens offline."""

import dataclasses
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.errors import RunDirectoryError
from fairnas.report.page import render
from fairnas.report.run_data import read_inputs
from fairnas.report.side_by_side import render_two_runs
from fairnas.report.two_runs import TwoRuns
from fairnas.rundir import RunDirectory

__all__ = ["write_comparison", "write_report"]


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` of a run, from the files in its directory only.

    A part whose input is absent is replaced by a sentence with the command that makes it.

    Returns:
        Path of the page.

    Raises:
        RunDirectoryError: if a file of the run is damaged, or the page cannot be written.
    """
    path = run.path / "report.html"
    write_atomically(path, render(read_inputs(run)).encode())
    return path


def write_comparison(first: RunDirectory, second: RunDirectory, page: Path | None = None) -> dict[str, Any]:
    """Write the page that compares two runs, from the files in their directories only.

    Args:
        first: a run; the page is written into its directory, unless `page` is given.
        second: another run.
        page: path of the page; default: `against-NAME.html`, with the name of the second run.

    Returns:
        The numbers of the page (`TwoRuns.numbers`), and its path as `page`.

    Raises:
        RunDirectoryError: if both are the same run, a file of a run is damaged, or the page cannot be written.
    """
    paths = [run.path.resolve() for run in (first, second)]
    if paths[0] == paths[1]:
        raise RunDirectoryError(f"{first.path} and {second.path} are the same run; give two, or one for its own report")
    names = [path.name for path in paths]
    if names[0] == names[1]:
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    if names[0] == names[1]:
        names = [str(path) for path in paths]
    # the runs' own pages link exported files, which are beside them; this page may be elsewhere
    inputs = [dataclasses.replace(read_inputs(run), linked=False) for run in (first, second)]
    runs = TwoRuns(inputs[0], inputs[1], (names[0], names[1]))
    target = page or first.path / f"against-{paths[1].name}.html"
    write_atomically(target, render_two_runs(runs).encode())
    return runs.numbers() | {"page": str(target)}
