"""Figure 11: evolution of the search of a run, from its archive and `search.json`. Does not score.

The page shows the networks by generation, the progress of the front, and the survival of the operators' children.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fairnas import __version__
from fairnas.atomic_files import write_atomically
from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.errors import RunDirectoryError
from fairnas.report.evolution_section import operator_table
from fairnas.report.format import COST_NAMES, counted, decimal, listed, millions, percent, whole
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.objectives import bounds_in_words, candidate_numbers, extra_objectives, in_words
from fairnas.report.page import whole_page
from fairnas.report.plots import (
    COSTS,
    Figure,
    hypervolume_figure,
    outline,
    plain_layout,
    six_digits,
    staircase,
    thinned,
)
from fairnas.report.reproduction_section import versions_table
from fairnas.report.run_data import read_inputs
from fairnas.rundir import RunDirectory
from fairnas.search.candidate import Candidate
from fairnas.search.record import SearchRecord
from fairnas.versions import installed_versions


def draw_figure_11(out: Path, path: Path, command: str) -> dict[str, Any]:
    """Write the page and its numbers, and return these.

    Raises:
        RunDirectoryError: if there is no run, its search is not finished, or its archive was not kept.
    """
    evolution = read_evolution(path, command)
    numbers = as_numbers(evolution)
    write_atomically(out / "figure11.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure11.html", render_evolution(evolution).encode())
    return numbers | {"page": str(out / "figure11.html")}


@dataclass(frozen=True)
class Evolution:
    """Content of the page. Generations count from 0 here, and from 1 for readers."""

    run: str
    data: str
    space: str
    validation_images: int
    search: SearchRecord
    candidates: tuple[Candidate, ...]
    """All networks that this supernet scored, in the order of scoring."""
    measure: Measure
    """Measure of accuracy in the run."""
    command: str

    @property
    def words(self) -> str:
        """Name of the run's measure of accuracy."""
        return ACCURACY_WORDS[self.measure]

    @property
    def milestones(self) -> tuple[int, ...]:
        """First, middle and last generation; fewer in a search of one or two."""
        last = self.search.generations - 1
        return tuple(sorted({0, last // 2, last}))

    def until(self, generation: int) -> tuple[Candidate, ...]:
        """Networks scored up to a generation."""
        return tuple(each for each in self.candidates if each.generation <= generation)


def read_evolution(path: Path, command: str) -> Evolution:
    """Read the search of a run directory."""
    run = RunDirectory.open(path)
    run.require_finished("search")
    inputs = read_inputs(run)
    assert inputs.search is not None, "the search is finished"
    if not inputs.candidates:
        raise RunDirectoryError(
            f"{path / 'archive.sqlite'} holds no network of this search; `fairnas search --run {path}` makes it again"
        )
    return Evolution(
        run=path.resolve().name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        space=inputs.space.name,
        validation_images=inputs.data.counts.get("validation", 0) if inputs.data else 0,
        search=inputs.search,
        candidates=inputs.candidates,
        measure=inputs.config.measure,
        command=command,
    )


def as_numbers(evolution: Evolution) -> dict[str, Any]:
    """Figure as plain data."""
    search = evolution.search
    return {
        "figure": 11,
        "run": evolution.run,
        "space": evolution.space,
        "data": evolution.data,
        "validation_images": evolution.validation_images,
        "searcher": search.searcher,
        "generations": search.generations,
        "evaluations": search.evaluations,
        "distinct": search.distinct,
        "networks": len(evolution.candidates),
        "hypervolume": list(search.hypervolume),
        "milestones": list(milestones_as_numbers(evolution)),
        "operators": {name: dataclasses.asdict(tally) for name, tally in search.operators.items()},
        "candidates": [
            candidate_numbers(each, evolution.measure, extra_objectives(search.objectives))
            for each in evolution.candidates
        ],
        "sentences": list(findings(evolution)),
        "command": evolution.command,
        "versions": installed_versions(),
    }


_SCALE = ("--cloud-early", "--front", "--chosen")
"""Colours from the first generation to the last."""
_DASHES = ("dot", "dash", "solid")
"""Line styles of the fronts after the first, the middle and the last generation."""


def render_evolution(evolution: Evolution) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    search = evolution.search
    bounds = bounds_in_words(search.objectives)
    lead = (
        f"Space {evolution.space}, data {evolution.data}. Searcher {search.searcher}, "
        f"{counted(search.generations, 'generation')}, {whole(search.evaluations)} evaluations of "
        f"{counted(search.distinct, 'different network')}" + (f", with {listed(bounds)}" if bounds else "") + ". "
        f"Accuracy is one-shot {evolution.words} on {counted(evolution.validation_images, 'validation image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 11", classes="eyebrow"),
            tag("h1", f"The evolution of {evolution.run}"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(evolution) for write in (_outcome, _clouds, _progress, _operators, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 11 of {evolution.run}: fairnas", header, sections, footer)


def findings(evolution: Evolution) -> tuple[str, ...]:
    """Summary of the search, in sentences with numbers."""
    search, volumes = evolution.search, evolution.search.hypervolume
    if not volumes or not evolution.candidates:
        return ("No network was scored.",)
    goal = 0.99 * volumes[-1]  # as in Figure 6
    within = next(number for number, volume in enumerate(volumes, start=1) if volume >= goal)
    still = sum(later > earlier for earlier, later in zip(volumes[-11:], volumes[-10:], strict=False))
    best = max(evolution.candidates, key=lambda each: (each.value(evolution.measure), -each.value("madds")))
    steps = min(10, len(volumes) - 1)
    sentences = [
        f"Hypervolume rose from {decimal(volumes[0], 4)} after the first generation to {decimal(volumes[-1], 4)}; 99 % "
        f"of the last value was reached in generation {within} of {search.generations}.",
        f"The most accurate network is {best.text}: {percent(best.value(evolution.measure))}, "
        f"{millions(best.value('madds'))} multiply-adds, "
        f"found in generation {best.generation + 1}.",
    ]
    if steps:
        settled = "so it converged" if not still else "so it had not converged"
        sentences.insert(1, f"In {still} of the last {counted(steps, 'generation')} the front still grew, {settled}.")
    foreign = len(evolution.candidates) - evolution.search.scored
    if foreign > 0:
        sentences.append(
            f"The archive holds {counted(foreign, 'network')} more than this search scored, from other searches of the "
            "same supernet; a network stands at the generation that scored it first."
        )
    return tuple(sentences)


def _outcome(evolution: Evolution) -> Section:
    return Section("outcome", "Outcome", paragraphs(findings(evolution)))


def _clouds(evolution: Evolution) -> Section:
    every = evolution.candidates
    drawn = thinned(every)
    some = f", {whole(len(drawn))} of them drawn" if len(drawn) < len(every) else ""
    after = listed([f"{number + 1}" for number in evolution.milestones])
    captions = {
        "madds": f"{counted(len(every), 'network')}{some}, coloured by the generation that scored them. Lines: "
        f"networks that no other beats in this plot's two quantities, of all scored up to generation {after}.",
        "params": "The same networks over their number of parameters.",
    }
    places = [
        plot(
            f"evolution-{cost}",
            f"Scatter plot of one-shot accuracy over {COST_NAMES[cost]} by generation: "
            f"{counted(len(every), 'network')}.",
            caption,
        )
        for cost, caption in captions.items()
    ]
    plots = tuple((f"evolution-{cost}", cloud_figure(evolution, cost)) for cost in COSTS)
    body = joined([tag("div", *places, classes="pair"), _milestone_table(evolution)])
    return Section("evolution", "Networks by generation", body, plots)


def cloud_figure(evolution: Evolution, cost: Literal["madds", "params"]) -> Figure:
    """One mark per network, coloured by generation, and the front at three moments."""
    drawn = thinned(evolution.candidates)
    marks = {
        "size": 6,
        "color": [each.generation + 1 for each in drawn],
        "colorscale": [[place / 2, f"var({name})"] for place, name in enumerate(_SCALE)],
        "cmin": 1,
        "cmax": max(evolution.search.generations, 2),
        "colorbar": {
            "title": {"text": "generation", "side": "right", "font": {"size": 13}},
            "thickness": 10,
            "outlinewidth": 0,
        },
        "line": outline(0.5),
    }
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "networks",
            "showlegend": False,
            "x": [six_digits(each.value(cost) / 1e6) for each in drawn],
            "y": [six_digits(100 * each.value(evolution.measure)) for each in drawn],
            "text": [
                f"<b>{each.text}</b><br>{percent(each.value(evolution.measure))}, {millions(each.value(cost))} "
                f"{COST_NAMES[cost]}<br>generation {each.generation + 1}"
                for each in drawn
            ],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": marks,
        }
    ]
    for number, dash in zip(evolution.milestones, _DASHES[-len(evolution.milestones) :], strict=True):
        stairs = staircase(
            [(each.value(cost) / 1e6, 100 * each.value(evolution.measure)) for each in evolution.until(number)]
        )
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"front, generation {number + 1}",
                "x": [six_digits(x) for x, _ in stairs],
                "y": [six_digits(y) for _, y in stairs],
                "line": {"shape": "hv", "width": 2, "color": "var(--ink)", "dash": dash},
                "hoverinfo": "skip",
            }
        )
    layout = plain_layout(
        f"{COST_NAMES[cost]} (M)", f"one-shot {evolution.words} (%)", legend=True, hovermode="closest"
    )
    return {"data": data, "layout": layout}


def _milestone_table(evolution: Evolution) -> Html:
    volumes, measure = evolution.search.hypervolume, evolution.measure
    rows = []
    for number in evolution.milestones:
        scored = evolution.until(number)
        born = [each for each in scored if each.generation == number]
        best = max((each.value(measure) for each in scored), default=None)
        mean = sum(each.value(measure) for each in born) / len(born) if born else None
        volume = decimal(volumes[number], 4) if number < len(volumes) else ""
        rows.append((whole(number + 1), whole(len(scored)), whole(len(born)), percent(mean), percent(best), volume))
    head = ("generation", "networks so far", "new in it", "mean of the new", "best so far", "hypervolume")
    caption = f"The search at the moments of the lines; accuracies are one-shot {evolution.words}"
    return table(caption, head, rows)


def _progress(evolution: Evolution) -> Section:
    volumes = evolution.search.hypervolume
    of = listed([in_words(goal) for goal in evolution.search.objectives])
    caption = (
        f"Hypervolume of {of} of everything scored so far, from 0 to 1, after each of "
        f"{counted(len(volumes), 'generation')}."
    )
    described = f"Line plot of hypervolume over {counted(len(volumes), 'generation')}."
    figures = (("hypervolume", hypervolume_figure(volumes)),)
    return Section("progress", "Hypervolume", plot("hypervolume", described, caption), figures)


def _operators(evolution: Evolution) -> Section:
    return Section("operators", "Operators", operator_table(evolution.search.operators, evolution.search.searcher))


def _reproduction(evolution: Evolution) -> Section:
    body = [
        listing("The command that makes this figure", evolution.command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def milestones_as_numbers(evolution: Evolution) -> Sequence[dict[str, object]]:
    """Front at the moments of the lines, per cost, as plain data."""
    return [
        {
            "generation": number + 1,
            "networks": len(evolution.until(number)),
            "fronts": {
                cost: staircase([(each.value(cost), each.value(evolution.measure)) for each in evolution.until(number)])
                for cost in COSTS
            },
        }
        for number in evolution.milestones
    ]
