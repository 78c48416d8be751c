"""Comparison of two runs: their differences, and the conclusions that these allow."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fairnas.analysis import paired_difference
from fairnas.analysis.ranking import Agreement
from fairnas.configfile import differing_keys
from fairnas.report.run_data import Inputs
from fairnas.search.candidate import Candidate
from fairnas.search.objectives import ACCURACY, MADDS, PARAMS, Objective
from fairnas.search.pareto import hypervolume

_GOALS: tuple[Objective, ...] = (ACCURACY, MADDS, PARAMS)
_FEWEST = 3
"""Fewest networks for a difference of two taus on the same networks."""


@dataclass(frozen=True)
class TauGap:
    """Tau of the first supernet minus tau of the second, with a 95 % interval."""

    difference: float
    interval: tuple[float, float]
    n: int
    """Number of networks that both studies share; 0 if each tau is of its own networks."""

    @property
    def certain(self) -> bool:
        """True if the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0


@dataclass(frozen=True)
class TwoRuns:
    """Inputs of both runs, and the names by which the page calls them."""

    first: Inputs
    second: Inputs
    names: tuple[str, str]

    @property
    def both(self) -> tuple[Inputs, Inputs]:
        """Both runs, in order."""
        return self.first, self.second

    @property
    def same_space(self) -> bool:
        """True if a genome means the same network in both runs."""
        return self.first.space == self.second.space

    @property
    def same_data(self) -> bool | None:
        """True if accuracies were measured on the same images; None if a run has not opened its data yet."""
        a, b = self.first.data, self.second.data
        if a is None or b is None:
            return None
        return (a.fingerprint, a.counts, a.image_size) == (b.fingerprint, b.counts, b.image_size)

    @property
    def same_measure(self) -> bool:
        """True if both runs use the same measure of accuracy."""
        return self.first.config.measure == self.second.config.measure

    def differing_settings(self) -> tuple[tuple[str, Any, Any], ...]:
        """Dotted name and both values of every differing setting that affects results."""
        one, other = self.first.config, self.second.config
        return tuple((key, _setting(one, key), _setting(other, key)) for key in differing_keys(one, other))

    def differing_versions(self) -> tuple[tuple[str, str, str], ...]:
        """Packages whose versions differ between the runs, as far as both recorded them."""
        a, b = self.first.versions, self.second.versions
        return tuple((name, a[name], b[name]) for name in a if name in b and a[name] != b[name])

    def volumes(self) -> tuple[float, float] | None:
        """Hypervolumes of both fronts with a common reference; None unless both runs searched by the same measure.

        Over accuracy from 0 to 1, and multiply-adds and parameters from 0 to the largest of either run.
        """
        fronts = self._fronts()
        if fronts is None:
            return None
        every = [each for run in self.both for each in (*run.candidates, *(run.search.front if run.search else ()))]
        ranges = {name: (0.0, max(each.value(name) for each in every)) for name in ("madds", "params")}
        one, other = (hypervolume([self._by_top1(each) for each in front], _GOALS, ranges) for front in fronts)
        return one, other

    def beaten(self) -> tuple[int, int] | None:
        """Number of networks on each front that the other front beats in accuracy and cost; None as `volumes`."""
        fronts = self._fronts()
        if fronts is None:
            return None
        a, b = ([self._goals(each) for each in front] for front in fronts)
        return sum(any(_beats(y, x) for y in b) for x in a), sum(any(_beats(x, y) for x in a) for y in b)

    def _fronts(self) -> tuple[Sequence[Candidate], Sequence[Candidate]] | None:
        a, b = self.first.search, self.second.search
        if not self.same_measure:
            return None
        return (a.front, b.front) if a and b and a.front and b.front else None

    def _goals(self, each: Candidate) -> tuple[float, float, float]:
        """Quantities to compare a network by, less is better: multiply-adds, parameters, and negative accuracy."""
        return each.value("madds"), each.value("params"), -each.value(self.first.config.measure)

    def _by_top1(self, each: Candidate) -> Candidate:
        """Return the network with its accuracy, by either measure, as the first objective."""
        madds, params, less = self._goals(each)
        return Candidate.of(each.genome, {"top1": -less, "madds": madds, "params": params}, each.generation)

    def tau_gap(self) -> TauGap | None:
        """Difference of the taus, on the networks of both studies if there are enough. None if unknown."""
        one, other = self.first.ranking, self.second.ranking
        if one is None or other is None:
            return None
        a, b = one.study, other.study
        if not (math.isfinite(a.tau.tau) and math.isfinite(b.tau.tau)):
            return None
        if self.same_space and self.same_data and self.same_measure:
            theirs = {model.genome: model for model in b.models if model.finished}
            pairs = [(x, theirs[x.genome]) for x in a.models if x.finished and x.genome in theirs]
            if len(pairs) >= _FEWEST:
                truth = [statistics.fmean((*x.finished, *y.finished)) for x, y in pairs]
                found = paired_difference([x.one_shot for x, _ in pairs], [y.one_shot for _, y in pairs], truth)
                if math.isfinite(found.difference):
                    return TauGap(found.difference, found.interval, found.n)
        return independent_gap(a.tau, b.tau)

    def numbers(self) -> dict[str, Any]:
        """Return everything as plain data for JSON, with null for unknown values."""
        gap = self.tau_gap()
        return {
            "runs": [str(run.path) for run in self.both],
            "same_space": self.same_space,
            "same_data": self.same_data,
            "measure": [run.config.measure for run in self.both],
            "settings": {key: [one, other] for key, one, other in self.differing_settings()},
            "versions": {name: [one, other] for name, one, other in self.differing_versions()},
            "strict_fair": [run.ledger.audit().strict_fair if run.ledger else None for run in self.both],
            "hypervolume": self.volumes(),
            "beaten": self.beaten(),
            "tau": [_known(run.ranking.study.tau.tau) if run.ranking else None for run in self.both],
            "tau_difference": gap
            and {"difference": gap.difference, "interval": [_known(each) for each in gap.interval], "shared": gap.n},
        }


def independent_gap(one: Agreement, other: Agreement) -> TauGap:
    """Return the difference of two taus measured on different networks.

    The interval combines the two (Zou and Donner's MOVER): distances on the relevant sides add in quadrature. It is
    wider than the interval of a study on the same networks.
    """
    gap = one.tau - other.tau
    (one_low, one_high), (other_low, other_high) = one.interval, other.interval
    low = gap - math.hypot(one.tau - one_low, other_high - other.tau)
    high = gap + math.hypot(one_high - one.tau, other.tau - other_low)
    return TauGap(gap, (low, high), 0)


def side_of(gap: TauGap) -> Literal["first", "second", "open"]:
    """Supernet with the better order, as far as the interval shows."""
    if not gap.certain:
        return "open"
    return "first" if gap.difference > 0 else "second"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _setting(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else getattr(config, name)
    return config


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(x <= y for x, y in zip(one, other, strict=True))
