"""Markup: nothing that users wrote becomes markup."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.report.html import Html, command, joined, markup, missing, prose, script_json, table, tag

NASTY = "</script><b>&\"'`<!--"


class Reader(HTMLParser):
    """Collects tags and text as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@settings(deadline=None)
@given(st.text())
def test_text_stays_text(text):
    read = Reader(tag("p", text))
    assert [name for name, _ in read.tags] == ["p"]
    assert read.text == text


def test_markup_is_escaped_once():
    assert markup(markup("<")) == "&lt;"
    assert joined(["<", Html("<br>")]) == "&lt;<br>"


def test_prose_knows_code():
    assert prose("use `fairnas rank <x>` now") == "use <code>fairnas rank &lt;x&gt;</code> now"


def test_commands_can_be_copied():
    assert command("rank", Path("runs/my digits")) == "`fairnas rank --run 'runs/my digits'`"
    assert missing("ranking study", "rank", Path("r")) == (
        "There is no ranking study yet; `fairnas rank --run r` makes it."
    )


@pytest.mark.parametrize("stacked", [False, True])
def test_tables_are_real_tables(stacked):
    read = Reader(table(NASTY, ("a", NASTY), [(NASTY, "1"), ("b", NASTY)], stacked=stacked))
    names = [name for name, _ in read.tags]
    assert names.count("tr") == 3
    assert [attributes["scope"] for name, attributes in read.tags if name == "th"] == ["col", "col", "row", "row"]
    assert names.count("caption") == 1
    assert "script" not in names
    assert read.text.count(NASTY) == 4
    region = read.tags[0][1]
    assert (region["tabindex"], region["aria-label"]) == ("0", NASTY)


def test_stacked_tables_keep_roles_and_name_their_cells():
    read = Reader(table("c", ("a", NASTY), [("x", "1")], stacked=True))
    roles = [attributes.get("role") for _, attributes in read.tags[1:]]
    assert {"table", "rowgroup", "row", "columnheader", "rowheader", "cell"} <= set(roles)
    assert [attributes["data-label"] for name, attributes in read.tags if name == "td"] == [NASTY]


@pytest.mark.slow
@settings(deadline=None)
@given(st.recursive(st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_json_in_a_script_ends_no_script_and_survives(content):
    text = script_json([content, NASTY, "\u2028"])
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == [content, NASTY, "\u2028"]


def test_json_refuses_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))
