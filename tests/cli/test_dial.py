"""`--minutes` and `--hours` on the command line: what is chosen is shown, written, kept, and overridden."""

import json
import os

import pytest

from fairnas.cli.run import read_arguments
from fairnas.configfile import read_config
from fairnas.planning import device, dry_run, time_budget, training_times
from fairnas.planning.dry_run import ExportTimes
from fairnas.planning.setting_ranges import BUDGETED_SETTINGS
from fairnas.planning.timing import Limits
from fairnas.rundir import RunDirectory

REHEARSED = {}
"""One rehearsal serves all tests that don't look at what was measured."""

SMALL = [
    "--data.train-per-class", "12", "--data.validation-per-class", "5", "--train.batch-size", "40",
    "--train.epochs", "2", "--search.population=4", "--search.select", "1",
    "--stand-alone.models", "4", "--stand_alone.seeds", "1", "--resources.processes", "1",
]  # fmt: skip
"""Leaves width, generations and the epochs of stand-alone training to the dial."""


@pytest.fixture(autouse=True)
def _brief(monkeypatch, tmp_path):
    monkeypatch.setattr(dry_run, "SUPERNET", Limits(0.2, 0.5))
    monkeypatch.setattr(training_times, "STAND_ALONE", Limits(0.2, 0.2))
    # Exporting two networks takes ten seconds; test_plan.py does it.
    monkeypatch.setattr(dry_run, "_export", lambda *_: ExportTimes(5.0, 4.0, 10_000, 200_000))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _rehearsed_once(monkeypatch):
    def rehearse(prepared, narrator, patience):
        if "measured" not in REHEARSED:
            REHEARSED["measured"] = dry_run.rehearse(prepared, narrator, patience)
        return REHEARSED["measured"]

    monkeypatch.setattr(device, "rehearse", rehearse)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.usefixtures("_rehearsed_once")
def test_a_run_with_a_dial_and_how_it_goes_on(fairnas, tmp_path):
    first = fairnas("run", "digits", "--out", "run", "--json", "--minutes", "60", *SMALL)
    assert first.code == 0, first.err
    assert "stand_alone.epochs" in first.err
    assert "given" in first.err
    config = read_config(tmp_path / "run" / "config.toml")
    assert (config.minutes, config.train.epochs, config.search.population) == (60.0, 2, 4)
    assert config.width == 1.0  # the widest fits
    assert (config.search.generations, config.stand_alone.epochs) == (50, 8)  # the most that makes sense
    record = json.loads((tmp_path / "run" / "dial.json").read_text())
    assert record["minutes"] == 60.0
    assert record["foreseen_seconds"] < 3600
    assert record["given_up"] == []
    assert any("the most that makes sense" in note for note in record["notes"])

    text = (tmp_path / "run" / "config.toml").read_text()
    for flags in (["--minutes", "60", *SMALL], SMALL, []):
        again = fairnas("run", "digits", "--out", "run", "--json", *flags)
        if flags:
            assert again.code == 0, again.err
            assert again.json == first.json
            assert "measuring this device" not in again.err
        else:  # what was given then is missing now
            assert again.code == 2
            assert "data.validation_per_class is 5, given 30" in again.err
    for flags, message in (
        (["--minutes", "5"], "minutes is 60.0, given 5.0"),
        (["--stand-alone.epochs", "3"], "stand_alone.epochs is 8, given 3"),
    ):
        changed = fairnas("run", "digits", "--out", "run", *flags, *SMALL)
        assert (changed.code, changed.err.count("\n")) == (2, 1)
        assert message in changed.err
    assert (tmp_path / "run" / "config.toml").read_text() == text


def test_a_run_without_a_dial_takes_none_later(fairnas, tmp_path):
    (tmp_path / "run").mkdir()
    from fairnas.recipes import digits

    RunDirectory.create(tmp_path / "run", digits())
    outcome = fairnas("run", "digits", "--out", "run", "--minutes", "4")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "holds a run of another configuration (minutes is None, given 4.0)" in outcome.err


@pytest.mark.slow
@pytest.mark.usefixtures("_rehearsed_once")
def test_a_plan_shows_what_would_be_chosen_and_writes_nothing(fairnas, tmp_path):
    outcome = fairnas("plan", "digits", "--hours", "0.5", *SMALL)
    assert outcome.code == 0, outcome.err
    for part in ("setting ", "train.epochs ", "given", "of 30 minutes", "in all     about"):
        assert part in outcome.out
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.usefixtures("_rehearsed_once")
def test_too_little_time_is_said_in_one_line_with_what_would_do(fairnas, tmp_path, monkeypatch):
    monkeypatch.setattr(time_budget, "UNMEASURED", 1000.0)  # however slow this machine is
    outcome = fairnas("plan", "digits", "--minutes", "0.11", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    last = outcome.err.splitlines()[-1]
    assert "0.11 minutes are too few for this run on this device, the least is about" in last
    assert "or leave data.train_per_class and search.population and search.select and" in last


@pytest.mark.parametrize(
    "flags", [["--minutes", "0.01"], ["--minutes=1e-3"], ["--hours", "0.001"], ["--config", "my.toml"]]
)
def test_a_time_in_which_nothing_ends_is_refused_before_anything_is_looked_at(flags, fairnas, tmp_path):
    (tmp_path / "my.toml").write_text("minutes = 0.02\n")
    for verb in ("run", "plan"):
        outcome = fairnas(verb, "folder", "--data", "folder:not_there", *flags)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert "no run ends within" in outcome.err
    assert os.listdir(tmp_path) == ["my.toml"]


WRONG = {
    "both": (["plan", "digits", "--minutes", "3", "--hours", "1"], "--hours 1 and --minutes are both given"),
    "zero": (["run", "digits", "--minutes", "0"], "minutes is 0.0; give a number above 0"),
    "below": (["plan", "digits", "--hours", "-1"], "minutes is -60.0; give a number above 0"),
    "part": (["train", "digits", "--minutes", "3"], "`fairnas train` is a part of it; give them to `fairnas run`"),
    "width": (["run", "digits", "--width", "0.1"], "width is 0.1; give a number from 0.25 to 4"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_one_line(arguments, message, fairnas, tmp_path):
    outcome = fairnas(*arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert message in outcome.err
    assert os.listdir(tmp_path) == []


def test_settings_are_given_by_flags_and_by_toml(tmp_path):
    (tmp_path / "my.toml").write_text("width = 0.5\n[train]\nepochs = 3\n")
    flags = ["--config", str(tmp_path / "my.toml"), "--stand-alone.models=4", "--search.population", "8"]
    expected = {"width", "train.epochs", "stand_alone.models", "search.population"}
    assert read_arguments(["digits", *flags], "run").given & set(BUDGETED_SETTINGS) == expected
