"""Pairs of processes that begin a run at once; `tests/test_directory_lock.py` looks at what becomes of them."""

import json

import pytest

from benchmarks import locks
from fairnas.rundir import RunDirectory


def pairs_of(*found: tuple[str, str]):
    return lambda *_: list(found)


def test_what_became_of_them_is_counted(capsys, monkeypatch):
    monkeypatch.setattr(locks, "forked_pairs", pairs_of(("held", "refused"), ("gave up", "held"), ("held", "refused")))
    monkeypatch.setattr(locks, "real_pairs", pairs_of(("held", "refused")))
    assert locks.main(["--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    counts = {each["outcomes"]: each["pairs"] for each in result["found"]}
    assert counts == {"held and refused": 3, "gave up and held": 1}
    assert locks.main([]) == 0
    assert "held and refused 3, gave up and held 1" in capsys.readouterr().out


WRONG = [("held", "held"), ("both hold it", "held"), ("refused", "refused"), ("another error", "held")]


@pytest.mark.parametrize("pair", WRONG)
def test_a_pair_that_went_wrong_is_an_error(pair, capsys, monkeypatch):
    monkeypatch.setattr(locks, "forked_pairs", pairs_of(("held", "refused"), pair))
    monkeypatch.setattr(locks, "real_pairs", pairs_of())
    assert locks.main([]) == 2
    assert capsys.readouterr().err == f"benchmarks.locks: 1 of 2 pairs went wrong ({' and '.join(pair)}: 1)\n"
    assert locks.main(["--pairs", "-1"]) == 2
    assert capsys.readouterr().err == "benchmarks.locks: --pairs is -1; give 0 or more\n"


def test_one_of_a_pair_tells_what_became_of_it(tmp_path):
    path, outcome = tmp_path / "folder" / "run", lambda code: locks.OUTCOMES[code - 10]
    assert outcome(locks.take_part(path, 0, gives_up=True)) == "gave up"
    assert not path.parent.exists()
    assert outcome(locks.take_part(path, 0, gives_up=False)) == "held"
    assert outcome(locks.take_part(path, 1, gives_up=False)) == "refused"  # another configuration
    (tmp_path / "inside").write_text("")  # by another that holds it
    assert outcome(locks.take_part(path, 0, gives_up=False)) == "both hold it"
    with RunDirectory(path).locked():
        assert outcome(locks.take_part(path, 0, gives_up=False)) == "refused"
    codes = [10, 11]
    assert locks._judged(path, codes) == ("held", "refused")
    (path / "left.tmp").write_text("")
    assert locks._judged(path, codes)[1] == "another error"
