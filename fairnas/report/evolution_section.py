"""Section on the evolution: candidates by generation, the hypervolume, and the operators' shares."""

from collections.abc import Mapping

from fairnas.report.format import counted, decimal, percent, whole
from fairnas.report.html import Html, Section, joined, missing, paragraphs, plot, table, tag
from fairnas.report.networks import GENERATION, networks_of, view_figure
from fairnas.report.plots import Figure, hypervolume_figure, outline, plain_layout, six_digits
from fairnas.report.run_data import Inputs
from fairnas.search.mutators import OperatorCounts


def evolution(inputs: Inputs) -> Section:
    """Build the section, or its replacement if there is no search result."""
    name, title = "evolution", "Evolution"
    if not inputs.search:
        return Section(name, title, paragraphs([missing("search result", "search", inputs.path)]))
    search, body, plots, pair = inputs.search, [], [], []
    if inputs.candidates:
        measure = inputs.config.measure
        early = [each.value(measure) for each in inputs.candidates if each.generation == 0]
        late = [each.value(measure) for each in inputs.candidates if each.generation == search.generations - 1]
        caption = "Every candidate at the generation that scored it first; the line is the best so far."
        foreign = len(inputs.candidates) - search.scored
        if foreign > 0:
            caption += (
                f" {counted(foreign, 'candidate')} more than this search scored are here, from other searches of the "
                "same supernet. Linked with the plots of the front."
            )
        elif early and late and search.generations > 1:
            caption += (
                f" Mean accuracy of the new networks: {percent(sum(early) / len(early))} in the first generation, "
                f"{percent(sum(late) / len(late))} in the last. Linked with the plots of the front."
            )
        described = (
            f"Scatter plot of one-shot accuracy over generations, {counted(len(inputs.candidates), 'candidate')}."
        )
        pair.append(plot(name, described, caption))
        plots.append((name, view_figure(networks_of(inputs), GENERATION, best_so_far=True)))
    if search.hypervolume:
        values = search.hypervolume
        caption = (
            f"Hypervolume over {counted(len(values), 'generation')}: the share of the objective space that "
            f"the front dominates, {decimal(values[-1], 3)} at the end. "
            "If the line still climbs, more generations would help."
        )
        pair.append(plot("hypervolume", "Hypervolume over generations, described below.", caption))
        plots.append(("hypervolume", hypervolume_figure(values)))
    body.append(tag("div", *pair, classes="pair"))
    operators = search.operators
    body.append(tag("h3", "Operators"))
    numbers = operator_table(operators, search.searcher)
    if busiest_first(operators):
        caption = "Each operator's share of the children made, of those that lived on, of those on the first front."
        shares = plot("operators", "Bar chart of the operators' shares; the table beside it has the numbers.", caption)
        body.append(tag("div", shares, numbers, classes="pair"))
        plots.append(("operators", operator_figure(operators)))
    else:
        body.append(numbers)
    return Section(name, title, joined(body), tuple(plots))


def busiest_first(operators: Mapping[str, OperatorCounts]) -> list[tuple[str, OperatorCounts]]:
    """Operators that made children, most children first; without the random first generation, which has none."""
    born = [(name, tally) for name, tally in operators.items() if name != "first" and tally.children]
    return sorted(born, key=lambda item: (-item[1].children, item[0]))


def operator_table(operators: Mapping[str, OperatorCounts], searcher: str) -> Html:
    """Return a table with a row per operator, or a sentence if there are none."""
    born = busiest_first(operators)
    if not born:
        return paragraphs([f"Searcher {searcher} has no operators."])
    children = sum(tally.children for _, tally in born)
    rows = [
        (
            name,
            whole(tally.children),
            percent(tally.children / children),
            percent(tally.survived / tally.children),
            percent(tally.on_front / tally.children),
        )
        for name, tally in born
    ]
    head = ("operator", "children", "share", "lived on", "on the first front")
    caption = (
        f"Operators that made the {counted(children, 'child', 'children')} after the first generation; lived on: kept "
        "in the next population"
    )
    return table(caption, head, rows)


def operator_figure(operators: Mapping[str, OperatorCounts]) -> Figure:
    """Bar chart of each operator's share of all children, of those that lived on, of those on the first front."""
    born = busiest_first(operators)[::-1]  # plotly draws the first lowest
    kinds = (("on the first front", "on_front", "chosen"), ("lived on", "survived", "front"))
    data = []
    for title, field, colour in (*kinds, ("made", "children", "bars")):
        counts = [getattr(tally, field) for _, tally in born]
        whole_sum = sum(counts) or 1
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": title,
                "y": [name for name, _ in born],
                "x": [six_digits(100 * count / whole_sum) for count in counts],
                "text": [f"{count:,} of {sum(counts):,}" for count in counts],
                "textposition": "none",
                "hovertemplate": f"%{{y}}: %{{x:.1f}} % of the children that were {title} (%{{text}})<extra></extra>"
                if field == "children"
                else f"%{{y}}: %{{x:.1f}} % of the children {title} (%{{text}})<extra></extra>",
                "marker": {"color": f"var(--{colour})", "line": outline(1)},
            }
        )
    layout = plain_layout("share of the children (%)", "", legend=True, hovermode="closest")
    layout |= {"barmode": "group", "bargap": 0.25}
    layout["legend"]["traceorder"] = "reversed"
    layout["xaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": layout}
