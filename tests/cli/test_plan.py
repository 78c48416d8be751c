"""`fairnas plan`: what it prints, and that it leaves nothing."""

import os

import pytest

from fairnas.cli.plan import duration, size
from fairnas.planning import dry_run, measure_plan
from fairnas.planning.timing import Limits

FLAGS = ["--resources.processes", "1", "--resources.device", "cpu"]
MEASURED = {}
"""What is printed of one plan for people and for programs is of one measurement, which takes ten seconds."""


@pytest.fixture(autouse=True)
def _brief(monkeypatch, tmp_path):
    monkeypatch.setattr(dry_run, "SUPERNET", Limits(0.2, 0.5))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _measured_once(monkeypatch):
    def measure(prepared, narrator):
        if "plan" not in MEASURED:
            MEASURED["plan"] = measure_plan(prepared, narrator)
        return MEASURED["plan"]

    monkeypatch.setattr("fairnas.planning.measure_plan", measure)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.usefixtures("_measured_once")
def test_one_json_object_and_nothing_written(fairnas, tiny, tmp_path):
    MEASURED.clear()  # so that its progress is told here
    outcome = fairnas("plan", "digits", "--json", "--out", "somewhere", *tiny, *FLAGS)
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert set(found) == {
        "recipe", "steps", "path_images_per_s", "stages", "seconds", "hours", "memory", "memory_of", "disk",
        "execution", "load", "classes", "findings", "augmentation",
    }  # fmt: skip
    assert found["steps"] == 6
    assert [stage["name"] for stage in found["stages"]] == ["train", "search", "retrain", "rank", "export", "report"]
    assert found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))
    assert found["execution"].startswith("sequential: ")
    assert "[1/4] measure supernet steps" in outcome.err
    assert os.listdir(tmp_path) == []


@pytest.mark.full
@pytest.mark.usefixtures("_measured_once")
def test_lines_for_people(fairnas, tiny, tmp_path):
    outcome = fairnas("plan", "digits", *tiny, *FLAGS)
    assert outcome.code == 0, outcome.err
    for part in (
        "train      strict: 2 epochs, 6 steps", "execution  sequential", "2 epochs of 3 steps", "3 generations, about",
        "in all     about", " hours) on this device",
        "path-images per second in 6 supernet steps", "memory     ", "(resident, this process)",
        "disk       ",
    ):  # fmt: skip
        assert part in outcome.out
    assert os.listdir(tmp_path) == []


WRONG = {
    "no recipe": ([], "`fairnas plan` needs a recipe (digits, cifar10, imagenet_a, imagenet_b, folder)"),
    "recipe": (["digit"], "did you mean 'digits'?"),
    "flag": (["digits", "--train.epoch", "3"], "see `fairnas plan --help`"),
    "bound": (["digits", "--max-madds", "1k"], "max_madds"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_one_line(arguments, message, fairnas, tmp_path):
    outcome = fairnas("plan", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert os.listdir(tmp_path) == []


def test_a_busy_machine_is_named(monkeypatch, fairnas):
    from fairnas.planning import Plan
    from fairnas.planning.plan import StagePlan

    stages = (StagePlan("train", "all of it", 7200.0),)
    monkeypatch.setattr("fairnas.planning.measure_plan", lambda *_: Plan(6, 10.0, stages, 1, "mine", 1, "sequential"))
    for load, busy in ((0.0, False), (1000.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        out = fairnas("plan", "digits").out
        assert "about 2 h (2 hours) on this device" in out
        assert ("other work kept the machine busy (load 1000.0)" in out) == busy


def test_at_ctrl_c_it_says_that_nothing_was_kept(monkeypatch, fairnas):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairnas.planning.measure_plan", interrupted)
    outcome = fairnas("plan", "digits")
    assert outcome.code == 130
    last = outcome.err.splitlines()[-1]
    assert last == "fairnas: interrupted; a plan keeps nothing, so the same command measures anew"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.034, "0.034 s"),
        (5, "5 s"),
        (99, "99 s"),
        (100, "1.7 min"),
        (5400, "90 min"),
        (7200, "2 h"),
        (720_000, "200 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(4_800_000, "4.8 MB"), (99e6, "99 MB"), (123e6, "0.12 GB"), (3e9, "3 GB")]
)
def test_sizes(octets, text):
    assert size(octets) == text
