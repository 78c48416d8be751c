"""Sum over layers, fitted to measured networks: one number common to all networks, and one per choice block.

Networks are measured in groups, and the speed of the machine may differ between groups: all networks of a group take
`1 / pace` times as long as on average. If each group consists of the networks of a strict-fair step, in which every
block occurs equally often, the groups' means would be equal apart from that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Choices = Sequence[int]


@dataclass(frozen=True)
class AdditiveFit:
    """Measured quantity as a sum. Predictions are unique if there are enough networks; the parts are not.

    Adding a constant to all blocks of a layer and subtracting it from the fixed part changes no prediction.
    """

    fixed: float
    layers: tuple[tuple[float, ...], ...]
    """One number per block; the numbers of a layer sum to zero."""
    paces: tuple[float, ...]
    """Factor of each group's measurements; 1 on average."""

    def __call__(self, genome: Sequence[int]) -> float:
        """Prediction for a network."""
        return self.fixed + sum(row[choice] for row, choice in zip(self.layers, genome, strict=True))

    def with_levels(self, levels: Sequence[float]) -> tuple[float, tuple[tuple[float, ...], ...]]:
        """Equal predictions from non-negative numbers: fixed part, and blocks.

        Args:
            levels: approximate mean cost of the blocks, per layer. A layer whose cheapest block would be negative is
                raised, and all layers are lowered equally if nothing would be left for the fixed part.
        """
        lowest = [-min(row) for row in self.layers]  # levels at which the cheapest block costs nothing
        above = [max(0.0, level - least) for level, least in zip(levels, lowest, strict=True)]
        left = max(0.0, self.fixed - sum(lowest))
        share = min(1.0, left / sum(above)) if sum(above) else 1.0
        moved = [least + share * more for least, more in zip(lowest, above, strict=True)]
        rows = tuple(
            tuple(max(0.0, number + level) for number in row) for row, level in zip(self.layers, moved, strict=True)
        )
        return max(0.0, self.fixed - sum(moved)), rows


def fit_additive(
    choices: Choices,
    genomes: Sequence[Sequence[int]],
    values: Sequence[float],
    groups: Sequence[int],
    number: int | None = None,
) -> AdditiveFit:
    """Fit by least squares of relative errors, with the pace of every group among the unknowns.

    With fewer networks than unknowns, the solution with the smallest differences between blocks is taken.

    Args:
        choices: blocks per layer.
        genomes: the networks.
        values: measurement of each network, above 0.
        groups: group of each network, 0, 1, ...
        number: number of groups, if some may have no network; their pace is 1.
    """
    measured, group = np.asarray(values, dtype=float), np.asarray(groups)
    scale, count = float(measured.mean()), number or int(group.max()) + 1
    present = np.unique(group)
    # sum of a network's parts = pace * measured, divided by measured; unknowns are deviations of parts from the mean,
    # and of paces from 1
    relative = scale / measured[:, None]
    columns = np.concatenate([np.ones((len(measured), 1)), _indicators(choices, genomes)], axis=1) * relative
    paces = -(group[:, None] == np.arange(count)).astype(float)
    mean_pace = np.concatenate(
        [np.zeros(columns.shape[1]), np.sqrt(len(measured)) / len(present) * np.isin(np.arange(count), present)]
    )
    matrix = np.concatenate([np.concatenate([columns, paces], axis=1), mean_pace[None]])
    wanted = np.concatenate([1 - relative[:, 0], [0.0]])
    # the sums do not determine all unknowns: take the smallest solution
    found = np.linalg.lstsq(matrix, wanted, rcond=1e-10)[0]
    parts, fixed, rows = found[1 : columns.shape[1]] * scale, (1 + found[0]) * scale, []
    for row in np.split(parts, np.cumsum(choices)[:-1]):
        fixed += row.mean()
        rows.append(tuple((row - row.mean()).tolist()))
    return AdditiveFit(float(fixed), tuple(rows), tuple((1 + found[columns.shape[1] :]).tolist()))


def unknowns(choices: Choices) -> int:
    """Number of unknowns that predictions depend on."""
    return 1 + sum(count - 1 for count in choices)


def _indicators(choices: Choices, genomes: Sequence[Sequence[int]]) -> np.ndarray:
    """Indicator of the blocks of each network, (networks, blocks)."""
    chosen = np.asarray(genomes)
    return np.concatenate([chosen[:, [layer]] == np.arange(count) for layer, count in enumerate(choices)], axis=1)
