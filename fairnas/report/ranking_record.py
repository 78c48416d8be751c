"""`ranking.json`, the ranking study, as values; what is not as fairnas writes it raises as in `records`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from fairnas.config import Measure
from fairnas.report.run_records import finite, number
from fairnas.space import SearchSpace, format_genome


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b over n networks with its 95 % interval. NaN where it is not defined."""

    tau: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Choosing:
    """How well networks are chosen by an order: correlations, tau among the best, and regret (`BestAgreement`)."""

    spearman: float
    pearson: float
    best_tau: float
    best_n: int
    regret: tuple[tuple[int, float], ...]
    """Per k: how far the truly best of the k networks that come first lies below the best of all."""


@dataclass(frozen=True)
class Lead:
    """How far the run's own tau lies above another one on the same n networks, with its 95 % interval."""

    difference: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class OtherJudge:
    """The networks of the study scored in another way: with other BN statistics, or by another supernet."""

    name: str
    scores: tuple[float, ...]
    tau: Agreement
    choosing: Choosing
    lead: Lead
    one_shot_range: tuple[float, float]
    gap: float


@dataclass(frozen=True)
class LossOrderRecord:
    """The networks of the study ordered by one-shot loss."""

    tau: Agreement
    choosing: Choosing
    lead: Lead


@dataclass(frozen=True)
class Corrected:
    """The networks of the study ordered by a sum of loss and `cost` that is fitted to the others."""

    cost: str
    tau: Agreement
    lead: Lead


@dataclass(frozen=True)
class PredictedNetwork:
    """A network chosen by the accuracy that the study foresees; `selected` if the search had selected it, too."""

    genome: str
    foreseen: float
    one_shot: float
    madds: float
    params: float
    selected: bool


@dataclass(frozen=True)
class SecondChoice:
    """Networks of the search chosen by the study's fitted sum, heaviest first."""

    looked_at: int
    networks: tuple[PredictedNetwork, ...]


@dataclass(frozen=True)
class Ranked:
    """A network of the ranking study: one-shot accuracy, stand-alone test accuracy per seed (None: diverged)."""

    genome: str
    one_shot: float
    stand_alone: tuple[float | None, ...]
    madds: float
    params: float

    @property
    def finished(self) -> tuple[float, ...]:
        """Stand-alone accuracies per seed; empty if any seed diverged, as such a network has no place in the study."""
        known = tuple(value for value in self.stand_alone if value is not None)
        return known if len(known) == len(self.stand_alone) else ()


@dataclass(frozen=True)
class Ranking:
    """`ranking.json`: the ranking study. The ranges are (lowest, highest) accuracy."""

    choose: str
    models: tuple[Ranked, ...]
    tau: Agreement
    ceiling: Agreement | None
    spearman: float
    predictors: tuple[tuple[str, Agreement], ...]
    one_shot_range: tuple[float, float]
    stand_alone_range: tuple[float, float]
    advice: tuple[str, ...]
    scored_by: str = ""
    """BN statistics of the run's own scores; this and what follows is absent from studies of earlier versions."""
    choosing: Choosing | None = None
    leads: tuple[tuple[str, Lead], ...] = ()
    """Over the trivial predictors."""
    statistics: tuple[OtherJudge, ...] = ()
    against: OtherJudge | None = None
    by_loss: LossOrderRecord | None = None
    corrected: Corrected | None = None
    second_choice: SecondChoice | None = None
    seeds: int = 0
    """Behind the noise ceiling, which is a mean over all pairs of them."""
    reachable: float | None = None
    measure: Measure = "top1"
    """Of accuracy."""

    @property
    def gap(self) -> float:
        """Lambda, the supernet accuracy gap: how much the widths of the two ranges differ (paper 4.5)."""
        widths = [high - low for low, high in (self.one_shot_range, self.stand_alone_range)]
        return abs(widths[0] - widths[1])


def _agreement(plain: Any) -> Agreement:
    return Agreement(_known(plain["tau"]), *_ends(plain["interval"]), int(plain["n"]))


def _known(value: Any) -> float:
    """A number; JSON has null for NaN."""
    return math.nan if value is None else float(value)


def _ends(interval: Any) -> tuple[float, float]:
    low, high = interval or (None, None)
    return _known(low), _known(high)


def _lead(plain: Any) -> Lead:
    return Lead(_known(plain["difference"]), *_ends(plain["interval"]), int(plain["n"]))


def _leads(plain: Any) -> Iterator[tuple[str, Lead]]:
    """Those over predictors that are used the way round that orders better; earlier versions used all upright."""
    for name, value in plain.get("differences", {}).items():
        lead, theirs = _lead(value), _known(plain["predictors"][name]["tau"])
        used = _known(plain["tau"]["tau"]) - lead.difference
        if not (theirs < 0 and used < 0):
            yield str(name), lead


def _choosing(tau: Any, best: Any) -> Choosing:
    return Choosing(
        spearman=_known(tau["spearman"]),
        pearson=_known(best["pearson"]),
        best_tau=_known(best["best_tau"]),
        best_n=int(best["best_n"]),
        regret=tuple((int(k), float(lost)) for k, lost in best["regret"].items()),
    )


def _other_judge(plain: Any) -> OtherJudge:
    return OtherJudge(
        name=str(plain["name"]),
        scores=tuple(float(score) for score in plain["scores"]),
        tau=_agreement(plain["tau"]),
        choosing=_choosing(plain["tau"], plain["best"]),
        lead=_lead(plain["difference"]),
        one_shot_range=_range(plain["gap"]["one_shot"]),
        gap=float(plain["gap"]["gap"]),
    )


def _loss_order(plain: Any) -> LossOrderRecord:
    return LossOrderRecord(_agreement(plain["tau"]), _choosing(plain["tau"], plain["best"]), _lead(plain["difference"]))


def _corrected(plain: Any) -> Corrected:
    return Corrected(str(plain["cost"]), _agreement(plain), _lead(plain["difference"]))


def _second_choice(plain: Any, space: SearchSpace, measure: Measure) -> SecondChoice:
    return SecondChoice(
        int(plain["looked_at"]),
        tuple(
            PredictedNetwork(
                genome=format_genome(space.parse(row["genome"])),
                foreseen=finite(row["foreseen"]),
                one_shot=finite(row[measure]),
                madds=finite(row["madds"]),
                params=finite(row["params"]),
                selected=bool(row["selected"]),
            )
            for row in plain["networks"]
        ),
    )


def parse_ranking(plain: Any, space: SearchSpace) -> Ranking:
    """Read `ranking.json`; genomes must fit the space."""
    measure = _measure(plain)
    models = tuple(
        Ranked(
            genome=format_genome(space.parse(row["genome"])),
            one_shot=finite(row["one_shot"]),
            stand_alone=tuple(number(value) for value in row["stand_alone"]),
            madds=finite(row["madds"]),
            params=finite(row["params"]),
        )
        for row in plain["models"]
    )
    one_shot, stand_alone = (_range(plain["gap"][name]) for name in ("one_shot", "stand_alone"))
    ceiling = plain["ceiling"] or {}
    return Ranking(
        choose=str(plain["choose"]),
        models=models,
        tau=_agreement(plain["tau"]),
        ceiling=_agreement(ceiling) if ceiling else None,
        spearman=_known(plain["tau"]["spearman"]),
        predictors=tuple((str(name), _agreement(value)) for name, value in plain["predictors"].items()),
        one_shot_range=one_shot,
        stand_alone_range=stand_alone,
        advice=tuple(str(sentence) for sentence in plain["advice"]),
        scored_by=str(plain.get("scored_by", "")),
        choosing=_choosing(plain["tau"], plain["best"]) if "best" in plain else None,
        leads=tuple(_leads(plain)),
        statistics=tuple(_other_judge(each) for each in plain.get("statistics", ())),
        against=_other_judge(plain["against"]) if plain.get("against") else None,
        by_loss=_loss_order(plain["by_loss"]) if plain.get("by_loss") else None,
        corrected=_corrected(plain["corrected"]) if "cost" in (plain.get("corrected") or ()) else None,
        second_choice=_second_choice(plain["second_choice"], space, measure) if plain.get("second_choice") else None,
        seeds=int(ceiling.get("seeds", 0)),
        reachable=number(ceiling.get("reachable")),
        measure=measure,
    )


def _measure(plain: Any) -> Measure:
    """Studies of earlier versions knew one only."""
    found = plain.get("measure", "top1")
    if found not in get_args(Measure):
        raise ValueError(f"measure is {found!r}, not {' or '.join(get_args(Measure))}")
    return found


def _range(pair: Any) -> tuple[float, float]:
    low, high = pair
    return float(low), float(high)
