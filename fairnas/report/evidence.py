"""The sections between the verdicts and the closing: pictures with their numbers, each a pure function."""

import statistics
from collections.abc import Sequence

from fairnas.fairness import Ledger
from fairnas.report import figures
from fairnas.report.drawing import draw_network, kernels
from fairnas.report.goals import bounds_in_words, further_goals, quantity
from fairnas.report.inputs import Inputs
from fairnas.report.lessons import curves_section
from fairnas.report.markup import (
    Html,
    Section,
    folded,
    joined,
    missing,
    paragraphs,
    plot,
    scrollable,
    table,
    tag,
)
from fairnas.report.records import Agreement, Choosing, Lead, OtherJudge, Ranking, Search
from fairnas.report.similarity import summary_section
from fairnas.report.units import (
    COST_NAMES,
    PREDICTOR_NAMES,
    UNKNOWN,
    counted,
    decimal,
    interval,
    is_known,
    listed,
    millions,
    percent,
    whole,
)
from fairnas.report.verdicts import agreement_text, is_low
from fairnas.space import SearchSpace

_KERNELS = {"k3": "3x3 kernel", "k5": "5x5 kernel", "k7": "7x7 kernel", "other": "other kernel"}
_KERNELS |= {"identity": "identity"}
_CHOSEN = {"front": "taken along the front", "stratified": "stratified over one-shot accuracy"}
_CHOSEN |= {"random": "drawn at random", "named": "named by the user"}


def front(inputs: Inputs) -> Section:
    """The front over the cloud of candidates, against multiply-adds and against parameters."""
    title = "Front"
    if not inputs.search:
        return Section("front", title, paragraphs([missing("search result", "search", inputs.path)]))
    search, cloud = inputs.search, inputs.candidates
    drawn = figures.thinned(cloud)
    some = f", {whole(len(drawn))} of them drawn" if len(drawn) < len(cloud) else ""
    captions = {
        "madds": f"{counted(len(cloud), 'candidate')}{some}; the stronger the tone, the later the generation."
        " The line leads along what no other network on the front beats in this plot's two quantities; "
        "numbers are the selected networks.",
        "params": "The same networks over their number of parameters.",
    }
    places = [
        plot(
            f"front-{cost}",
            f"Scatter plot of one-shot accuracy over {COST_NAMES[cost]}: {counted(len(cloud), 'candidate')}, "
            f"{counted(len(search.front), 'network')} on the front. The table below holds the front.",
            caption,
        )
        for cost, caption in captions.items()
    ]
    body = [paragraphs([_search_summary(search)]), tag("div", *places, classes="pair"), _front_table(search)]
    plots = [
        (f"front-{cost}", figures.front_figure(cost, cloud, search.front, search.selected)) for cost in figures.COSTS
    ]
    return Section("front", title, joined(body), tuple(plots))


def _search_summary(search: Search) -> str:
    bounds = bounds_in_words(search.goals)
    return (
        f"Searcher {search.searcher} scored {counted(search.distinct, 'different network')} in "
        f"{counted(search.generations, 'generation')}"
        + (f", with {listed(bounds)}" if bounds else "")
        + (f"; {counted(search.failed, 'network')} failed" if search.failed else "")
        + f". {counted(len(search.front), 'network')} on the front: no other is better in "
        f"{listed([goal.words for goal in search.goals], 'or')} without being worse in another of them."
    )


def _front_table(search: Search) -> Html:
    further = further_goals(search.goals)
    rows = [
        (
            tag("code", each.genome),
            millions(each.madds),
            millions(each.params),
            percent(each.top1),
            *(quantity(value, goal.unit) for value, goal in zip(each.further, further, strict=True)),
            whole(each.generation + 1),
        )
        for each in search.front
    ]
    names = [goal.words for goal in further]
    head = ("genome", "MAdds", "parameters", "one-shot top-1, validation", *names, "generation")
    summary = f"The front as a table ({counted(len(rows), 'network')})"
    return folded(summary, table("Networks on the front", head, rows))


def fairness(inputs: Inputs) -> Section:
    """Updates per choice block: the numbers themselves, shaded by their distance from the layer's mean."""
    title = "Fairness"
    if not inputs.ledger:
        return Section("fairness", title, paragraphs([missing("ledger", "train", inputs.path)]))
    updates = [[int(value) for value in row] for row in inputs.ledger.updates]
    means = [statistics.fmean(row) or 1.0 for row in updates]
    far = max(abs(value / mean - 1) for row, mean in zip(updates, means, strict=True) for value in row)
    widest = max(len(row) for row in updates)
    rows = [
        (
            str(layer),
            *(_shaded(whole(value), value / mean - 1, far, min(row) == max(row)) for value in row),
            *[Html("")] * (widest - len(row)),
            percent((max(row) - min(row)) / mean),
        )
        for layer, (row, mean) in enumerate(zip(updates, means, strict=True))
    ]
    intro = (
        "How often the weights of each choice block were updated. Strict fairness asks for equal numbers in "
        "every row; the spread is the distance from least to most, relative to the row's mean. "
        + (f"The strongest shade is {percent(far)} off the row's mean." if far else "All rows are level.")
    )
    head = ("layer", *_choice_names(inputs.space, widest), "spread")
    numbers = table("Updates per layer and choice block", head, rows, classes="heat")
    return Section("fairness", title, joined([paragraphs([intro]), numbers, _gradients(inputs.ledger, head[:-1])]))


def _gradients(ledger: Ledger, head: Sequence[str]) -> Html:
    """How strongly the blocks of a layer were pulled: equally many updates are not equal updates."""
    norms = [[float(value) for value in row] for row in ledger.gradient_norms]
    if not any(map(sum, norms)):
        return Html("")
    shares = [[value / (statistics.fmean(row) or 1.0) for value in row] for row in norms]
    far = max(abs(share - 1) for row in shares for share in row)
    rows = [
        (
            str(layer),
            *(_shaded(f"{share:.2f}", share - 1, far, False) for share in row),
            *[Html("")] * (len(head) - 1 - len(row)),
        )
        for layer, row in enumerate(shares)
    ]
    caption = "Gradient norms per layer and choice block, relative to the layer's mean"
    numbers = table(caption, head, rows, classes="heat")
    return folded("Gradients of the choice blocks: equally many updates are not equally large ones", numbers)


def _choice_names(space: SearchSpace, count: int) -> tuple[str, ...]:
    """Names of the columns: labels where all layers offer the same, else numbers."""
    widest = max(space.layers, key=lambda layer: len(layer.choices)).choices
    alike = all(layer.choices == widest[: len(layer.choices)] for layer in space.layers)
    if alike and len(widest) == count:
        return tuple(block.label for block in widest)
    return tuple(f"choice {number}" for number in range(count))


def _shaded(text: str, deviation: float, far: float, level: bool) -> Html:
    if level or not far:
        return tag("span", text, classes="level")
    side = "over" if deviation > 0 else "under"
    share = f'style="--share:{100 * abs(deviation) / far:.0f}%"'
    return tag("span", text, classes=side, attributes=share)


def ranking(inputs: Inputs) -> Section:
    """One-shot against stand-alone accuracy."""
    title = "Ranking"
    if not inputs.ranking:
        return Section("ranking", title, paragraphs([missing("ranking study", "rank", inputs.path)]))
    study = inputs.ranking
    seeds = max((len(model.stand_alone) for model in study.models), default=0)
    lost = [model.genome for model in study.models if not model.finished]
    caption = (
        f"{counted(len(study.models), 'network')}, {_CHOSEN.get(study.choose, study.choose)}, each trained from "
        f"scratch with {counted(seeds, 'seed')}. Dots are means over seeds, bars reach from the worst seed to the best."
        + (f" {counted(len(lost), 'network')} left out, because a training diverged: {listed(lost)}." if lost else "")
    )
    description = f"Scatter plot of stand-alone over one-shot accuracy, tau = {agreement_text(study.tau)}."
    pair = tag("div", plot("ranking", description, caption), _agreement_table(study), classes="pair")
    body = [pair]
    if study.choosing:
        body += [_choosing_table(study, study.choosing), _gap_table(study)]
    body.append(folded("The networks of the study as a table", _study_table(study)))
    return Section("ranking", title, joined(body), (("ranking", figures.rank_figure(study.models)),))


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
    if study.against:
        rows.append(row(f"the supernet of {study.against.name}", study.against.tau))
    ceiling = "another seed: noise ceiling"
    low = " (low)" if is_low(study.ceiling) else ""
    rows.append(row(ceiling, study.ceiling, low) if study.ceiling else (ceiling, "not known, one seed", "", ""))
    note = (
        f"Spearman's rho of one-shot accuracy: {decimal(study.spearman)}. "
        "The order is that of stand-alone test accuracy, mean over seeds."
    )
    if study.seeds > 2:
        note += f" The noise ceiling is the mean over all pairs of {study.seeds} seeds."
    if study.reachable is not None:
        note += (
            f" A predictor without error would reach about {decimal(study.reachable)} with the mean of "
            f"{study.seeds} seeds (an estimate, n = {study.ceiling.n if study.ceiling else study.tau.n})."
        )
    head = ("order by", "tau", "95\u00a0% interval", "n")
    agreement = table("Who predicts the order? Kendall's tau", head, rows)
    return tag("div", agreement, tag("p", note, classes="note"))


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


def accuracies(inputs: Inputs) -> Section:
    """The histogram of one-shot accuracies, and the supernet accuracy gap."""
    name, title = "accuracies", "One-shot accuracies"
    if not inputs.candidates:
        return Section(name, title, paragraphs([missing("archive of candidates", "search", inputs.path)]))
    values = [each.top1 for each in inputs.candidates]
    caption = (
        f"{counted(len(values), 'candidate')} of the search: lowest {percent(min(values))}, "
        f"median {percent(statistics.median(values))}, highest {percent(max(values))}. "
        "A search prefers good networks, so this is no random sample of the space."
    )
    if inputs.ranking:
        study = inputs.ranking
        spans = [decimal(high - low, 3) for low, high in (study.one_shot_range, study.stand_alone_range)]
        caption += (
            f" Supernet accuracy gap over the {counted(len(study.models), 'network')} of the ranking study: "
            f"λ = |{spans[0]} \u2212 {spans[1]}| = {decimal(study.gap, 3)}, with one-shot accuracies from "
            f"{interval(*map(percent, study.one_shot_range))} and stand-alone ones from "
            f"{interval(*map(percent, study.stand_alone_range))}."
        )
    place = plot(name, "Histogram of one-shot accuracies, described below.", caption)
    return Section(name, title, place, ((name, figures.histogram_figure(values)),))


def training(inputs: Inputs) -> Section:
    """The training curve of the supernet and the hypervolume of the search."""
    body, plots = [], []
    if inputs.epochs:
        last = inputs.epochs[-1]
        caption = f"Supernet training over {counted(len(inputs.epochs), 'epoch')}: loss at the end {last.loss:.3f}"
        if last.top1_mean is not None:
            caption += (
                f", mean one-shot top-1 {percent(last.top1_mean)}. The shade is one standard deviation over "
                "a fixed handful of random networks, on validation images"
            )
        body.append(plot("training", "Training curve, described below.", caption + "."))
        plots.append(("training", figures.training_figure(inputs.epochs)))
    else:
        body.append(paragraphs([missing("training curve", "train", inputs.path)]))
    if inputs.search and inputs.search.hypervolume:
        values = inputs.search.hypervolume
        caption = (
            f"Hypervolume over {counted(len(values), 'generation')}: the share of the objective space that "
            f"the front dominates, {decimal(values[-1], 3)} at the end. "
            "A line that still climbs asks for more generations."
        )
        body.append(plot("hypervolume", "Hypervolume over generations, described below.", caption))
        plots.append(("hypervolume", figures.hypervolume_figure(values)))
    else:
        body.append(paragraphs([missing("hypervolume", "search", inputs.path)]))
    return Section("training", "Training and search", tag("div", *body, classes="pair"), tuple(plots))


def curves(inputs: Inputs) -> Section:
    """How the networks of the ranking study learned; only in the page if their trainings left curves."""
    return curves_section(inputs.lessons)


def similarity(inputs: Inputs) -> Section:
    """How alike the choice blocks of every layer are; only in the page if `fairnas similarity` was asked."""
    assert inputs.similarity is not None
    return summary_section(inputs.similarity)


def drawings(inputs: Inputs) -> Section:
    """The selected networks, drawn."""
    title = "Selected networks, drawn"
    if not inputs.search or not inputs.search.selected:
        return Section("drawings", title, paragraphs([missing("selection", "search", inputs.path)]))
    legend = [
        tag("li", tag("span", classes=f"swatch {name}", attributes='aria-hidden="true"'), _KERNELS[name])
        for name in kernels(inputs.space)
    ]
    intro = (
        "From stem to head. Height is the expansion rate, colour the kernel; width means nothing. A thick "
        "grey line is a downsampling point, with the image's side in pixels behind it; dashed lines part stem "
        "and head from the layers that were chosen."
    )
    body = [paragraphs([intro]), tag("ul", *legend, classes="legend")]
    for number, network in enumerate(inputs.search.selected, start=1):
        svg = Html(draw_network(inputs.space, inputs.space.parse(network.genome)))
        facts = f" {millions(network.madds)} multiply-adds, {millions(network.params)} parameters"
        caption = tag("figcaption", tag("strong", str(number)), " ", tag("code", network.genome), facts)
        frame = scrollable(f"Drawing of network {number}", svg)
        body.append(tag("figure", caption, frame, classes="drawing"))
    return Section("drawings", title, joined(body))
