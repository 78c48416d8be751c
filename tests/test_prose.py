"""Prose that is understood at first sight: no riddles in docstrings, comments, messages, help texts and docs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted({path.relative_to(ROOT / "fairnas").parts[0] for path in (ROOT / "fairnas").rglob("*.py")})
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*")])

RIDDLES = re.compile(
    r"\bso many\b|\bso much of\b|\bwhoever\b|\bof before\b|\b(?:is|are|was|were|be) told\b(?! apart)"
    r"|\b(?:one|you|it) pays with\b"
    r"|\bworth a word\b|\bsays? nothing of\b|\bdearer\b|\bdearest\b",
    re.IGNORECASE,
)
"""Turns of phrase that hide who does what: `is told` for printed or reported, `so many` for a number with a name."""

FRAGMENTS = (
    "of who whom whose what where whether how those that which why when while if as so to by in on at from with "
    "also is does its it asked called held before after between tells makes"
)
"""Words that begin a clause without a subject. A docstring begins with a noun or with a verb in the imperative."""


def files_of(room: str) -> list[Path]:
    place = ROOT / "fairnas" / room
    return (
        [place]
        if place.is_file()
        else sorted(path for path in place.rglob("*") if path.suffix in (".py", ".js", ".html"))
    )


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of all docstrings of a Python file, those of attributes and constants included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_a_noun_or_an_imperative(room: str) -> None:
    fragments = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path in files_of(room)
        if path.suffix == ".py"
        for line, text in docstrings(path)
        if re.split(r"[^\w-]", text.strip(), maxsplit=1)[0].lower() in FRAGMENTS.split()
    ]
    assert not fragments, "\n".join(fragments)


def riddles(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{path.relative_to(ROOT)}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if RIDDLES.search(line)]


@pytest.mark.parametrize("room", ROOMS)
def test_the_package_speaks_plainly(room: str) -> None:
    found = [line for path in files_of(room) for line in riddles(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_docs_speak_plainly(page: Path) -> None:
    assert not riddles(page), "\n".join(riddles(page))
