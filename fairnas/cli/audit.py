"""`fairnas audit --run DIR`: the fairness verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.run import fairness_line
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class AuditVerb(RunArguments):
    """Say whether the supernet of a run was trained fairly, from the ledger of every update.

    Example:
        fairnas audit --run runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, audit, print."""
    given = parse(AuditVerb, arguments, "audit")
    from fairnas.pipeline.summary import audit

    run = RunDirectory.open(given.run)
    verdict = audit(run)
    if given.json:
        print_json(verdict)
        return
    updates = run.read_json("ledger.json")["updates"]
    most = max(len(row) for row in updates)
    rows = [[str(layer), *(f"{count:,}" for count in row)] for layer, row in enumerate(updates)]
    print_table(("layer", *(f" choice {choice}" for choice in range(most))), rows, title="updates per choice block")
    print(fairness_line(verdict))
    print(
        f"          chi-square p = {verdict['p_value']:.3g}; variance of the counts is "
        f"{verdict['variance_ratio']:.3g} of uniform sampling's"
    )
