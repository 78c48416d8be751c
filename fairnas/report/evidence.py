"""The sections between the verdicts and the closing: pictures with their numbers, each a pure function."""

import statistics
from collections.abc import Sequence

from fairnas.fairness import Ledger
from fairnas.report import figures
from fairnas.report.drawing import draw_network, kernels
from fairnas.report.inputs import Inputs
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
from fairnas.report.records import Agreement, Ranking, Search
from fairnas.report.units import (
    COST_NAMES,
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
_CHOSEN |= {"random": "drawn at random"}


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
    bounds = [f"{COST_NAMES.get(name, name)} up to {millions(bound)}" for name, bound in search.bounds]
    return (
        f"Searcher {search.searcher} scored {counted(search.distinct, 'different network')} in "
        f"{counted(search.generations, 'generation')}"
        + (f", with {listed(bounds)}" if bounds else "")
        + (f"; {counted(search.failed, 'network')} failed" if search.failed else "")
        + f". {counted(len(search.front), 'network')} on the front: no other is better in accuracy, "
        "multiply-adds or parameters without being worse in another of them."
    )


def _front_table(search: Search) -> Html:
    rows = [
        (
            tag("code", each.genome),
            millions(each.madds),
            millions(each.params),
            percent(each.top1),
            whole(each.generation + 1),
        )
        for each in search.front
    ]
    head = ("genome", "MAdds", "parameters", "one-shot top-1, validation", "generation")
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
    lost = sum(not model.finished for model in study.models)
    caption = (
        f"{counted(len(study.models), 'network')}, {_CHOSEN.get(study.choose, study.choose)}, each trained from "
        f"scratch with {counted(seeds, 'seed')}. Dots are means over seeds, bars reach from the worst seed to the best."
        + (f" {counted(lost, 'network')} left out, because a training diverged." if lost else "")
    )
    description = f"Scatter plot of stand-alone over one-shot accuracy, tau = {agreement_text(study.tau)}."
    pair = tag("div", plot("ranking", description, caption), _agreement_table(study), classes="pair")
    body = [pair, folded("The networks of the study as a table", _study_table(study))]
    return Section("ranking", title, joined(body), (("ranking", figures.rank_figure(study.models)),))


def _agreement_table(study: Ranking) -> Html:
    def row(name: str, value: Agreement, remark: str = "") -> Sequence[str]:
        known = is_known(value.low) and is_known(value.high)
        limits = interval(decimal(value.low), decimal(value.high)) if known else UNKNOWN
        return (name, decimal(value.tau) + remark, limits, str(value.n))

    rows = [row("one-shot accuracy", study.tau)]
    rows += [row(f"{COST_NAMES.get(name, name)} alone", value) for name, value in study.predictors]
    ceiling = "another seed: noise ceiling"
    low = " (low)" if is_low(study.ceiling) else ""
    rows.append(row(ceiling, study.ceiling, low) if study.ceiling else (ceiling, "not known, one seed", "", ""))
    note = (
        f"Spearman's rho of one-shot accuracy: {decimal(study.spearman)}. "
        "The order is that of stand-alone test accuracy, mean over seeds."
    )
    head = ("order by", "tau", "95\u00a0% interval", "n")
    agreement = table("Who predicts the order? Kendall's tau", head, rows)
    return tag("div", agreement, tag("p", note, classes="note"))


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
