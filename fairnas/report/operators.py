"""What the operators of a search did: who made the children, and what became of them."""

from collections.abc import Mapping

from fairnas.report.figures import Figure, outline, plain_layout, six_digits
from fairnas.report.markup import Html, paragraphs, table
from fairnas.report.units import counted, percent, whole
from fairnas.search.mutators import Tally


def busiest_first(operators: Mapping[str, Tally]) -> list[tuple[str, Tally]]:
    """Operators that made children, without the random first generation, which is none."""
    born = [(name, tally) for name, tally in operators.items() if name != "first" and tally.children]
    return sorted(born, key=lambda item: (-item[1].children, item[0]))


def operator_table(operators: Mapping[str, Tally], searcher: str) -> Html:
    """A row per operator, or a sentence that there are none."""
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
        f"Who made the {counted(children, 'child', 'children')} after the first generation; lived on: in the "
        "population of the next one"
    )
    return table(caption, head, rows)


def operator_figure(operators: Mapping[str, Tally]) -> Figure:
    """Shares of the operators: of all children, of those that lived on, of those on the first front."""
    born = busiest_first(operators)[::-1]  # the first is drawn lowest
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
