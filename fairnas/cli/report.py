"""`fairnas report --run DIR`: the one page to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.stage import do_stage


@dataclass(frozen=True)
class ReportVerb(RunArguments):
    """Write report.html from what the run holds by now.

    Example:
        fairnas report --run runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, write, print."""
    do_stage("report", parse(ReportVerb, arguments, "report"))
