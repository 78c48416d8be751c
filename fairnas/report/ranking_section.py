"""The section on the ranking study: one-shot against stand-alone accuracy, and who else predicts the order."""

import statistics
from collections.abc import Mapping, Sequence

from fairnas.config import ACCURACY_WORDS
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
from fairnas.report.ranking_record import Agreement, Choosing, Corrected, Lead, OtherJudge, Ranking, SecondChoice
from fairnas.report.run_data import Inputs
from fairnas.report.verdicts import agreement_text, is_low

_CHOSEN = {"front": "taken along the front", "stratified": "stratified over one-shot accuracy"}
_CHOSEN |= {"random": "drawn at random", "named": "named by the user"}

_BY_LOSS = "one-shot cross-entropy"


def no_study(inputs: Inputs) -> str:
    """The sentence that stands where a run has no ranking study."""
    if inputs.unranked:
        return f"There is no ranking study: {inputs.unranked}."
    return missing("ranking study", "rank", inputs.path)


def ranking(inputs: Inputs) -> Section:
    """One-shot against stand-alone accuracy."""
    title = "Ranking"
    if not inputs.ranking:
        return Section("ranking", title, paragraphs([no_study(inputs)]))
    study = inputs.ranking
    seeds = max((len(model.stand_alone) for model in study.models), default=0)
    counts = dict(inputs.data.counts) if inputs.data else {}
    lost = [model.genome for model in study.models if not model.finished]
    caption = (
        f"{counted(len(study.models), 'network')}, {_CHOSEN.get(study.choose, study.choose)}, each trained from "
        f"scratch with {counted(seeds, 'seed')}. {_bars_in_words(seeds, counts)}"
        + (f" {counted(len(lost), 'network')} left out, because a training diverged: {listed(lost)}." if lost else "")
    )
    description = f"Scatter plot of stand-alone over one-shot accuracy, tau = {agreement_text(study.tau)}."
    pair = tag("div", plot("ranking", description, caption), _agreement_table(study), classes="pair")
    body = [pair]
    if study.choosing:
        body += [_choosing_table(study, study.choosing), _gap_table(study)]
    if study.second_choice and study.corrected:
        body.append(_second_choice_table(study.second_choice, study.corrected))
    body.append(folded("The networks of the study as a table", _study_table(study)))
    drawn = plots.rank_figure(
        study.models, told_by(inputs, "validation"), told_by(inputs, "test"), inputs.accuracy_words
    )
    return Section("ranking", title, joined(body), (("ranking", drawn),))


def told_by(inputs: Inputs, split: str) -> float:
    """As how many images the images of a split tell the run's measure of accuracy; 0 where that is not known."""
    if inputs.data is None:
        return 0
    if inputs.config.measure == "top1":
        return dict(inputs.data.counts).get(split, 0)
    return effective_images(dict(inputs.data.class_counts).get(split, ()))


def _bars_in_words(seeds: int, counts: Mapping[str, int]) -> str:
    said = "Dots are means over seeds, upright bars reach from the worst seed to the best."
    if seeds == 1 and counts.get("test"):
        said = f"Upright bars are 95\u00a0% intervals from {counted(counts['test'], 'test image')}."
    if counts.get("validation"):
        said += f" Level bars are 95\u00a0% intervals from {counted(counts['validation'], 'validation image')}."
    return said


def _agreement_table(study: Ranking) -> Html:
    def row(name: str, value: Agreement, remark: str = "") -> Sequence[str]:
        known = is_known(value.low) and is_known(value.high)
        limits = interval(decimal(value.low), decimal(value.high)) if known else UNKNOWN
        return (name, decimal(value.tau) + remark, limits, str(value.n))

    rows = [row("one-shot accuracy", study.tau)]
    constant = {name for name, value in study.predictors if not is_known(value.tau)} if is_known(study.tau.tau) else ()
    rows += [
        (f"{PREDICTOR_NAMES.get(name, name)} alone", "constant", "", str(value.n))
        if name in constant
        else row(f"{PREDICTOR_NAMES.get(name, name)} alone", value)
        for name, value in study.predictors
    ]
    if study.by_loss:
        rows.append(row(_BY_LOSS, study.by_loss.tau))
    if study.corrected:
        rows.append(row(_summed(study.corrected), study.corrected.tau))
    if study.against:
        rows.append(row(f"the supernet of {study.against.name}", study.against.tau))
    ceiling = "another seed: noise ceiling"
    low = " (low)" if is_low(study.ceiling) else ""
    rows.append(row(ceiling, study.ceiling, low) if study.ceiling else (ceiling, "not known, one seed", "", ""))
    note = (
        f"Spearman's rho of one-shot accuracy: {decimal(study.spearman)}. "
        "The order is that of stand-alone test accuracy, mean over seeds."
        + (f" Accuracy is {ACCURACY_WORDS[study.measure]}." if study.measure != "top1" else "")
    )
    if study.seeds > 2:
        note += f" The noise ceiling is the mean over all pairs of {study.seeds} seeds."
    if study.corrected:
        note += " A fitted sum orders each pair of networks by weights that all others gave it."
    if study.reachable is not None:
        note += (
            f" A predictor without error would reach about {decimal(study.reachable)} with the mean of "
            f"{study.seeds} seeds (an estimate, n = {study.ceiling.n if study.ceiling else study.tau.n})."
        )
    head = ("order by", "tau", "95\u00a0% interval", "n")
    agreement = table("Who predicts the order? Kendall's tau", head, rows)
    return tag("div", agreement, tag("p", note, classes="note"))


def _summed(corrected: Corrected) -> str:
    return f"cross-entropy and {PREDICTOR_NAMES.get(corrected.cost, corrected.cost)}, fitted to the others"


def _judges(study: Ranking) -> Sequence[tuple[str, OtherJudge]]:
    """The ways to score the networks beside the run's own."""
    others = [(f"BN statistics: {each.name}", each) for each in study.statistics]
    return [*others, (f"the supernet of {study.against.name}", study.against)] if study.against else others


def _choosing_table(study: Ranking, own: Choosing) -> Html:
    """Further measures of the run's order and of others on the same networks."""

    def row(name: str, tau: Agreement, found: Choosing | None, lead: Lead | None) -> Sequence[str]:
        measures: Sequence[str] = ("", "", "", "")
        if found:
            best = f"{decimal(found.best_tau)} (n\u00a0=\u00a0{found.best_n})"
            regret = " / ".join(decimal(100 * lost, 1) for _, lost in found.regret)
            measures = (decimal(found.spearman), decimal(found.pearson), best, regret)
        ahead = _bracketed(lead.difference, lead.low, lead.high) if lead else ""
        return (name, str(tau.n), _bracketed(tau.tau, tau.low, tau.high), *measures, ahead)

    name = f"BN statistics: {study.scored_by}" if study.scored_by else "one-shot accuracy"
    rows = [row(name, study.tau, own, None)]
    rows += [row(name, each.tau, each.choosing, each.lead) for name, each in _judges(study)]
    if study.by_loss:
        rows.append(row(_BY_LOSS, study.by_loss.tau, study.by_loss.choosing, study.by_loss.lead))
    if study.corrected:
        rows.append(row(_summed(study.corrected), study.corrected.tau, None, study.corrected.lead))
    leads = dict(study.leads)
    rows += [
        row(f"{PREDICTOR_NAMES.get(name, name)} alone", tau, None, leads.get(name))
        for name, tau in study.predictors
        if is_known(tau.tau)
    ]
    counts = " / ".join(str(k) for k, _ in own.regret)
    best = "tau among the best tenth, at least 3"
    head = ("order by", "n", "tau", "Spearman", "Pearson", best, f"points lost by the top {counts}")
    caption = (
        "Choosing by an order. Points lost: how far the truly best of the networks put first lies below the best of "
        "all. Ahead: tau of the first row less that of another on the same networks. In brackets: 95\u00a0% intervals"
    )
    return table(caption, (*head, "ahead by"), rows)


def _bracketed(number: float, low: float, high: float) -> str:
    if not is_known(number):
        return UNKNOWN
    return f"{decimal(number)} [{decimal(low)},\u00a0{decimal(high)}]" if is_known(low) else decimal(number)


def _gap_table(study: Ranking) -> Html:
    alone, n = interval(*map(percent, study.stand_alone_range)), str(study.tau.n)
    name = f"BN statistics: {study.scored_by}" if study.scored_by else "one-shot accuracy"
    rows = [(name, interval(*map(percent, study.one_shot_range)), alone, decimal(study.gap, 3), n)]
    rows += [
        (name, interval(*map(percent, each.one_shot_range)), alone, decimal(each.gap, 3), n)
        for name, each in _judges(study)
    ]
    head = ("scored by", "one-shot", "stand-alone", "lambda", "n")
    return table("Ranges of accuracy and the supernet accuracy gap lambda", head, rows)


def _second_choice_table(found: SecondChoice, corrected: Corrected) -> Html:
    rows = [
        (
            tag("code", each.genome),
            percent(each.foreseen),
            percent(each.one_shot),
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


def _study_table(study: Ranking) -> Html:
    seeds = max((len(model.stand_alone) for model in study.models), default=0)
    numbers = [f"seed {number}" for number in range(1, seeds + 1)]
    head = ("genome", "one-shot, validation", "mean, test", *numbers, "MAdds")
    rows = [
        (
            tag("code", model.genome),
            percent(model.one_shot),
            percent(statistics.fmean(model.finished)) if model.finished else "diverged",
            *("diverged" if value is None else percent(value) for value in model.stand_alone),
            *[UNKNOWN] * (seeds - len(model.stand_alone)),
            millions(model.madds),
        )
        for model in sorted(study.models, key=lambda model: -model.one_shot)
    ]
    return table("Networks of the ranking study, best one-shot accuracy first", head, rows)
