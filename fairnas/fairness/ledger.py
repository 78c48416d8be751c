"""Ledger: counts of the trainings of every choice block, and the fairness verdicts over them (paper 2.2).

It counts two things per block: `passes`, the paths it was on (the paper's Y), and `updates`, the parameter updates
for which its weights received a gradient. Updates are counted by looking at the weights, which exposes a strategy that
draws fairly but trains otherwise. Counts of all blocks are in one array, layer after layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.errors import CheckpointError, UnfairTraining
from fairnas.fairness.chain import ChainRecord, next_record, require_unbroken, state_digest
from fairnas.fairness.theory import uniform_variance
from fairnas.space import Genome

SIGNIFICANCE = 0.001
"""Significance level: a fair sampler is called unfair once in a thousand audits."""

Counts = np.ndarray
"""(sum of m over the layers,) int64: one number per choice block, layer after layer."""


def count_passes(paths: Sequence[Genome], choices: Sequence[int]) -> Counts:
    """Number of paths that each choice block is on."""
    starts = np.cumsum([0, *choices])
    return np.bincount((np.asarray(paths, dtype=np.int64) + starts[:-1]).ravel(), minlength=int(starts[-1]))


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
    """Updates of the most trained choice block."""
    single_paths: bool
    """Definition 1, as far as counts can show: every pass that trained weights went through one block of each layer, as
    in the training of a single network. The other two definitions require this one.
    """
    expectation_fair: bool
    """Definition 2: the counts are likely under equal expectations (chi-square test at `SIGNIFICANCE`)."""
    strict_fair: bool
    """Definition 3: within every layer all counts are equal, exactly. If a strict strategy is level only at the end of
    each cycle of steps: equal at the end of the last complete cycle, and False before the first one ended.
    """
    level_every: int
    """Steps of such a cycle; 1 if every step is level, or if the strategy promises nothing."""
    level_at: int
    """Last step after which all counts were equal; 0 if none."""
    p_value: float
    """P-value of the chi-square test, all layers together."""
    variance_ratio: float
    """Mean variance of the counts within a layer divided by n(m-1)/m^2 (equation 1): about 1 if uniform, 0 if strict.
    """
    gradient_share: tuple[float, float]
    """Smallest and largest share of a block in its layer's gradient norms, times m: (1, 1) if all are equal."""


class Ledger:
    """Counts per layer and choice. Grows by `record`; `to_dict` gives plain data."""

    def __init__(self, strategy: str, choices: tuple[int, ...], level_every: int = 1) -> None:
        """Start empty.

        Args:
            strategy: name of the training strategy.
            choices: per layer.
            level_every: number of steps after which the strategy promises equal counts.
        """
        self.strategy, self.choices, self.level_every = strategy, choices, level_every
        self.steps = 0
        self.backward_passes = 0
        self.architecture_passes = 0
        """Backward passes that updated no weights but trained the architecture."""
        self.block_runs = 0
        """Choice blocks run by all passes, each on one mini-batch: the compute spent."""
        self.level_at = 0
        self.chain: tuple[ChainRecord, ...] = ()
        """One record per epoch, which ties the counts to the weights and to the record before."""
        self._starts = np.cumsum([0, *choices])
        self._sizes = np.asarray(choices)
        blocks = int(self._starts[-1])
        self._passes, self._updates, self._last_step = (np.zeros(blocks, dtype=np.int64) for _ in range(3))
        self._gradient_norms = np.zeros(blocks)
        self._scatter = np.zeros(len(choices))

    @property
    def passes(self) -> list[np.ndarray]:
        """Paths that each choice block was on, per layer."""
        return self._rows(self._passes)

    @property
    def updates(self) -> list[np.ndarray]:
        """Parameter updates for which each choice block had a gradient of its own, per layer."""
        return self._rows(self._updates)

    @property
    def last_step(self) -> list[np.ndarray]:
        """Last supernet step (from 1) that updated each choice block, per layer; 0 if none did."""
        return self._rows(self._last_step)

    @property
    def gradient_norms(self) -> list[np.ndarray]:
        """Sum over the updates of the norm of each choice block's gradient, per layer."""
        return self._rows(self._gradient_norms)

    def _rows(self, flat: np.ndarray) -> list[np.ndarray]:
        return np.split(flat, self._starts[1:-1])

    def record(
        self,
        passes: Counts,
        updates: Counts,
        backward_passes: int,
        architecture_passes: int = 0,
        architecture_runs: int = 0,
    ) -> None:
        """Count one supernet step.

        Args:
            passes: number of paths that each block was on.
            updates: number of parameter updates for which its weights had a gradient.
            backward_passes: paths that were trained.
            architecture_passes: backward passes that updated no weights.
            architecture_runs: choice blocks run by these passes, and by forward passes that only gave a score.
        """
        self.steps += 1
        self.backward_passes += backward_passes
        self.architecture_passes += architecture_passes
        self.block_runs += int(passes.sum()) + architecture_runs
        self._passes += passes
        self._updates += updates
        self._last_step[updates > 0] = self.steps
        mean = np.add.reduceat(passes, self._starts[:-1]) / self._sizes
        squares = np.add.reduceat((passes - np.repeat(mean, self._sizes)) ** 2, self._starts[:-1])
        self._scatter += squares / np.maximum(self._sizes - 1, 1)
        if all(self._is_level(counts).all() for counts in (self._passes, self._updates)):
            self.level_at = self.steps

    def set_gradient_norms(self, sums: np.ndarray) -> None:
        """Replace the sums of gradient norms, one per block; they are summed on the device, without synchronisation."""
        self._gradient_norms = np.array(sums, dtype=np.float64)

    def seal(self, weights: str) -> None:
        """Add a record to the chain: the present counts belong to these weights.

        Args:
            weights: SHA-256 of the supernet's parameters and buffers, in hexadecimal.
        """
        counts = self._passes, self._updates
        self.chain += (next_record(self.chain, self.steps, *counts, weights, state_digest(self._state())),)

    def require_sealed(self, weights: str) -> None:
        """Raise `ValueError` unless the present counts belong to these weights.

        Args:
            weights: as for `seal`.
        """
        if not self.chain or (self.chain[-1].step, self.chain[-1].weights) != (self.steps, weights):
            raise ValueError(f"its counts of {self.steps:,} steps belong to other weights")

    def _is_level(self, counts: Counts) -> np.ndarray:
        """Mask of the layers whose blocks all have the same count."""
        first = self._starts[:-1]
        return np.minimum.reduceat(counts, first) == np.maximum.reduceat(counts, first)

    def require_level(self) -> None:
        """Raise `UnfairTraining` unless all blocks of each layer are level (definition 3)."""
        for name, counts in (("passes", self._passes), ("updates", self._updates)):
            for layer in np.flatnonzero(~self._is_level(counts)).tolist():
                raise UnfairTraining(
                    f"strict fairness is broken after step {self.steps}: {name} of the choice blocks "
                    f"in layer {layer} are {self._rows(counts)[layer].tolist()}, which must be equal"
                )

    def audit(self) -> Audit:
        """Verdict over the counts so far."""
        p_value = self._p_value()
        ratios = [
            float(row.var()) / uniform_variance(len(row), int(row.sum()))
            for row in self.passes
            if len(row) > 1 and row.sum() > 0
        ]
        shares = [row / row.mean() for row in self.gradient_norms if row.sum() > 0] or [np.ones(1)]
        # a ledger that was never level is not strictly fair, even if training has just begun
        level = self.level_at > 0 or self.steps == 0
        single_paths = all(int(row.sum()) == self.backward_passes for row in self.passes)
        return Audit(
            strategy=self.strategy,
            steps=self.steps,
            backward_passes=self.backward_passes,
            updates_min=int(self._updates.min()),
            updates_max=int(self._updates.max()),
            single_paths=single_paths,
            expectation_fair=single_paths and p_value >= SIGNIFICANCE,
            strict_fair=single_paths and level and self.steps - self.level_at < self.level_every,
            level_every=self.level_every,
            level_at=self.level_at,
            p_value=p_value,
            variance_ratio=math.fsum(ratios) / len(ratios) if ratios else 0.0,
            gradient_share=(min(float(row.min()) for row in shares), max(float(row.max()) for row in shares)),
        )

    def unevenness(self) -> tuple[float, float]:
        """Unevenness of the treatment of the blocks of a layer: Gini coefficients, means over the layers.

        Returns:
            Coefficients of the updates and of the gradient norms: 0 if all blocks of a layer got the same, (m-1)/m if
            one got everything.
        """
        updates = [gini(row) for row in self.updates if len(row) > 1]
        norms = [gini(row) for row in self.gradient_norms if len(row) > 1]
        return math.fsum(updates) / max(len(updates), 1), math.fsum(norms) / max(len(norms), 1)

    def _p_value(self) -> float:
        """Probability of counts at least as uneven as these, if every step treats the blocks of a layer alike.

        Alike means: given the number of passes that a step spends on a layer, and the groups that they come in, every
        assignment of groups to blocks is equally likely. Then sum (Y - mean)^2 divided by the sum of the steps' sample
        variances is about chi-square with m - 1 degrees of freedom. For one uniform path per step this is Pearson's
        test; for k passes on one path, or several blocks at once, Pearson's test would be wrong. If passes are
        never uneven within a step, as under strict fairness, there is nothing to test.
        """
        from scipy.stats import chi2  # imported here: it takes 0.8 s, and training never needs it

        statistic, freedom = 0.0, 0
        for row, scatter in zip(self.passes, self._scatter.tolist(), strict=True):
            if scatter > 0:
                statistic += float(((row - row.mean()) ** 2).sum()) / scatter
                freedom += len(row) - 1
        return float(chi2.sf(statistic, freedom)) if freedom else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint or `ledger.json`."""
        return self._state() | {"chain": [record.to_dict() for record in self.chain]}

    def _state(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy,
            "steps": self.steps,
            "backward_passes": self.backward_passes,
            "architecture_passes": self.architecture_passes,
            "block_runs": self.block_runs,
            "level_every": self.level_every,
            "level_at": self.level_at,
            "scatter": self._scatter.tolist(),
            **{name: [row.tolist() for row in getattr(self, name)] for name in (*_COUNTS, "gradient_norms")},
        }

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> "Ledger":
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: for anything else, and for counts that do not match their chain.
        """
        try:
            ledger = Ledger(str(plain["strategy"]), tuple(len(row) for row in plain["passes"]))
            if not all((ledger.choices, *ledger.choices)):
                raise ValueError("a layer has no choices")
            for name in _NUMBERS:
                setattr(ledger, name, _count(plain[name]))
            for name in _COUNTS:
                setattr(ledger, f"_{name}", ledger._flat(name, plain[name], _count, np.int64))
            ledger._gradient_norms = ledger._flat("gradient_norms", plain["gradient_norms"], _sum, np.float64)
            if len(plain["scatter"]) != len(ledger.choices):
                raise ValueError("passes and scatter differ in shape")
            ledger._scatter = np.array([_sum(value) for value in plain["scatter"]])
            ledger.chain = tuple(ChainRecord.from_dict(each) for each in plain["chain"])
            ledger._require_chained()
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"this is not a ledger: {type(error).__name__}: {error}; train again") from None
        return ledger

    @staticmethod
    def of_finished_training(plain: dict[str, Any]) -> "Ledger":
        """Read the ledger in `ledger.json`, whose chain must reach its last step.

        Raises:
            CheckpointError: in the cases of `from_dict`, and if records are missing at the end of the chain.
        """
        ledger = Ledger.from_dict(plain)
        if (ledger.chain[-1].step if ledger.chain else 0) != ledger.steps:
            raise CheckpointError(f"the chain of this ledger ends before its last step, {ledger.steps:,}; train again")
        return ledger

    def _require_chained(self) -> None:
        require_unbroken(self.chain)
        if not self.chain:
            return
        last = self.chain[-1]
        if last.step > self.steps:
            raise ValueError(f"its chain goes to step {last.step:,}, its counts to {self.steps:,}")
        if last.step == self.steps and last.state != state_digest(self._state()):
            raise ValueError("its counts are not those of the last record in its chain")

    def _flat(self, name: str, rows: Any, check: Any, dtype: type) -> np.ndarray:
        if tuple(len(row) for row in rows) != self.choices:
            raise ValueError(f"passes and {name} differ in shape")
        return np.array([check(value) for row in rows for value in row], dtype=dtype)


def gini(amounts: np.ndarray) -> float:
    """Gini coefficient of non-negative amounts: half their mean absolute difference, divided by their mean."""
    total = float(amounts.sum())
    if total == 0:
        return 0.0
    rank = np.arange(1, len(amounts) + 1)
    return float(((2 * rank - len(amounts) - 1) * np.sort(amounts)).sum()) / (len(amounts) * total)


_COUNTS = ("passes", "updates", "last_step")
_NUMBERS = ("steps", "backward_passes", "architecture_passes", "block_runs", "level_every", "level_at")


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _sum(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is not a sum of norms")
    return float(value)
