"""Plan of the measurements for a latency table, and the table that follows from them. No timing here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.analysis import rank_agreement
from fairnas.analysis.additive import AdditiveFit, fit_additive, unknowns
from fairnas.fairness import StrictSampler
from fairnas.latency import LatencyCheck, LatencyTable
from fairnas.latency.table import channels_of
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace

HELD_OUT = 30
"""Random networks that are not used in the fit, to check it."""
HELD_OUT_TIMES = 3  # measurements of each, spread over the steps
PER_UNKNOWN = 3
"""Largest number of networks measured per unknown of the fit."""
STABLE = 0.003
"""Measuring ends when its last quarter changed the predictions by less than this share."""
LEAST_STEPS = 2
SEED = 0


@dataclass(frozen=True)
class MeasurementPlan:
    """Networks to measure at each step; a function of the space alone."""

    space: SearchSpace
    held_out: tuple[Genome, ...]
    steps: int
    """Largest number of steps."""

    @staticmethod
    def of(space: SearchSpace) -> "MeasurementPlan":
        """Make the plan. Held-out networks are distinct, and at most a third of a small space."""
        rng, found = generator(SEED, "held-out latencies"), dict[Genome, None]()
        for _ in range(100 * HELD_OUT):
            if len(found) == min(HELD_OUT, space.size // 3):
                break
            found[space.canonical(space.sample(rng))] = None
        paths = StrictSampler(space.choices, SEED).paths_per_step
        return MeasurementPlan(
            space, tuple(found), max(2 * LEAST_STEPS, math.ceil(PER_UNKNOWN * unknowns(space.choices) / paths))
        )

    def paths(self, step: int) -> tuple[Genome, ...]:
        """Networks of a step that are used in the fit."""
        paths = StrictSampler(self.space.choices, SEED).paths(step)
        return tuple(genome for genome in paths if self.space.canonical(genome) not in self.held_out)

    @property
    def first(self) -> Genome:
        """Network that is also timed cut off after each layer."""
        return StrictSampler(self.space.choices, SEED).paths(0)[0]

    def held(self, step: int) -> tuple[Genome, ...]:
        """Networks outside the fit that are measured at this step."""
        count = math.ceil(len(self.held_out) * HELD_OUT_TIMES / self.steps)
        return tuple(self.held_out[(step * count + place) % len(self.held_out)] for place in range(count))


@dataclass(frozen=True)
class Measurements:
    """All measurements of a space, and the fit to them."""

    plan: MeasurementPlan
    steps: tuple[dict[str, Any], ...]
    levels: dict[str, Any] | None

    @staticmethod
    def of(plan: MeasurementPlan, lines: Sequence[Any]) -> "Measurements":
        """Read measurements from the lines of a file; unknown lines are ignored."""
        steps, levels = dict[int, dict[str, Any]](), None
        for line in lines:
            if isinstance(line, dict) and "step" in line:
                steps[line["step"]] = line
            elif isinstance(line, dict) and "levels" in line:
                levels = line
        return Measurements(plan, tuple(steps[number] for number in sorted(steps)), levels)

    def fit(self, steps: int | None = None) -> AdditiveFit:
        """Best sum over layers, fitted to the first `steps` steps, or to all."""
        lines = self.steps[:steps]
        rows, number = [(step, *row) for step, line in enumerate(lines) for row in line["paths"]], len(lines)
        groups, texts, values = zip(*((step, text, ms) for step, text, ms, *_ in rows), strict=True)
        return fit_additive(self.plan.space.choices, [self._genome(t) for t in texts], values, groups, number)

    def comparison(self, fit: AdditiveFit) -> list[tuple[str, float, float]]:
        """Genome, predicted and measured milliseconds of every held-out network measured so far."""
        found: dict[str, list[float]] = {}
        for pace, line in zip(fit.paces, self.steps, strict=True):
            for text, milliseconds, *_ in line["held"]:
                found.setdefault(text, []).append(pace * milliseconds)
        return [(text, fit(self._genome(text)), float(np.median(values))) for text, values in found.items()]

    @property
    def fitted(self) -> int:
        """Number of measurements of networks used in the fit."""
        return sum(len(line["paths"]) for line in self.steps)

    @property
    def complete(self) -> bool:
        """True if more measurements would change little, or the plan is complete."""
        done = len(self.steps)
        if self.levels is None or not self.fitted or done < 2 * LEAST_STEPS:
            return False
        if done >= self.plan.steps:
            return True
        enough = self.fitted >= 1.5 * unknowns(self.plan.space.choices)
        if not enough or len({row[0] for line in self.steps for row in line["held"]}) < len(self.plan.held_out):
            return False
        now, before = self.fit(), self.fit(3 * done // 4)
        changes = [abs(before(genome) / now(genome) - 1) for genome in self.plan.held_out]
        return float(np.median(changes)) < STABLE if changes else False

    def table(self, device: str) -> LatencyTable:
        """Latency table with its check."""
        assert self.levels is not None
        space, fit = self.plan.space, self.fit()
        ends, genome = self.levels["ms"], self._genome(self.levels["levels"])
        levels = [
            later - sooner - row[choice]
            for sooner, later, row, choice in zip(ends[:-1], ends[1:], fit.layers, genome, strict=True)
        ]
        fixed, rows = fit.with_levels(levels)
        return LatencyTable(space.name, device, fixed, rows, space.image_size, self._check(fit), channels_of(space))

    def _check(self, fit: AdditiveFit) -> LatencyCheck | None:
        networks = self.comparison(fit)
        if len(networks) < 3:
            return None
        predicted = [ours for _, ours, _ in networks]
        measured = [theirs for _, _, theirs in networks]
        errors = np.abs(np.divide(predicted, measured) - 1)
        ranks = rank_agreement(predicted, measured)
        return LatencyCheck(
            networks=tuple(networks),
            median_error=float(np.median(errors)),
            largest_error=float(errors.max()),
            spearman=None if math.isnan(ranks.spearman) else ranks.spearman,
            tau=None if math.isnan(ranks.tau) else ranks.tau,
            fitted=self.fitted,
            complete=self.complete,
        )

    def _genome(self, text: str) -> Genome:
        return self.plan.space.parse(text)
