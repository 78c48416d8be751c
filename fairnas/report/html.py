"""HTML by construction: every text is escaped unless it is already `Html`."""

import html
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Html(str):
    """Text that already is markup. Every other `str` is escaped on its way into a page."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A section of the page: anchor, title, content, and plots by name."""

    name: str
    title: str
    body: Html
    plots: tuple[tuple[str, dict[str, Any]], ...] = ()


def markup(text: str) -> Html:
    """Return the text as markup, escaped unless it is `Html`."""
    return text if isinstance(text, Html) else Html(html.escape(text))


def joined(parts: Sequence[str], between: str = "") -> Html:
    """Join parts, each escaped unless it is `Html`."""
    return Html(between.join(markup(part) for part in parts))


def tag(name: str, *content: str, classes: str = "", attributes: str = "") -> Html:
    """Return an element. `attributes` are written unescaped."""
    opening = name + (f' class="{classes}"' if classes else "") + (f" {attributes}" if attributes else "")
    return Html(f"<{opening}>{joined(content)}</{name}>")


def prose(text: str) -> Html:
    """Return plain text as markup, with words in backticks as code."""
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", markup(text)))


def paragraphs(sentences: Sequence[str]) -> Html:
    """Return each sentence as a paragraph."""
    return joined([tag("p", prose(sentence)) for sentence in sentences])


def command(verb: str, run: Path) -> str:
    """Return a fairnas command for this run, in backticks."""
    return f"`fairnas {verb} --run {shlex.quote(str(run))}`"


def missing(what: str, verb: str, run: Path) -> str:
    """Sentence that replaces a part of the report whose input is absent."""
    return f"There is no {what} yet; {command(verb, run)} makes it."


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    classes: str = "",
    stacked: bool = False,
) -> Html:
    """Return a table whose first column names its rows, in a frame that scrolls sideways on narrow pages.

    With `stacked`, each row becomes a block there instead, and each cell repeats its column's name. Roles are written
    out, because browsers drop them when a style sheet changes the display of table elements.
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
    """Place of the figure called `name`, with a description for screen readers and a caption for everyone."""
    place = tag(
        "div",
        tag("noscript", tag("p", "This plot needs JavaScript; the tables do not.")),
        classes="plot",
        attributes=f'id="plot-{name}" role="img" aria-label="{html.escape(description)}"',
    )
    return tag("figure", place, tag("figcaption", prose(caption)))


def listing(label: str, text: str) -> Html:
    """Preformatted text to be copied; it scrolls on narrow pages."""
    return tag("pre", tag("code", text.strip()), attributes=f'tabindex="0" aria-label="{html.escape(label)}"')


def folded(summary: str, content: str) -> Html:
    """Content that is hidden until the reader opens it."""
    return tag("details", tag("summary", summary), content)


def script_json(content: Any) -> Html:
    """JSON that may stand inside a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)
