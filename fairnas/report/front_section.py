"""Section on the front: linked plots of all candidates, a list of marked networks, and one network in full."""

from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.report.format import counted, listed, millions, percent, whole
from fairnas.report.html import Html, Section, joined, missing, paragraphs, plot, script_json, table, tag
from fairnas.report.networks import GENERATION, Quantity, costs_of, network_data, networks_of, view_figure
from fairnas.report.objectives import bounds_in_words, extra_objectives, in_words, quantity
from fairnas.report.run_data import Inputs
from fairnas.search.record import SearchRecord

_HOW = (
    "The plots here and that of the generations are linked. Drag a box over networks in one of them, or give limits "
    "below (as on a touch screen, where a finger scrolls), and the same networks stay marked in all of them; a double "
    "click or the button shows all again. A click on a network, or on its genome in a list, shows it below the plots."
)


def front(inputs: Inputs) -> Section:
    """Build the section: the front among all candidates, accuracy against each cost."""
    title = "Front"
    if not inputs.search:
        return Section("front", title, paragraphs([missing("search result", "search", inputs.path)]))
    search, networks = inputs.search, networks_of(inputs)
    cloud, drawn = inputs.candidates, networks.cloud
    some = f", {whole(len(drawn))} of them drawn" if len(drawn) < len(cloud) else ""
    first = (
        f"{counted(len(cloud), 'candidate')}{some}; the stronger the tone, the later the generation."
        " The line joins the networks that no other one on the front beats in this plot's two quantities; "
        "numbers mark the selected networks."
    )
    costs = costs_of(search.objectives)
    places = [
        plot(
            f"front-{cost.name}",
            f"Scatter plot of one-shot accuracy over {cost.words}: {counted(len(cloud), 'candidate')}, "
            f"{counted(len(search.front), 'network')} on the front. The table below holds the front.",
            f"The same networks over {cost.words}." if number else first,
        )
        for number, cost in enumerate(costs)
    ]
    data = tag(
        "script", script_json(network_data(inputs, networks)), attributes='type="application/json" id="networks"'
    )
    body = [
        paragraphs([_search_summary(search), _HOW]),
        tag("div", *places, classes="pair"),
        _limits((networks.accuracy, *costs, GENERATION)),
        _one_network(),
        _front_table(search, inputs.config.measure),
        data,
    ]
    plots = [(f"front-{cost.name}", view_figure(networks, cost)) for cost in costs]
    return Section("front", title, joined(body), tuple(plots))


def _limits(quantities: tuple[Quantity, ...]) -> Html:
    """Fields for the limits of every quantity, for marking networks by keyboard, and the list of marked ones."""

    def field(each: Quantity, end: str) -> Html:
        named = f'aria-label="{each.words}, {"at least" if end == "from" else "at most"}" data-end="{end}"'
        return tag("input", attributes=f'type="number" step="any" inputmode="decimal" {named}')

    rows = [
        tag(
            "div",
            tag("span", each.title),
            field(each, "from"),
            tag("span", "to", attributes='aria-hidden="true"'),
            field(each, "to"),
            classes="limit",
            attributes=f'data-name="{each.name}"',
        )
        for each in quantities
    ]
    every = tag("button", "Show all", attributes='type="button" id="networks-all" disabled')
    told = tag("p", attributes='id="networks-marked" role="status"')
    found = tag(
        "ol", attributes='id="networks-found" aria-label="Marked networks, the most accurate first"', classes="found"
    )
    inner = [tag("legend", "Mark networks by their numbers"), tag("div", *rows, classes="limits"), every, told, found]
    return tag("fieldset", *inner, classes="marking")


def _one_network() -> Html:
    """Place where the page's script shows the chosen network."""
    empty = tag("p", "A click on a network shows it here; this needs JavaScript.")
    return tag("aside", empty, attributes='id="network" aria-label="The chosen network" tabindex="-1"')


def _search_summary(search: SearchRecord) -> str:
    bounds = bounds_in_words(search.objectives)
    goals = listed([in_words(objective) for objective in search.objectives], "or")
    return (
        f"Searcher {search.searcher} scored {counted(search.scored, 'different network')} in "
        f"{counted(search.generations, 'generation')}"
        + (f", with {listed(bounds)}" if bounds else "")
        + (f"; {counted(search.rejected, 'network')} missed a bound" if search.rejected else "")
        + (f"; {counted(search.failed, 'network')} failed" if search.failed else "")
        + f". {counted(len(search.front), 'network')} on the front: no other is better in "
        f"{goals} without being worse in another of them."
    )


def network_button(genome: str) -> Html:
    """Button with a genome that shows its network; plain text without JavaScript."""
    return tag("button", tag("code", genome), classes="genome", attributes=f'type="button" data-genome="{genome}"')


def _front_table(search: SearchRecord, measure: Measure) -> Html:
    further = extra_objectives(search.objectives)
    rows = [
        (
            network_button(each.text),
            millions(each.value("madds")),
            millions(each.value("params")),
            percent(each.value(measure)),
            *(quantity(each.get(objective.name), objective.unit) for objective in further),
            whole(each.generation + 1),
        )
        for each in search.front
    ]
    names = [in_words(objective) for objective in further]
    head = ("genome", "MAdds", "parameters", f"one-shot {ACCURACY_WORDS[measure]}, validation", *names, "generation")
    shown = table(f"The front, {counted(len(rows), 'network')}, lightest first", head, rows, classes="front")
    return tag("div", shown, classes="tall")
