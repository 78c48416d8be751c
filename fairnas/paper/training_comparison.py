"""Results of several ways of training a supernet, and conclusions about them (paper Figure 1, section 4.3.1).

A seed is one training. Sentences name a winner only if seeds do not overlap and the interval of the differences, taken
seed by seed, excludes zero.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairnas.analysis import Contrast, contrast
from fairnas.fairness import Audit
from fairnas.report.format import UNKNOWN, counted, decimal, interval, listed, p_value, percent
from fairnas.report.verdicts import Verdict


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of a training: one-shot top-1 (0 to 1) over the followed genomes."""

    epoch: int
    backward_passes: int
    """Backward passes since the beginning."""
    mean: float
    std: float


@dataclass(frozen=True)
class ArmTraining:
    """One arm trained with one seed."""

    seed: int
    folder: str
    """Run directory, inside the figure's folder."""
    curve: tuple[CurvePoint, ...]
    audit: Audit | None
    """Verdict of the ledger; None if it diverged."""
    top1: tuple[float, ...]
    """One-shot top-1 (0 to 1) of the stratified models; empty if it diverged."""
    diverged: str = ""
    """Reason, if it diverged."""

    @property
    def mean(self) -> float | None:
        """Mean over the models."""
        return statistics.fmean(self.top1) if self.top1 else None

    @property
    def std(self) -> float | None:
        """Standard deviation over the models."""
        return statistics.pstdev(self.top1) if self.top1 else None

    @property
    def width(self) -> float | None:
        """Delta: the distance from the worst model to the best (paper 4.5)."""
        return max(self.top1) - min(self.top1) if self.top1 else None


Measure = Callable[[ArmTraining], float | None]


@dataclass(frozen=True)
class Arm:
    """One way of training, with all its seeds in order."""

    name: str
    title: str
    what: str
    """Description of a step, for people."""
    epochs: int
    learning_rate: float
    backward_passes: int
    """Backward passes of the whole training."""
    trainings: tuple[ArmTraining, ...]

    def values(self, measure: Measure) -> list[float | None]:
        """Measure per seed; None if the training diverged."""
        return [measure(training) for training in self.trainings]

    def known(self, measure: Measure) -> list[float]:
        """Measure of the seeds that did not diverge."""
        return [value for value in self.values(measure) if value is not None]


@dataclass(frozen=True)
class Pairing:
    """Two arms, and the difference of the first from the second."""

    first: str
    second: str
    contrast: Contrast | None


def equal_compute(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Arms with as many backward passes as the first, and the first."""
    return tuple(arm for arm in arms if arm.backward_passes == arms[0].backward_passes)


def equal_epochs(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Arms with as many epochs as the first, and the first."""
    return tuple(arm for arm in arms if arm.epochs == arms[0].epochs)


def pairings(arms: Sequence[Arm], measure: Measure) -> tuple[Pairing, ...]:
    """First arm compared with each of the others."""
    first, *others = arms
    values = first.values(measure)
    return tuple(Pairing(first.name, each.name, contrast(values, each.values(measure))) for each in others)


def accuracy_verdict(arms: Sequence[Arm]) -> Verdict:
    """Verdict on the arm with the highest mean one-shot accuracy."""
    return _verdict(arms, lambda training: training.mean, "highest mean", max)


def width_verdict(arms: Sequence[Arm]) -> Verdict:
    """Verdict on the arm whose models lie closest together (paper 4.5: delta)."""
    return _verdict(arms, lambda training: training.width, "narrowest range", min)


def _verdict(
    arms: Sequence[Arm], measure: Measure, superlative: str, best: Callable[[Sequence[float]], float]
) -> Verdict:
    means = {arm.name: statistics.fmean(arm.known(measure)) for arm in arms if arm.known(measure)}
    if len(means) < 2:
        why = "Fewer than two of them have a training that did not diverge."
        return Verdict("open", "Nothing to compare", (why,))
    ahead = next(arm for arm in arms if means.get(arm.name) == best(list(means.values())))
    others = [arm for arm in arms if arm is not ahead and arm.name in means]
    tied = [arm for arm in others if not _is_certain(contrast(ahead.values(measure), arm.values(measure)))]
    sentences = (*_values(arms, measure), *_differences([ahead, *others], measure), *_lost(arms))
    if tied:
        answer = f"No winner: {ahead.title} has the {superlative}, but these seeds cannot tell it from "
        return Verdict("open", answer + listed([arm.title for arm in tied]), sentences)
    return Verdict("good", f"{ahead.title} has the {superlative}", sentences)


def _is_certain(found: Contrast | None) -> bool:
    return found is not None and found.certain


def _values(arms: Sequence[Arm], measure: Measure) -> tuple[str, ...]:
    """Sentence with the value of every arm and its seeds."""
    parts = [f"{arm.title} {_mean_of_seeds(arm.known(measure))}" for arm in arms if arm.known(measure)]
    return (f"Means over seeds (lowest to highest seed): {listed(parts)}.",)


def _mean_of_seeds(values: Sequence[float]) -> str:
    mean = percent(statistics.fmean(values))
    bounds = interval(percent(min(values)), percent(max(values)))
    return f"{mean} ({bounds}, n\u00a0=\u00a0{len(values)})" if len(values) > 1 else f"{mean} (one seed)"


def _differences(arms: Sequence[Arm], measure: Measure) -> tuple[str, ...]:
    titles = {arm.name: arm.title for arm in arms}
    return tuple(
        f"{titles[each.first]} minus {titles[each.second]}: {difference_text(each.contrast)}."
        for each in pairings(arms, measure)
    )


def difference_text(found: Contrast | None, digits: int = 1) -> str:
    """Difference in points with its interval, and its reliability."""
    if found is None:
        return "not known, because no seed finished both"
    points = f"{signed_points(found.difference, digits)} points"
    if found.interval is None:
        return f"{points} with one seed, which says nothing about chance"
    low, high = found.interval
    bounds = f"{signed_points(low, digits)} to {signed_points(high, digits)}"
    text = f"{points} (95\u00a0% interval {bounds}, {counted(found.n, 'seed')})"
    if found.certain:
        return text
    return f"{text}; " + ("the seeds overlap" if found.overlap else "the interval holds zero")


def signed_points(share: float, digits: int = 1) -> str:
    """Difference of shares in points."""
    return decimal(100 * share, digits) if share < 0 else f"+{100 * share:.{digits}f}"


def _lost(arms: Sequence[Arm]) -> tuple[str, ...]:
    lost = [
        f"{arm.title} diverged with {counted(sum(bool(each.diverged) for each in arm.trainings), 'seed')} "
        f"of {len(arm.trainings)}"
        for arm in arms
        if any(each.diverged for each in arm.trainings)
    ]
    return (f"{listed(lost)}; such trainings are left out.",) if lost else ()


def fairness_verdict(arms: Sequence[Arm]) -> Verdict:
    """Verdict of the ledgers of all trainings."""
    sentences = []
    for arm in arms:
        audits = [training.audit for training in arm.trainings if training.audit]
        if not audits:
            continue
        ratios = [audit.variance_ratio for audit in audits]
        lowest = min(audit.p_value for audit in audits)
        low, high = decimal(min(ratios)), decimal(max(ratios))
        span = low if low == high else interval(low, high)
        sentences.append(
            f"{arm.title}: {_fair_words(audits)}; variance of the passes {span} of one uniform path per pass; "
            f"smallest p {p_value(lowest)}."
        )
    fair = [arm.title for arm in arms if _all(arm, lambda audit: audit.strict_fair)]
    answer = f"Strictly fair: {listed(fair)}, and nobody else" if 0 < len(fair) < len(arms) else "All strictly fair"
    return Verdict("good" if fair else "open", answer if fair else "Nobody was strictly fair", tuple(sentences))


def _all(arm: Arm, holds: Callable[[Audit], bool]) -> bool:
    audits = [training.audit for training in arm.trainings if training.audit]
    return bool(audits) and all(map(holds, audits))


def _fair_words(audits: Sequence[Audit]) -> str:
    strict = sum(audit.strict_fair for audit in audits)
    expected = sum(audit.expectation_fair and not audit.strict_fair for audit in audits)
    mixed = sum(not audit.single_paths for audit in audits)
    words = {"strictly fair": strict, "fair in expectation only": expected, "no single paths": mixed}
    words["not fair"] = len(audits) - sum(words.values())
    found = [(word, count) for word, count in words.items() if count]
    if len(found) == 1:
        return found[0][0]
    return listed([f"{word} with {counted(count, 'seed')}" for word, count in found])


def audit_text(audit: Audit | None) -> str:
    """Verdict of one ledger in a few words."""
    return UNKNOWN if audit is None else _fair_words([audit])


def by_epoch(arm: Arm) -> tuple[tuple[CurvePoint, ...], ...]:
    """Points of all seeds that did not diverge, per epoch."""
    return tuple(zip(*(training.curve for training in arm.trainings if not training.diverged), strict=True))
