"""The section on the evolution: candidates by generation, the hypervolume, and the operators' shares."""

from fairnas.report.figures import hypervolume_figure
from fairnas.report.inputs import Inputs
from fairnas.report.markup import Section, joined, missing, paragraphs, plot, tag
from fairnas.report.networks import GENERATION, networks_of, view_figure
from fairnas.report.operators import busiest_first, operator_figure, operator_table
from fairnas.report.units import counted, decimal, percent


def evolution(inputs: Inputs) -> Section:
    """How the search got to its front."""
    name, title = "evolution", "Evolution"
    if not inputs.search:
        return Section(name, title, paragraphs([missing("search result", "search", inputs.path)]))
    search, body, plots, pair = inputs.search, [], [], []
    if inputs.candidates:
        early = [each.accuracy for each in inputs.candidates if each.generation == 0]
        late = [each.accuracy for each in inputs.candidates if each.generation == search.generations - 1]
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
            "A line that still climbs asks for more generations."
        )
        pair.append(plot("hypervolume", "Hypervolume over generations, described below.", caption))
        plots.append(("hypervolume", hypervolume_figure(values)))
    body.append(tag("div", *pair, classes="pair"))
    operators = dict(search.operators)
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
