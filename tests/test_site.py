"""The site: it builds strictly, its links and anchors lead somewhere, it asks no network for anything."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

SECTIONS = ["1", "2", "2.1", "2.2", "2.2.1", "2.2.2", "2.2.3", "2.2.4", "3", "3.1", "3.2", "4", "4.1", "4.2", "4.3.1"]
SECTIONS += ["4.3.2", "4.4", "4.5", "5", "6", "A.1", "A.2", "B.1", "B.2", "B.3", "C"]
LABELS = [f"Figure {number}" for number in range(1, 15)] + [f"Table {number}" for number in range(1, 7)]
LABELS += [f"Definition {number}" for number in (1, 2, 3)] + [f"Algorithm {number}" for number in (1, 2, 3)]
LABELS += ["Lemma 1", "Equation 1", "Equation 2"]


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("messages", DOCS / "hooks" / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["messages"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


class Page(HTMLParser):
    """Parts that a page offers (ids) and requests (links, and what it loads by itself)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.ids |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") != "canonical":
            self.loads.append(found.get("href", ""))
        elif "src" in found:
            self.loads.append(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


@pytest.mark.full
def test_every_link_and_anchor_leads_somewhere(pages):
    assert len(pages) > 35
    asked = [(path, link) for path, page in pages.items() for link in page.links if not urlsplit(link).scheme]
    assert len(asked) > 1000
    for path, link in asked:
        parts = urlsplit(link)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.is_file(), (path.name, link)
        if parts.fragment and target in pages:
            # material makes this one when the page is shown
            assert unquote(parts.fragment) in pages[target].ids | {"__top"}, (path.name, link)


@pytest.mark.full
def test_it_asks_no_network_for_anything(site, pages):
    for path, page in pages.items():
        for link in page.loads:
            assert not urlsplit(link).netloc, (path.name, link)
            assert (path.parent / unquote(urlsplit(link).path)).exists(), (path.name, link)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.full
def test_the_reference_shows_what_is_public(pages):
    import fairnas
    from fairnas import space

    ids = {path.stem: page.ids for path, page in pages.items() if path.parent.name == "reference"}
    assert {f"fairnas.{name}" for name in fairnas.__all__} - {"fairnas.zoo"} <= ids["fairnas"]
    assert {f"fairnas.space.{name}" for name in space.__all__} <= ids["space"]
    for room in (ROOT / "fairnas").iterdir():
        if (room / "__init__.py").exists() and room.name != "cli":
            assert room.name in ids, room.name


def test_every_label_of_the_paper_is_on_its_page():
    text = (DOCS / "paper.md").read_text()
    for label in LABELS:
        assert f"**{label}**" in text, label
    for section in SECTIONS:
        assert re.search(rf"(^## |\*\*|\()'?{re.escape(section)}[., *)]", text, re.MULTILINE), section


@pytest.mark.slow
def test_what_troubleshooting_quotes_is_said_by_the_code():
    known = hook().all_messages()
    assert len(known) > 300
    quoted = re.findall(r"^\| `([^`]+)`", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    others = {"fairnas: command not found"}  # of the shell
    others |= {line for line in quoted if line in (ROOT / "Makefile").read_text()}
    quoted = [line for line in quoted if line not in others]
    assert len(quoted) > 35
    for line in quoted:  # both have gaps
        pattern = re.compile(".*".join(re.escape(piece.strip(" ;,.")) for piece in line.split("…")))
        assert any(pattern.search(message.text) or message.pattern.search(line) for message in known), line


def test_the_list_of_messages_finds_each_way_to_say_one(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "file.py").write_text(
        "class OwnError(FairnasError): pass\n"
        "class UnknownNameError(FairnasError): pass\n"
        "def check(x):\n"
        "    if x: raise OwnError(f'x is {x}; give 0')\n"
        "    raise UnknownNameError('space', x, [])\n"
        "def unsupported_reason(space): return 'it has no layers'\n"
        "def inner(): raise ValueError('it is no table')\n"
        "def never(): raise AssertionError('ours')\n"
        "def find(x): return Finding('odd', f'{x} is odd')\n"
        "def refuse(x): raise level.refusal('odd', f'{x} is a split', 'rename it')\n"
        "def read(x): raise unreadable(x, 'is empty', 'add rows')\n"
    )
    found = [(message.room, message.text, message.kind) for message in hook().all_messages(tmp_path)]
    assert found == [
        ("room", "it has no layers", ""),
        ("room", "it is no table", ""),
        ("room", "unknown space …", "UnknownNameError"),
        ("room", "x is …; give 0", "OwnError"),
        ("room", "… is a split; rename it", "Finding"),
        ("room", "… is empty; add rows", "Finding"),
        ("room", "… is odd", "Finding"),
    ]


@pytest.mark.full
@pytest.mark.parametrize("name", ["index.html", "reference/space.html"])
def test_the_search_answers_on_pages_opened_from_the_disk(site, browser, name):
    page = browser.new_page()
    errors, requests = list[str](), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda each: requests.append(each.url))
    page.goto((site / name).as_uri())
    query = page.locator("[data-md-component=search-query]").first
    query.press_sequentially("accuracy gap lambda")  # the page listens to keys, not to the text that appears
    result = page.locator(".md-search-result__item a.md-search-result__link").first
    result.wait_for()
    target = urlsplit(result.get_attribute("href") or "")
    assert Path(unquote(target.path)).is_relative_to(site)
    assert Path(unquote(target.path)).is_file()
    page.close()
    assert errors == []
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in requests), requests
