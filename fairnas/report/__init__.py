"""The one page to look at: verdicts, pictures and numbers of a run, in one file that opens offline."""

from pathlib import Path

from fairnas.report.inputs import read_inputs
from fairnas.report.page import render
from fairnas.rundir import RunDirectory, write_atomically

__all__ = ["write_report"]


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` of a run, from the files of its directory and nothing else.

    A part whose input is not there yet is replaced by a sentence that says which command makes it.

    Returns:
        Path of the page.

    Raises:
        RunDirectoryError: if a file of the run is damaged, or the page cannot be written.
    """
    path = run.path / "report.html"
    write_atomically(path, render(read_inputs(run)).encode())
    return path
