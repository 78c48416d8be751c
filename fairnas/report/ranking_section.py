"""Section on the ranking study: one-shot against stand-alone accuracy, beside other predictors of the order."""

import statistics
from collections.abc import Mapping, Sequence

from fairnas.analysis import (
    BestAgreement,
    Correction,
    OtherScores,
    RankAgreement,
    RankingRecord,
    SecondChoice,
    TauDifference,
)
from fairnas.analysis.ranking import Agreement
from fairnas.analysis.study import RankingStudy
from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.report import plots
from fairnas.report.format import (
    PREDICTOR_NAMES,
    UNKNOWN,
    counted,
    decimal,
    effective_images,
    interval,
    is_known,
    listed,
    millions,
    percent,
)
from fairnas.report.html import Html, Section, folded, joined, missing, paragraphs, plot, table, tag
from fairnas.report.run_data import Inputs
from fairnas.report.verdicts import agreement_text, is_low
from fairnas.space import format_genome

_CHOSEN = {"front": "taken along the front", "stratified": "stratified over one-shot accuracy"}
_CHOSEN |= {"random": "drawn at random", "named": "named by the user"}

_BY_LOSS = "one-shot cross-entropy"


def no_study(inputs: Inputs) -> str:
    """Sentence that replaces the section in a run without a ranking study."""
    if inputs.unranked:
        return f"There is no ranking study: {inputs.unranked}."
    return missing("ranking study", "rank", inputs.path)


def ranking(inputs: Inputs) -> Section:
    """Build the section: one-shot against stand-alone accuracy."""
    title = "Ranking"
    if not inputs.ranking:
        return Section("ranking", title, paragraphs([no_study(inputs)]))
    record, study = inputs.ranking, inputs.ranking.study
    seeds = max((len(model.stand_alone) for model in study.models), default=0)
    counts = dict(inputs.data.counts) if inputs.data else {}
    lost = [format_genome(model.genome) for model in study.models if not model.finished]
    caption = (
        f"{counted(len(study.models), 'network')}, {_CHOSEN[record.choose]}, each trained from "
        f"scratch with {counted(seeds, 'seed')}. {_bars_in_words(seeds, counts)}"
        + (f" {counted(len(lost), 'network')} left out, because a training diverged: {listed(lost)}." if lost else "")
    )
    description = f"Scatter plot of stand-alone over one-shot accuracy, tau = {agreement_text(study.tau)}."
    pair = tag("div", plot("ranking", description, caption), _agreement_table(record), classes="pair")
    body = [pair, _choosing_table(record), _gap_table(record)]
    if record.second_choice and study.corrected:
        body.append(_second_choice_table(record.second_choice, study.corrected, record.measure))
    body.append(folded("The networks of the study as a table", _study_table(study)))
    drawn = plots.rank_figure(
        study.models, told_by(inputs, "validation"), told_by(inputs, "test"), inputs.accuracy_words
    )
    return Section("ranking", title, joined(body), (("ranking", drawn),))


def told_by(inputs: Inputs, split: str) -> float:
    """Number of images of a split, or, for balanced accuracy, their effective number; 0 if unknown."""
    if inputs.data is None:
        return 0
    if inputs.config.measure == "top1":
        return inputs.data.counts.get(split, 0)
    return effective_images(inputs.data.class_counts.get(split, ()))


def _bars_in_words(seeds: int, counts: Mapping[str, int]) -> str:
    said = "Dots are means over seeds, upright bars reach from the worst seed to the best."
    if seeds == 1 and counts.get("test"):
        said = f"Upright bars are 95\u00a0% intervals from {counted(counts['test'], 'test image')}."
    if counts.get("validation"):
        said += f" Level bars are 95\u00a0% intervals from {counted(counts['validation'], 'validation image')}."
    return said


def _agreement_table(record: RankingRecord) -> Html:
    study = record.study

    def row(name: str, value: Agreement, remark: str = "") -> Sequence[str]:
        low, high = value.interval
        limits = interval(decimal(low), decimal(high)) if is_known(low) and is_known(high) else UNKNOWN
        return (name, decimal(value.tau) + remark, limits, str(value.n))

    rows = [row("one-shot accuracy", study.tau)]
    constant = (
        {name for name, value in study.predictors.items() if not is_known(value.tau)} if is_known(study.tau.tau) else ()
    )
    rows += [
        (f"{PREDICTOR_NAMES.get(name, name)} alone", "constant", "", str(value.n))
        if name in constant
        else row(f"{PREDICTOR_NAMES.get(name, name)} alone", value)
        for name, value in study.predictors.items()
    ]
    if study.by_loss:
        rows.append(row(_BY_LOSS, study.by_loss.tau))
    if study.corrected:
        rows.append(row(_summed(study.corrected), study.corrected))
    if study.against:
        rows.append(row(f"the supernet of {study.against.name}", study.against.tau))
    ceiling = "another seed: noise ceiling"
    low = " (low)" if is_low(study.ceiling) else ""
    rows.append(row(ceiling, study.ceiling, low) if study.ceiling else (ceiling, "not known, one seed", "", ""))
    note = (
        f"Spearman's rho of one-shot accuracy: {decimal(study.tau.spearman)}. "
        "The order is that of stand-alone test accuracy, mean over seeds."
        + (f" Accuracy is {ACCURACY_WORDS[record.measure]}." if record.measure != "top1" else "")
    )
    if study.ceiling and study.ceiling.seeds > 2:
        note += f" The noise ceiling is the mean over all pairs of {study.ceiling.seeds} seeds."
    if study.corrected:
        note += " A fitted sum orders each pair of networks by weights fitted to all the others."
    if study.ceiling and study.ceiling.reachable is not None:
        note += (
            f" A predictor without error would reach about {decimal(study.ceiling.reachable)} with the mean of "
            f"{study.ceiling.seeds} seeds (an estimate, n = {study.ceiling.n})."
        )
    head = ("order by", "tau", "95\u00a0% interval", "n")
    agreement = table("Who predicts the order? Kendall's tau", head, rows)
    return tag("div", agreement, tag("p", note, classes="note"))


def _summed(corrected: Correction) -> str:
    return f"cross-entropy and {PREDICTOR_NAMES.get(corrected.cost, corrected.cost)}, fitted to the others"


def _judges(study: RankingStudy) -> Sequence[tuple[str, OtherScores]]:
    """Scores of the networks other than the run's own."""
    others = [(f"BN statistics: {each.name}", each) for each in study.statistics]
    return [*others, (f"the supernet of {study.against.name}", study.against)] if study.against else others


def _choosing_table(record: RankingRecord) -> Html:
    """Table of further measures of each order on the same networks."""
    study = record.study

    def row(name: str, tau: Agreement, lead: TauDifference | None) -> list[str]:
        ahead = _bracketed(lead.difference, *lead.interval) if lead else ""
        return [name, str(tau.n), _bracketed(tau.tau, *tau.interval), "", "", "", "", ahead]

    def full_row(name: str, tau: RankAgreement, found: BestAgreement, lead: TauDifference | None) -> list[str]:
        best = f"{decimal(found.best_tau)} (n\u00a0=\u00a0{found.best_n})"
        regret = " / ".join(decimal(100 * lost, 1) for lost in found.regret.values())
        *begin, _, _, _, _, ahead = row(name, tau, lead)
        return [*begin, decimal(tau.spearman), decimal(found.pearson), best, regret, ahead]

    rows = [full_row(_own_name(record), study.tau, study.best, None)]
    rows += [full_row(name, each.tau, each.best, each.difference) for name, each in _judges(study)]
    if study.by_loss:
        rows.append(full_row(_BY_LOSS, study.by_loss.tau, study.by_loss.best, study.by_loss.difference))
    if study.corrected:
        rows.append(row(_summed(study.corrected), study.corrected, study.corrected.difference))
    rows += [
        row(f"{PREDICTOR_NAMES.get(name, name)} alone", tau, study.differences.get(name))
        for name, tau in study.predictors.items()
        if is_known(tau.tau)
    ]
    counts = " / ".join(str(k) for k in study.best.regret)
    best = "tau among the best tenth, at least 3"
    head = ("order by", "n", "tau", "Spearman", "Pearson", best, f"points lost by the top {counts}")
    caption = (
        "Choosing by an order. Points lost: accuracy of the best network of all, minus that of the best among those "
        "put first. Ahead: tau of the first row minus another, on the same networks. In brackets: 95\u00a0% intervals"
    )
    return table(caption, (*head, "ahead by"), rows)


def _bracketed(number: float, low: float, high: float) -> str:
    if not is_known(number):
        return UNKNOWN
    return f"{decimal(number)} [{decimal(low)},\u00a0{decimal(high)}]" if is_known(low) else decimal(number)


def _own_name(record: RankingRecord) -> str:
    """Name of the run's own scores in tables."""
    return f"BN statistics: {record.scored_by}"


def _gap_table(record: RankingRecord) -> Html:
    study = record.study
    alone, n = interval(*map(percent, study.gap.stand_alone)), str(study.tau.n)
    gaps = [(_own_name(record), study.gap), *((name, each.gap) for name, each in _judges(study))]
    rows = [(name, interval(*map(percent, gap.one_shot)), alone, decimal(gap.gap, 3), n) for name, gap in gaps]
    head = ("scored by", "one-shot", "stand-alone", "lambda", "n")
    return table("Ranges of accuracy and the supernet accuracy gap lambda", head, rows)


def _second_choice_table(found: SecondChoice, corrected: Correction, measure: Measure) -> Html:
    rows = [
        (
            tag("code", format_genome(each.genome)),
            percent(each.foreseen),
            percent(each.one_shot(measure)),
            millions(each.madds),
            millions(each.params),
            "yes" if each.selected else "no",
        )
        for each in found.networks
    ]
    cost = PREDICTOR_NAMES.get(corrected.cost, corrected.cost)
    caption = (
        f"Second choice: the front of {found.looked_at:,} networks that the search scored, by the accuracy that the "
        f"fitted sum of cross-entropy and {cost} foresees for them when they are trained as the study's networks were. "
        "It was fitted to test accuracies of these, so on test images their own accuracy is a little too good"
    )
    return table(caption, ("genome", "foreseen, test", "one-shot, validation", "MAdds", "params", "was selected"), rows)


def _study_table(study: RankingStudy) -> Html:
    seeds = max((len(model.stand_alone) for model in study.models), default=0)
    numbers = [f"seed {number}" for number in range(1, seeds + 1)]
    head = ("genome", "one-shot, validation", "mean, test", *numbers, "MAdds")
    rows = [
        (
            tag("code", format_genome(model.genome)),
            percent(model.one_shot),
            percent(statistics.fmean(model.finished)) if model.finished else "diverged",
            *("diverged" if value is None else percent(value) for value in model.stand_alone),
            *[UNKNOWN] * (seeds - len(model.stand_alone)),
            millions(model.madds),
        )
        for model in sorted(study.models, key=lambda model: -model.one_shot)
    ]
    return table("Networks of the ranking study, best one-shot accuracy first", head, rows)
