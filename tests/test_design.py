"""The design page: its picture and its story name every room, and nothing that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "fairnas"
ROOMS = {entry.stem for entry in PACKAGE.iterdir() if entry.name[0] not in "_." and entry.name != "py.typed"}


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


PICTURE = section("Rooms").split("```")[1]
STORY = section("One run, told as a story")


def boxes_of_the_picture() -> list[set[str]]:
    """Rooms of each layer of the picture, top first."""
    layers = [set()]
    for line in PICTURE.splitlines():
        if re.match(r"\s*\+[-+]+\+$", line):
            layers.append(set())
        layers[-1] |= {name for name in re.findall(r"(?<=\| )\w+", line) if name in ROOMS}
    return [layer for layer in layers if layer]


def test_the_picture_has_the_layers_that_the_linter_checks():
    layers = re.search(r"^layers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert layers
    checked = [set(re.findall(r"fairnas\.(\w+)", line)) for line in layers[1].splitlines() if "fairnas." in line]
    assert boxes_of_the_picture() == checked
    assert set.union(*checked) == ROOMS


def test_the_story_passes_through_every_room():
    named = set(re.findall(r"`(\w+)(?:/[\w/]*\.py|\.py|/)?`", STORY))
    assert named >= ROOMS, ROOMS - named


def test_every_file_and_room_that_the_page_names_is_there():
    for path in re.findall(r"`((?:\w+/)*\w+\.py)`", TEXT):
        assert (PACKAGE / path).is_file(), path
    for room in set(re.findall(r"`(\w+)/`", TEXT)) - {"fairnas"}:
        assert (PACKAGE / room).is_dir(), room


def test_stages_stand_in_the_story_in_their_order():
    places = [STORY.find(f"pipeline/{name}_stage.py") for name in ("train", "search", "retrain", "rank", "export")]
    assert -1 not in places
    assert places == sorted(places)
    assert STORY.find("report/page.py") > places[-1]
