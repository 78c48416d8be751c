"""Section on fairness: number of updates and size of gradients of every choice block."""

import statistics
from collections.abc import Sequence

from fairnas.fairness import Ledger
from fairnas.report.format import percent, whole
from fairnas.report.html import Html, Section, folded, joined, missing, paragraphs, table, tag
from fairnas.report.run_data import Inputs
from fairnas.space import SearchSpace


def fairness(inputs: Inputs) -> Section:
    """Build the section: updates per choice block, shaded by their distance from the layer's mean."""
    title = "Fairness"
    if not inputs.ledger:
        return Section("fairness", title, paragraphs([missing("ledger", "train", inputs.path)]))
    updates = [[int(value) for value in row] for row in inputs.ledger.updates]
    means = [statistics.fmean(row) or 1.0 for row in updates]
    far = max(abs(value / mean - 1) for row, mean in zip(updates, means, strict=True) for value in row)
    widest = max(len(row) for row in updates)
    rows = [
        (
            str(layer),
            *(_shaded(whole(value), value / mean - 1, far, min(row) == max(row)) for value in row),
            *[Html("")] * (widest - len(row)),
            percent((max(row) - min(row)) / mean),
        )
        for layer, (row, mean) in enumerate(zip(updates, means, strict=True))
    ]
    intro = (
        "How often the weights of each choice block were updated. Strict fairness asks for equal numbers in "
        "every row; the spread is the distance from least to most, relative to the row's mean. "
        + (f"The strongest shade is {percent(far)} off the row's mean." if far else "All rows are level.")
    )
    head = ("layer", *_choice_names(inputs.space, widest), "spread")
    numbers = table("Updates per layer and choice block", head, rows, classes="heat")
    return Section("fairness", title, joined([paragraphs([intro]), numbers, _gradients(inputs.ledger, head[:-1])]))


def _gradients(ledger: Ledger, head: Sequence[str]) -> Html:
    """Table of gradient norms per block: equal numbers of updates may still be unequal updates."""
    norms = [[float(value) for value in row] for row in ledger.gradient_norms]
    if not any(map(sum, norms)):
        return Html("")
    shares = [[value / (statistics.fmean(row) or 1.0) for value in row] for row in norms]
    far = max(abs(share - 1) for row in shares for share in row)
    rows = [
        (
            str(layer),
            *(_shaded(f"{share:.2f}", share - 1, far, False) for share in row),
            *[Html("")] * (len(head) - 1 - len(row)),
        )
        for layer, row in enumerate(shares)
    ]
    caption = "Gradient norms per layer and choice block, relative to the layer's mean"
    numbers = table(caption, head, rows, classes="heat")
    return folded("Gradients of the choice blocks: equally many updates are not equally large ones", numbers)


def _choice_names(space: SearchSpace, count: int) -> tuple[str, ...]:
    """Names of the columns: labels of the blocks if all layers offer the same ones, otherwise numbers."""
    widest = max(space.layers, key=lambda layer: len(layer.choices)).choices
    alike = all(layer.choices == widest[: len(layer.choices)] for layer in space.layers)
    if alike and len(widest) == count:
        return tuple(block.label for block in widest)
    return tuple(f"choice {number}" for number in range(count))


def _shaded(text: str, deviation: float, far: float, level: bool) -> Html:
    if level or not far:
        return tag("span", text, classes="level")
    side = "over" if deviation > 0 else "under"
    share = f'style="--share:{100 * abs(deviation) / far:.0f}%"'
    return tag("span", text, classes=side, attributes=share)
