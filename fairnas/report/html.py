"""HTML by construction: every text is escaped unless it is `Html` already."""

import html
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Html(str):
    """Text that is markup already. Whatever is a plain `str` is escaped on its way into a page."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, its title, what it says, and its plots by name."""

    name: str
    title: str
    body: Html
    plots: tuple[tuple[str, dict[str, Any]], ...] = ()


def markup(text: str) -> Html:
    """The text as markup, escaped unless it is `Html`."""
    return text if isinstance(text, Html) else Html(html.escape(text))


def joined(parts: Sequence[str], between: str = "") -> Html:
    """Parts one after another, each escaped unless it is `Html`."""
    return Html(between.join(markup(part) for part in parts))


def tag(name: str, *content: str, classes: str = "", attributes: str = "") -> Html:
    """An element. `attributes` are written as they are."""
    opening = name + (f' class="{classes}"' if classes else "") + (f" {attributes}" if attributes else "")
    return Html(f"<{opening}>{joined(content)}</{name}>")


def prose(text: str) -> Html:
    """Plain text as markup, with what stands in backticks as code."""
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", markup(text)))


def paragraphs(sentences: Sequence[str]) -> Html:
    """Each sentence a paragraph of its own."""
    return joined([tag("p", prose(sentence)) for sentence in sentences])


def command(verb: str, run: Path) -> str:
    """A command of ours for this run, ready to be copied, in backticks."""
    return f"`fairnas {verb} --run {shlex.quote(str(run))}`"


def missing(what: str, verb: str, run: Path) -> str:
    """The sentence that stands where a part of the report has no input yet."""
    return f"There is no {what} yet; {command(verb, run)} makes it."


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    classes: str = "",
    stacked: bool = False,
) -> Html:
    """A table whose first column names its rows, in a frame that scrolls sideways where the page is narrow.

    With `stacked`, each row becomes a block of its own there instead, and each cell repeats its column's
    name. The roles are written out, because browsers forget them when a style sheet takes a table apart.
    """

    def element(name: str, role: str, *content: str, attributes: str = "") -> Html:
        roles = f'role="{role}"' if stacked else ""
        return tag(name, *content, attributes=f"{attributes} {roles}".strip())

    def named(column: int) -> str:
        return f'data-label="{html.escape(head[column])}"' if stacked else ""

    top = element("tr", "row", *(element("th", "columnheader", cell, attributes='scope="col"') for cell in head))
    body = []
    for first, *rest in rows:
        shown = [tag("div", cell) if stacked else cell for cell in rest]
        cells = [element("td", "cell", cell, attributes=named(column)) for column, cell in enumerate(shown, 1)]
        body.append(element("tr", "row", element("th", "rowheader", first, attributes='scope="row"'), *cells))
    inner = joined([tag("caption", caption), element("thead", "rowgroup", top), element("tbody", "rowgroup", *body)])
    classes = f"{classes} stacked".strip() if stacked else classes
    whole = tag("table", inner, classes=classes, attributes='role="table"' if stacked else "")
    return scrollable(caption, whole)


def scrollable(label: str, content: str) -> Html:
    """Content that may be wider than a phone; the frame takes the focus, so that keys can scroll it."""
    named = f'role="region" tabindex="0" aria-label="{html.escape(label)}"'
    return tag("div", content, classes="scroll", attributes=named)


def plot(name: str, description: str, caption: str) -> Html:
    """The place of the figure called `name`: its description for screen readers, its caption for everyone."""
    place = tag(
        "div",
        tag("noscript", tag("p", "This plot needs JavaScript; the tables do not.")),
        classes="plot",
        attributes=f'id="plot-{name}" role="img" aria-label="{html.escape(description)}"',
    )
    return tag("figure", place, tag("figcaption", prose(caption)))


def listing(label: str, text: str) -> Html:
    """Text to be copied, as it stands; it scrolls where the page is narrow."""
    return tag("pre", tag("code", text.strip()), attributes=f'tabindex="0" aria-label="{html.escape(label)}"')


def folded(summary: str, content: str) -> Html:
    """Content that is shown on demand."""
    return tag("details", tag("summary", summary), content)


def script_json(content: Any) -> Html:
    """JSON that may stand inside a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)
