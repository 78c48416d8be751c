"""The ledger: how often every choice block was trained, and the fairness verdicts over it (paper 2.2).

It counts two things per block: `passes`, the paths it was on (the paper's Y), and `updates`, the supernet steps in
which its weights really received a gradient. It is told of the second by looking at the weights, so it notices a
strategy that draws fairly and trains otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.errors import CheckpointError, UnfairTraining
from fairnas.fairness.theory import uniform_variance
from fairnas.space import Genome

SIGNIFICANCE = 0.001
"""A fair sampler is called unfair once in a thousand audits."""


@dataclass(frozen=True)
class Audit:
    """The fairness verdict over a ledger."""

    strategy: str
    steps: int
    """Supernet steps."""
    backward_passes: int
    """Paths trained."""
    updates_min: int
    """Updates of the least trained choice block."""
    updates_max: int
    """Updates of the most trained one."""
    expectation_fair: bool
    """Definition 2: the counts are what equal expectations make likely (chi-square test at `SIGNIFICANCE`)."""
    strict_fair: bool
    """Definition 3: within every layer all counts are equal, exactly."""
    p_value: float
    """Of the chi-square test, all layers together."""
    variance_ratio: float
    """Mean variance of the counts within a layer over n(m-1)/m^2 (equation 1): about 1 if uniform, 0 if strict."""


class Ledger:
    """Counts per layer and choice. Grows by `record`, is saved as plain data."""

    def __init__(self, strategy: str, choices: tuple[int, ...]) -> None:
        """Args: `strategy` is the name of whoever trains; `choices` per layer."""
        self.strategy, self.choices = strategy, choices
        self.steps = 0
        self.backward_passes = 0
        self.passes = [np.zeros(count, dtype=np.int64) for count in choices]
        self.updates = [np.zeros(count, dtype=np.int64) for count in choices]

    def record(self, paths: Sequence[Genome], trained: Sequence[Sequence[bool]]) -> None:
        """Count one supernet step.

        Args:
            paths: the genomes that had a backward pass.
            trained: per layer and choice, whether the block's weights received a gradient for the update.
        """
        self.steps += 1
        self.backward_passes += len(paths)
        for layer, count in enumerate(self.choices):
            self.passes[layer] += np.bincount([path[layer] for path in paths], minlength=count)
            self.updates[layer] += np.asarray(trained[layer], dtype=np.int64)

    def require_level(self) -> None:
        """Raise `UnfairTraining` unless all blocks of each layer are level (definition 3)."""
        for name, counts in (("passes", self.passes), ("updates", self.updates)):
            for layer, row in enumerate(counts):
                if row.min() != row.max():
                    raise UnfairTraining(
                        f"strict fairness is broken after step {self.steps}: {name} of the choice blocks "
                        f"in layer {layer} are {row.tolist()}, which must be equal"
                    )

    def audit(self) -> Audit:
        """The verdict over what was counted so far."""
        from scipy.stats import chi2  # 0.8 s to import, and training never asks

        statistic, freedom, ratios = 0.0, 0, []
        for row in self.passes:
            n, m = int(row.sum()), len(row)
            if m > 1 and n > 0:
                statistic += float(((row - n / m) ** 2).sum() / (n / m))
                freedom += m - 1
                ratios.append(float(row.var()) / uniform_variance(m, n))
        p_value = float(chi2.sf(statistic, freedom)) if freedom else 1.0
        updates = np.concatenate(self.updates)
        level = all(row.min() == row.max() for row in (*self.passes, *self.updates))
        return Audit(
            strategy=self.strategy,
            steps=self.steps,
            backward_passes=self.backward_passes,
            updates_min=int(updates.min()),
            updates_max=int(updates.max()),
            expectation_fair=p_value >= SIGNIFICANCE,
            strict_fair=level,
            p_value=p_value,
            variance_ratio=math.fsum(ratios) / len(ratios) if ratios else 0.0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint or `ledger.json`."""
        return {
            "strategy": self.strategy,
            "steps": self.steps,
            "backward_passes": self.backward_passes,
            "passes": [row.tolist() for row in self.passes],
            "updates": [row.tolist() for row in self.updates],
        }

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> "Ledger":
        """The inverse of `to_dict`. Raises `CheckpointError` for anything else."""
        try:
            ledger = Ledger(str(plain["strategy"]), tuple(len(row) for row in plain["passes"]))
            ledger.steps, ledger.backward_passes = _count(plain["steps"]), _count(plain["backward_passes"])
            ledger.passes, ledger.updates = (
                [np.array([_count(count) for count in row], dtype=np.int64) for row in plain[key]]
                for key in ("passes", "updates")
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"this is not a ledger: {type(error).__name__}: {error}; train again") from None
        if [len(row) for row in ledger.updates] != list(ledger.choices) or not all((ledger.choices, *ledger.choices)):
            raise CheckpointError("this is not a ledger: passes and updates differ in shape; train again")
        return ledger


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
