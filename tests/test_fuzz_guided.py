"""Fuzzing led by coverage (docs/foreign-data.md): it leads somewhere, and sees what it looks for."""

from random import Random

import pytest

from benchmarks.fuzz.attempt import Target
from benchmarks.fuzz.guided import DEFAULT, FINDINGS, GuidedCommand, _bent, look_at, main, try_guided
from benchmarks.fuzz.targets import TARGETS


@pytest.mark.full
def test_it_reaches_more_branches_than_valid_examples_do(tmp_path):
    pytest.importorskip("atheris", reason="no wheel for this machine")
    found = try_guided("genomes file", GuidedCommand(seconds=3, out=tmp_path))
    assert found["kept"] == []
    assert found["inputs"] > 100
    assert found["reached"] > found["branches"]


def test_a_finding_of_each_kind_is_kept_once(tmp_path):
    def read(folder, content):
        if content:
            raise [ZeroDivisionError, KeyError][content[0] % 2](len(content))

    target = Target("broken", lambda: (b"",), lambda rng, content: content, read)
    given, known = GuidedCommand(out=tmp_path / "out"), set()
    for content in (b"", b"\0", b"\1", b"\0\0", b"\1\1"):
        look_at(target, content, tmp_path, given, known)
    assert len((tmp_path / FINDINGS).read_text().splitlines()) == 2
    assert sorted(path.read_bytes() for path in (tmp_path / "out").glob("*.input")) == [b"\0", b"\1"]


def test_an_unknown_target_is_one_line(capsys):
    assert main(["--targets", "genom"]) == 2
    assert "unknown target 'genom'" in capsys.readouterr().err


@pytest.mark.parametrize("name", DEFAULT)
def test_wounds_on_wounds_can_be_bent_again(name):
    target = TARGETS[name]
    content = target.valid()[0]
    for seed in range(40):
        content = _bent(target, Random(seed), content)[: 1 << 16]
        assert isinstance(content, bytes)
