"""Networks of a search as one compact table, shared by the linked plots of the page.

Every network is a row. Plots hold row numbers, so that networks marked in one plot can be found in the others; the
page's script makes texts, drawings and commands from the row. Figures are plain data, as in `plots`.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.report.drawing import block_words, pieces_of
from fairnas.report.format import COST_NAMES, UNKNOWN, interval, is_known, percent
from fairnas.report.objectives import Goal, extra_objectives, in_words
from fairnas.report.plots import FADING, Figure, linked, outline, plain_layout, six_digits, staircase, thinned
from fairnas.report.run_data import Inputs
from fairnas.report.verdicts import accuracy_interval
from fairnas.search.candidate import Candidate
from fairnas.space import format_genome

Kind = Literal["share", "millions", "generation", "plain"]


@dataclass(frozen=True)
class Quantity:
    """A quantity that every network has a value of."""

    name: str
    words: str
    kind: Kind
    unit: str
    """Unit of the values as drawn."""
    key: str = ""
    """Key of the value in the candidate, if it is not `name`."""

    def of(self, each: Candidate) -> float | None:
        """Return the value of a network, in the unit drawn."""
        if self.kind == "generation":
            return each.generation + 1
        value = each.get(self.key or self.name)
        if value is None or not is_known(value):
            return None
        return six_digits(value * {"share": 100, "millions": 1e-6, "plain": 1}[self.kind])

    @property
    def title(self) -> str:
        """Title of its axis."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


GENERATION = Quantity("generation", "generation", "generation", "")
_COSTS = tuple(Quantity(name, words, "millions", "M") for name, words in COST_NAMES.items())


def accuracy_by(measure: Measure) -> Quantity:
    """Return one-shot accuracy as a quantity, named by the run's measure."""
    return Quantity("accuracy", f"one-shot {ACCURACY_WORDS[measure]}, validation", "share", "%", measure)


def costs_of(objectives: Sequence[Goal]) -> tuple[Quantity, ...]:
    """Quantities that accuracy is plotted against: multiply-adds, parameters, and further objectives of the search."""
    further = [
        Quantity(
            objective.name,
            in_words(objective),
            "share" if objective.unit.startswith("share of") else "plain",
            objective.unit,
        )
        for objective in extra_objectives(objectives)
    ]
    return (*_COSTS, *further)


@dataclass(frozen=True)
class Networks:
    """Networks that the plots show, each once."""

    rows: tuple[Candidate, ...]
    cloud: tuple[int, ...]
    """Rows of the candidates drawn, in the order of scoring."""
    front: tuple[int, ...]
    selected: tuple[int, ...]
    accuracy: Quantity


def networks_of(inputs: Inputs) -> Networks:
    """Collect the networks of a search: the whole front, and a sample of the candidates if these are very many."""
    assert inputs.search is not None
    search, drawn = inputs.search, thinned(inputs.candidates)
    known = {each.genome: each for each in (*drawn, *search.front, *search.selected)}
    named = {each.genome: each for each in inputs.named if is_known(each.value(inputs.config.measure))}
    place = {genome: number for number, genome in enumerate(known | named)}

    def rows(scored: Sequence[Candidate]) -> tuple[int, ...]:
        return tuple(place[each.genome] for each in scored)

    # entries of the search know all of its objectives, so they come last and replace others
    every = tuple((known | named).values())
    return Networks(every, rows(drawn), rows(search.front), rows(search.selected), accuracy_by(inputs.config.measure))


def network_data(inputs: Inputs, networks: Networks) -> dict[str, Any]:
    """Plain data about the networks for the page's script."""
    assert inputs.search is not None
    costs = costs_of(inputs.search.objectives)
    pieces = pieces_of(inputs.space)
    number = {each.text: row for row, each in enumerate(networks.rows)}
    return {
        "genomes": [each.text for each in networks.rows],
        "quantities": [
            {"name": each.name, "words": each.words, "kind": each.kind, "unit": each.unit}
            | {"values": [each.of(scored) for scored in networks.rows]}
            for each in (networks.accuracy, *costs, GENERATION)
        ],
        "front": list(networks.front),
        "selected": list(networks.selected),
        "told": {number[genome]: facts for genome, facts in _further_facts(inputs).items() if genome in number},
        "retrained": [number[text] for text in map(format_genome, inputs.trained) if text in number],
        "run": shlex.quote(str(inputs.path)),
        "drawing": {
            "frame": pieces.frame,
            "first": pieces.first,
            "choices": pieces.choices,
            "last": pieces.last,
            "words": block_words(inputs.space),
        },
    }


def _further_facts(inputs: Inputs) -> Mapping[str, list[tuple[str, str]]]:
    """Names and values, per genome, of results from outside the search."""
    facts: dict[str, list[tuple[str, str]]] = {}
    measure = inputs.config.measure
    for genome, result in inputs.trained.items():
        if result.test is None:
            said = "diverged"
        else:
            images, limits = result.test.images, accuracy_interval(result.test, measure)
            said = f"{percent(result.test.accuracy(measure), images)} ({interval(*map(percent, limits))})"
        facts.setdefault(format_genome(genome), []).append((f"stand-alone {inputs.accuracy_words}, test", said))
    for model in inputs.ranking.study.models if inputs.ranking else ():
        values = ", ".join(percent(each) if each is not None else "diverged" for each in model.stand_alone)
        facts.setdefault(format_genome(model.genome), []).append(("in the ranking study", values or UNKNOWN))
    for genome in inputs.files:
        facts.setdefault(genome, []).append(("exported to", f"models/{genome}/"))
    return facts


def view_figure(networks: Networks, x: Quantity, *, best_so_far: bool = False) -> Figure:
    """Plot accuracy against another quantity: candidates, front, selected networks.

    Args:
        networks: networks of the page.
        x: quantity on the horizontal axis.
        best_so_far: draw the line of the best accuracy up to x, instead of the front.
    """

    def points(rows: Sequence[int], name: str, **style: Any) -> Figure:
        shown = [row for row in rows if x.of(networks.rows[row]) is not None]
        return {
            "type": "scatter",
            "name": name,
            "mode": "markers",
            "x": [x.of(networks.rows[row]) for row in shown],
            "y": [networks.accuracy.of(networks.rows[row]) for row in shown],
            "customdata": shown,
            "hovertemplate": "%{hovertext}<extra></extra>",  # the page's script makes the texts
            **FADING,
            **style,
        }

    last = max((networks.rows[row].generation for row in networks.cloud), default=0)
    cloud = {
        "size": 6,
        "color": [networks.rows[row].generation for row in networks.cloud],
        "colorscale": [[0, "var(--cloud-early)"], [1, "var(--cloud-late)"]],
        "cmin": 0,
        "cmax": max(last, 1),
        "showscale": False,
    }
    candidates = points(networks.cloud, "candidates", marker=cloud)
    cloud["color"] = [networks.rows[row].generation for row in candidates["customdata"]]
    front = points(networks.front, "front", marker={"size": 7, "color": "var(--front)", "line": outline(1)})
    marks = {"size": 18, "color": "var(--chosen)", "line": outline(1.5)}
    numbers = {"mode": "markers+text", "textposition": "middle center"}
    numbers |= {"textfont": {"color": "var(--surface)", "size": 12}}
    chosen = points(networks.selected, "selected", marker=marks, **numbers)
    chosen["unselected"] = {"marker": {"opacity": 0.25}, "textfont": {"color": "var(--muted)"}}
    order = {row: f"<b>{number}</b>" for number, row in enumerate(networks.selected, start=1)}
    chosen["text"] = [order[row] for row in chosen["customdata"]]
    source = candidates if best_so_far else front
    stairs = staircase([(a, b) for a, b in zip(source["x"], source["y"], strict=True) if b is not None])
    line = {
        "type": "scatter",
        "name": "best so far" if best_so_far else "best for the cost",
        "mode": "lines",
        "x": [a for a, _ in stairs] + ([last + 1] if best_so_far and stairs else []),
        "y": [b for _, b in stairs] + ([stairs[-1][1]] if best_so_far and stairs else []),
        "line": {"shape": "hv", "width": 1.5, "color": "var(--front)"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    layout = plain_layout(x.title, networks.accuracy.title, legend=True, hovermode="closest") | linked()
    return {"data": [candidates, line, front, chosen], "layout": layout}
