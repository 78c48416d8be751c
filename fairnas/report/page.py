"""The page: sections, style, scripts and plotly.js in one file that needs no network access."""

import base64
import hashlib
import html
import importlib.resources
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairnas import __version__
from fairnas.report.evolution_section import evolution
from fairnas.report.fairness_section import fairness
from fairnas.report.format import whole
from fairnas.report.front_section import front
from fairnas.report.html import Html, Section, joined, script_json, tag
from fairnas.report.plot_sections import accuracies, curves, drawings, similarity, training
from fairnas.report.ranking_section import ranking
from fairnas.report.reproduction_section import reproduction
from fairnas.report.run_data import Inputs
from fairnas.report.table_sections import table_1, table_2
from fairnas.report.verdict_section import verdicts

SECTIONS = (
    *(verdicts, front, drawings, evolution, fairness, training, ranking, accuracies, curves, similarity),
    *(table_1, table_2, reproduction),
)
"""Functions that build the sections from the inputs, in the order of the page."""

Views = Literal["networks", "fronts"]
"""Kind of linked plots, named after the script that links them: networks of one run, or fronts of two."""

_NO_ICON = '\n<link rel="icon" href="data:,">'
"""An empty icon; without one, browsers ask the server for it."""


@dataclass(frozen=True)
class Live:
    """Additions to a page that follow a run in progress."""

    line: Html
    """Line at the top of the page."""
    style: str
    script: str
    """Script that asks the server for changes."""


def render(inputs: Inputs, live: Live | None = None) -> str:
    """Render the report as HTML. Equal inputs give equal pages."""
    footer = f"Written by fairnas {__version__} from the files of the run directory, and nothing else."
    title = f"{inputs.path.resolve().name}: fairnas report"
    optional = {
        similarity: inputs.similarity,
        curves: inputs.curves,
        table_1: inputs.table_1,
        table_2: inputs.table_2,
    }
    asked = [write for write in SECTIONS if optional.get(write, True)]
    return whole_page(title, _header(inputs), [write(inputs) for write in asked], footer, live, views="networks")


def whole_page(
    title: str,
    header: Html,
    sections: Sequence[Section],
    footer: str,
    live: Live | None = None,
    *,
    views: Views | None = None,
) -> str:
    """Return a page of sections as HTML with all scripts and styles inside; `views` names the kind of linked plots."""
    plotly, *scripts = _scripts(live, views)
    assert "</script" not in plotly.lower(), "plotly.js would end its own element"
    return string.Template(_resource("page.html")).substitute(
        policy=policy(live, views=views),
        icon=_NO_ICON if live else "",
        title=html.escape(title),
        style=_resource("page.css") + (_resource("networks.css") if views else "") + (live.style if live else ""),
        live=f"{live.line}\n" if live else "",
        first=sections[0].name,
        first_title=html.escape(sections[0].title.lower()),
        header=header,
        contents=_contents(sections),
        sections=joined([_section(section) for section in sections], "\n"),
        footer=tag("p", footer),
        figures=script_json({name: figure for section in sections for name, figure in section.plots}),
        plotly=plotly,
        scripts="\n".join(f"<script>{each}</script>" for each in scripts),
    )


def _resource(name: str) -> str:
    return importlib.resources.files("fairnas.report").joinpath(name).read_text(encoding="utf-8")


def policy(live: Live | None = None, *, views: Views | None = None) -> str:
    """Return the content security policy of a page made by `whole_page`: it runs only its own scripts and no requests.

    A live page may send requests, to its own server only.
    """
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in _scripts(live, views)]
    asked = "; connect-src 'self'" if live else ""
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:{asked}"


def _scripts(live: Live | None, views: Views | None) -> list[str]:
    """Scripts in the order in which they run: plots are linked before they are drawn."""
    from plotly.offline import get_plotlyjs

    own = [*([f"{views}.js"] if views else []), "page.js"]
    scripts = [get_plotlyjs(), *map(_resource, own), *([live.script] if live else [])]
    return [text.replace("\r\n", "\n") for text in scripts]  # as browsers do before they compute the hash


def _header(inputs: Inputs) -> Html:
    config, space = inputs.config, inputs.space
    data = inputs.data.name if inputs.data else config.data.name
    size = whole(space.size) if space.size < 1e9 else f"{space.size:.1e}"
    lead = (
        f"Space {space.name}: {space.depth} layers, {size} networks. Data {data}. Supernet trained with "
        f"strategy {config.train.strategy} for {config.train.epochs} epochs, "
        f"searched by {config.search.searcher}. Seed {config.seed}."
    )
    return joined(
        [
            tag("p", "fairnas report", classes="eyebrow"),
            tag("h1", inputs.path.resolve().name),
            tag("p", lead, classes="lead"),
        ]
    )


def _contents(sections: Sequence[Section]) -> Html:
    links = [tag("a", section.title, attributes=f'href="#{section.name}"') for section in sections]
    return tag("ul", *(tag("li", link) for link in links))


def _section(section: Section) -> Html:
    heading = tag("h2", section.title, attributes=f'id="{section.name}-title"')
    labelled = f'id="{section.name}" aria-labelledby="{section.name}-title"'
    return tag("section", heading, section.body, attributes=labelled)
