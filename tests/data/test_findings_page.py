"""The page of all findings: every example is built, and the line on the page is what is said about it.

`python -m tests.data.test_findings_page` writes the page anew.
"""

import re
import shlex
import tempfile
import textwrap
from pathlib import Path

import pytest

from fairnas.config import DataConfig
from fairnas.data import load_dataset
from fairnas.data.finding import FINDINGS, Finding, RefusedImages
from tests.data.exampleimages import SIDE, build, picture
from tests.data.findingexamples import EXAMPLES, Example

PAGE = Path(__file__).parents[2] / "docs" / "findings-images.md"
START = """\
# What is found in a folder of images

<!-- Written by `python -m tests.data.test_findings_page` from tests/data/findingexamples.py: change that instead. -->

What fairnas finds in a folder is printed by `fairnas plan` and `fairnas run` before anything starts, and stands in the
report. This page has an example of each finding, by its identifier: the folder, and the line that is printed, which is
folded here to fit. Most findings are **noted**, and the run goes on. Others are **refused**: then nothing starts, and
the command ends with code 2. With `--json`, notes are in the list `findings`, and a refusal is the object `refused`.
Both have the identifier (`id`) and the line (`message`). Identifiers [stay what they are](stability.md).

[Your own images, the rules](folder.md) says which layouts are read and what is chosen for them.
"""


def told_about(example: Example, folder: Path) -> tuple[tuple[Finding, ...], bool]:
    """Messages about an example in a folder of its own, with PATH in place of the folder; and whether it is refused."""
    build(folder, example.tree)
    config = DataConfig(**{"name": f"folder:{folder}", "validation_per_class": 1, **example.settings})
    try:
        found, refused = load_dataset(config, image_size=SIDE, image_channels=None, seed=0).findings, False
    except RefusedImages as error:
        found, refused = (error.finding,), True
    return tuple(Finding(each.id, each.message.replace(str(folder), "PATH")) for each in found), refused


def section(name: str, folder: Path) -> str:
    """Section of the page about one finding, with the messages about its example."""
    example = EXAMPLES[name]
    found, refused = told_about(example, folder)
    assert sorted({each.id for each in found}) == sorted((name, *example.also)), found
    (line,) = (each.message for each in found if each.id == name)
    shown = "\n".join(textwrap.wrap(line, 110, break_on_hyphens=False, break_long_words=False))
    settings = "".join(
        f", with `--data.{key.replace('_', '-')} {shlex.quote(str(value))}`" for key, value in example.settings.items()
    )
    also = "".join(f", beside [`{other}`](#{other})" for other in example.also)
    about = f"{FINDINGS[name][0].upper()}{FINDINGS[name][1:]}{settings}. {'Refused' if refused else 'Noted'}{also}:"
    texts = [f"\n`{place}`:\n\n```\n{_head(item.text)}```\n" for place, item in example.tree.items() if item.text]
    return (
        f"\n## {name}\n\n{_filled(about)}\n\n```\n{picture(example.tree)}\n```\n{''.join(texts)}\n"
        f"```\n{shown}\n```\n\n{_filled(example.advice)}\n"
    )


def _head(text: str) -> str:
    """The first lines of a text."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[:5]) + ("...\n" if len(lines) > 5 else "")


def _filled(text: str) -> str:
    """A paragraph in lines of up to 120 characters, which do not break code."""
    whole = re.sub(r"`[^`]*`", lambda match: match[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, 120, break_on_hyphens=False, break_long_words=False).replace("\0", " ")


def on_the_page() -> dict[str, str]:
    """The sections of the page by their headings, in its order."""
    start, *rest = PAGE.read_text().split("\n## ")
    return {START: start + "\n"} | {each.partition("\n")[0]: f"\n## {each.rstrip()}\n" for each in rest}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_finding_is_found_and_the_page_has_its_picture_and_its_line(name: str, tmp_path: Path) -> None:
    assert on_the_page()[name] == section(name, tmp_path / "images")


def test_the_page_has_every_finding_in_order_and_nothing_else() -> None:
    assert list(EXAMPLES) == list(FINDINGS)
    assert list(on_the_page()) == [START, *FINDINGS]
    assert on_the_page()[START].rstrip() == START.rstrip()


def test_the_page_about_folders_leads_to_every_finding() -> None:
    text = (PAGE.parent / "folder.md").read_text()
    assert {*re.findall(r"\(findings-images\.md#([a-z-]+)\)", text)} == {*FINDINGS}


def write_page() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [section(name, Path(folder) / name) for name in EXAMPLES]
    PAGE.write_text(START + "".join(parts))


if __name__ == "__main__":
    write_page()
