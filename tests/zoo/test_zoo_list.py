"""`fairnas zoo` as people read it, and the page that holds its tables."""

import json
from pathlib import Path

import pytest

from fairnas import zoo
from fairnas.cli.main import main

ROOT = Path(__file__).parents[2]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["zoo", *arguments]) == 0
    return capsys.readouterr().out


def test_the_page_holds_the_tables_that_the_command_prints(capsys) -> None:
    """The tables are those that `fairnas zoo --markdown` prints; if this fails, put its output in their place."""
    assert printed(capsys, "--markdown") in (ROOT / "docs" / "zoo.md").read_text()


def test_the_list_has_every_network_and_fits_into_100_columns(capsys) -> None:
    lines = printed(capsys).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 100
    first_words = [line.split()[0] for line in lines if line.strip()]
    assert [word for word in first_words if word in zoo.NETWORKS] == list(zoo.NETWORKS)
    (fairnas_a,) = (line for line in lines if line.split()[:1] == ["fairnas_a"])
    assert fairnas_a.split() == ["fairnas_a", "388.1", "388", "4.65", "4.6", "75.34", "match"]


def test_one_network_says_where_it_is_from_and_why_it_differs(capsys) -> None:
    page = printed(capsys, "mnasnet_92")
    for words in ("MnasNet-92", "not counted, printed 388 M", "not reproducible: never published", "A1, B1, small"):
        assert words in page
    page = printed(capsys, "fbnet_b")
    assert "genome 0340076377486704674773 of space fbnet" in page
    assert "296.61 M, printed 295 M" in page
    assert "k7e3 k3e3 k5e3 k5e3 k7e6" in printed(capsys, "proxyless_r")


def test_json_of_one_and_of_all(capsys) -> None:
    one = json.loads(printed(capsys, "mnasnet_92", "--json"))
    assert {"name", "madds", "params", "paper"} <= set(one)
    assert (one["madds"], one["params"], one["paper"]["madds_millions"]) == (None, None, 388)
    every = json.loads(printed(capsys, "--json"))["networks"]
    assert [row["name"] for row in every] == list(zoo.NETWORKS)
    assert one in every


@pytest.mark.slow
def test_counts_for_images_of_another_size(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(zoo.NETWORKS) - {"spos", "mnasnet_92", "mobilenet_v2"}:  # counting takes a second for each
        monkeypatch.delitem(zoo.NETWORKS, name)
    small = json.loads(printed(capsys, "spos", "--image-size", "32", "--json"))
    assert small["image_size"] == 32
    assert small["madds"] < 322_918_720 / 40
    every = printed(capsys, "--image-size", "32")
    assert "mobilenet_v2" in every
    assert "mnasnet_92" not in every


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fairnas"], "unknown network 'fairnas'; did you mean 'fairnas_c'?"),
        (["darts", "--image-size", "16"], "network 'darts' shrinks images 32 times; 16 pixels are too few, give 32 or"),
        (["spos", "--image-size", "-1"], "the image size is -1; give 1 or more"),
        (["mnasnet_92", "--image-size", "64"], "the architecture of MnasNet-92 was never published, so it cannot be"),
    ],
)
def test_wrong_input_is_one_line(capsys, arguments: list[str], message: str) -> None:
    assert main(["zoo", *arguments]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert message in streams.err
    assert len(streams.err.splitlines()) == 1
