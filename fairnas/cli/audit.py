"""`fairnas audit --run DIR`: the fairness verdict."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.summary import fairness_line
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class AuditVerb(RunArguments):
    """Judge whether the supernet of a run was trained fairly, from the ledger of every update.

    Example:
        fairnas audit --run runs/digits
    """


BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def main(arguments: Sequence[str]) -> None:
    """Parse, audit, print."""
    given = parse(AuditVerb, arguments, "audit")
    from fairnas.fairness import read_ledger
    from fairnas.pipeline.summary import audit

    run = RunDirectory.open(given.run)
    verdict = audit(run)
    ledger = read_ledger(run)
    names = ("passes", "updates", "last_step", "gradient_norms")
    blocks = {name: [row.tolist() for row in getattr(ledger, name)] for name in names}
    if given.json:
        print_json({**dataclasses.asdict(verdict), **blocks})
        return
    most = max(ledger.choices)
    rows = [
        [
            str(layer),
            *(f"{count:,}" for count in updates),
            *[""] * (most - len(updates)),
            f"{min(blocks['last_step'][layer]):,}",
            bars(updates),
            bars(blocks["gradient_norms"][layer]),
        ]
        for layer, updates in enumerate(blocks["updates"])
    ]
    columns = ("layer", *(f" choice {choice}" for choice in range(most)), " last step", "updates", "gradients")
    print_table(columns, rows, title="updates per choice block")
    print("          bars: updates and gradient norms of the blocks of a layer; half height is the layer's mean, full")
    print("          height twice the mean or more; last step: that of the block updated longest ago")
    print(fairness_line(verdict))
    if verdict.level_every > 1:
        print(
            f"          level after every {verdict.level_every} steps, because layers differ in their number of "
            f"choices; last after step {verdict.level_at:,}"
        )
    print(
        f"          these counts belong to supernet/checkpoint.pt, by a chain of {len(ledger.chain):,} records, "
        f"one per epoch; weights {ledger.chain[-1].weights[:16]}..."
    )
    low, high = verdict.gradient_share
    print(
        f"          chi-square p = {verdict.p_value:.3g}; variance of the passes is {verdict.variance_ratio:.3g} "
        f"of uniform sampling's; a block's gradients are {low:.2f} to {high:.2f} of its layer's mean"
    )


def bars(values: Sequence[float]) -> str:
    """Draw a bar per value: half height is the mean, full height twice the mean or more."""
    mean = sum(values) / len(values)
    if mean == 0:
        return BARS[0] * len(values)
    return "".join(BARS[min(len(BARS) - 1, int(value / mean * len(BARS) / 2 - 0.5))] for value in values)
