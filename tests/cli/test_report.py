"""`fairnas report`: which runs it takes, and what it says to others."""

import json

import pytest

from fairnas.config import RunConfig
from fairnas.rundir import RunDirectory


@pytest.fixture
def two(tmp_path):
    made = RunConfig(recipe="digits", space="digits")
    return [str(RunDirectory.create(tmp_path / name, made).path) for name in "ab"]


def test_two_runs_are_compared(fairnas, two):
    found = fairnas("report", *two, "--json")
    assert found.code == 0
    numbers = json.loads(found.out)
    assert numbers["page"] == f"{two[0]}/against-b.html"
    assert numbers["hypervolume"] is numbers["tau_difference"] is numbers["same_data"] is None
    told = fairnas("report", *two, "--page", f"{two[0]}/page.html")
    assert "settings that differ: none" in told.out
    assert told.out.endswith(f"page      {two[0]}/page.html\n")


@pytest.mark.slow
def test_one_run_may_be_given_either_way(fairnas, two):
    for arguments in ((two[0],), ("--run", two[0]), ("--out", two[0])):
        assert fairnas("report", *arguments, "--json").json["report"] == f"{two[0]}/report.html"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "0 run directories are given; give one for its report, `fairnas report --run DIR`, or two to compare"),
        (("{a}", "{b}", "{a}"), "3 run directories are given"),
        (("{a}", "{b}", "--run", "{b}"), "3 run directories are given"),
        (("{a}", "{a}/"), "are the same run; give two, or one for its own report"),
        (("{a}", "nowhere"), "nowhere is not a run directory; `fairnas run RECIPE --out nowhere` makes one"),
        (("{a}", "--page", "x.html"), "--page is for the page of two runs"),
    ],
)
def test_anything_else_is_one_line(fairnas, two, arguments, said):
    found = fairnas("report", *(each.format(a=two[0], b=two[1]) for each in arguments))
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1
