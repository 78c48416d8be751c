"""The ranking study as tables for people."""

import math
from collections.abc import Sequence

from fairnas.analysis import (
    BestAgreement,
    Correction,
    NoiseCeiling,
    RankAgreement,
    RankingRecord,
    RankingStudy,
    SecondChoice,
    TauDifference,
)
from fairnas.analysis.gap import AccuracyGap
from fairnas.analysis.ranking import Agreement
from fairnas.cli.output import bracketed, interval, millions, percent, print_table
from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.space import format_genome

_PREDICTORS = {"madds": "multiply-adds", "params": "parameters", "depth": "layers that are no skips"}

_Judge = tuple[str, RankAgreement, BestAgreement, TauDifference | None, AccuracyGap | None]
"""An order of the networks, with its name and measures. The run's own order is ahead of none; losses have no gap."""


def print_study(record: RankingRecord) -> None:
    """Print what `ranking.json` holds."""
    study = record.study
    _print_models(record)
    own: _Judge = (f"one-shot, BN statistics: {record.scored_by}", study.tau, study.best, None, study.gap)
    losses, others = _by_loss(study), _others(study)
    rows = [[own[0], _tau(study.tau), ""]]
    rows += [
        [f"{_PREDICTORS.get(name, name)} alone", _tau(found), _lead(study.differences.get(name))]
        for name, found in study.predictors.items()
    ]
    rows += [[name, _tau(tau), _lead(lead)] for name, tau, _, lead, _ in losses]
    if study.corrected:
        rows.append([_summed(study.corrected), _tau(study.corrected), _lead(study.corrected.difference)])
    rows += [[name, _tau(tau), _lead(lead)] for name, tau, _, lead, _ in others]
    head = ["order by", " tau-b [95 % interval]", " first row ahead by"]
    print_table(head, [*rows, *_ceiling_rows(study.ceiling)], "Who predicts the stand-alone order?")
    _print_choosing([own, *losses, *others])
    _print_gaps(study.gap, [own, *others])
    if record.second_choice and study.corrected:
        _print_second_choice(record.second_choice, study.corrected, record.measure)


def _by_loss(study: RankingStudy) -> list[_Judge]:
    found = study.by_loss
    return [("one-shot cross-entropy", found.tau, found.best, found.difference, None)] if found else []


def _others(study: RankingStudy) -> list[_Judge]:
    """Orders by scores other than the run's own."""
    named = [(f"one-shot, BN statistics: {each.name}", each) for each in study.statistics]
    named += [(f"supernet of {study.against.name}", study.against)] if study.against else []
    return [(name, each.tau, each.best, each.difference, each.gap) for name, each in named]


def _summed(corrected: Correction) -> str:
    return f"cross-entropy and {_PREDICTORS[corrected.cost]}, fitted to the others"


def _print_second_choice(found: SecondChoice, corrected: Correction, measure: Measure) -> None:
    rows = [
        [
            format_genome(each.genome),
            percent(each.foreseen),
            percent(each.one_shot(measure)),
            millions(each.madds),
            millions(each.params),
            "yes" if each.selected else "no",
        ]
        for each in found.networks
    ]
    summed = f"cross-entropy and {_PREDICTORS[corrected.cost]}"
    title = f"Second choice: of {found.looked_at:,} networks that the search scored, by the fitted sum of {summed}"
    head = ["genome", " foreseen (test)", " one-shot (validation)", " MAdds", " params", " was selected"]
    print_table(head, rows, title)


def _tau(found: Agreement) -> str:
    return f"constant, n = {found.n}" if math.isnan(found.tau) else interval(found)


def _lead(found: TauDifference | None) -> str:
    if not found or math.isnan(found.difference):
        return ""
    return f"{bracketed(found.difference, found.interval)}, n = {found.n}"


def _ceiling_rows(ceiling: NoiseCeiling | None) -> list[list[str]]:
    if not ceiling:
        return []
    name = "another seed: noise ceiling" + (f", mean of {ceiling.pairs} pairs" if ceiling.pairs > 1 else "")
    rows = [[name, _tau(ceiling), ""]]
    if ceiling.reachable is not None:
        reach = f"{ceiling.reachable:.2f}, n = {ceiling.n}"
        rows.append([f"without error, for the mean of {ceiling.seeds} seeds (estimate)", reach, ""])
    return rows


def _print_choosing(judges: Sequence[_Judge]) -> None:
    """Print further measures of each order."""
    counts = " / ".join(str(k) for k in judges[0][2].regret)
    rows = [
        [
            name,
            str(tau.n),
            _number(tau.spearman),
            _number(best.pearson),
            f"{_number(best.best_tau)}, n = {best.best_n}",
            " / ".join(f"{100 * lost:.1f}" for lost in best.regret.values()),
        ]
        for name, tau, best, _, _ in judges
    ]
    head = ["order by", " n", " Spearman", " Pearson", " tau among the best tenth (at least 3)"]
    print_table([*head, f" points lost by the top {counts}"], rows, "Choosing by an order")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _print_models(record: RankingRecord) -> None:
    study, against = record.study, record.study.against
    columns = ["genome", " one-shot (validation)"]
    columns += [f" by {against.name}"] if against else []
    columns += [" stand-alone (test)", " per seed", " MAdds", " params"]
    others: Sequence[float | None] = against.scores if against else [None] * len(study.models)
    rows = [
        [format_genome(model.genome), percent(model.one_shot)]
        + ([percent(other)] if against else [])
        + [
            percent(model.mean) if model.mean is not None else "diverged",
            " ".join("diverged" if value is None else percent(value) for value in model.stand_alone),
            millions(model.madds),
            millions(model.params),
        ]
        for model, other in sorted(
            zip(study.models, others, strict=True), key=lambda pair: (-pair[0].one_shot, pair[0].genome)
        )
    ]
    lost = f", {study.diverged} of them left out because a training diverged" if study.diverged else ""
    accuracy = "" if record.measure == "top1" else f"; accuracy is {ACCURACY_WORDS[record.measure]}"
    print_table(columns, rows, f"{len(rows)} networks ({record.choose}){lost}{accuracy}")


def _print_gaps(own: AccuracyGap, judges: Sequence[_Judge]) -> None:
    rows = [
        [
            name,
            *(f"{percent(low)} to {percent(high)}" for low, high in (gap.one_shot, own.stand_alone)),
            f"{gap.gap:.3f}",
            str(gap.n),
        ]
        for name, _, _, _, gap in judges
        if gap is not None
    ]
    print_table(["scored by", " one-shot", " stand-alone", " lambda", " n"], rows, "Supernet accuracy gap")
