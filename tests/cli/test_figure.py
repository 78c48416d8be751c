"""`fairnas figure N`: what it takes, what it refuses, and that a killed figure goes on."""

import json
import signal

import pytest

from tests.cli.process import start

TINY = [
    "--seeds", "1", "--epochs", "1", "--models", "6",
    "--data.train-per-class", "12", "--data.validation-per-class", "5",
    "--train.batch-size", "40", "--resources.checkpoint-steps", "1",
]  # fmt: skip


def test_figure_4_prints_its_findings_and_writes_its_page(fairnas, tmp_path):
    out = tmp_path / "four"
    outcome = fairnas("figure", "4", "--out", out, "--repetitions", 500)
    assert outcome.code == 0
    assert "f(2, n) falls below 0.2 at n = 16" in outcome.out
    assert f"page      {out / 'figure4.html'}" in outcome.out
    assert (out / "figure4.html").exists()
    found = fairnas("figure", "4", "--out", out, "--repetitions", 500, "--json").json
    assert found["figure"] == 4
    assert found["command"] == f"fairnas figure 4 --out {out} --repetitions 500"


def test_help_lists_the_figures_and_each_has_its_own(capsys):
    from fairnas.cli.main import main

    for arguments, example in (
        ([], "fairnas figure 4"),
        (["1"], "fairnas figure 1 --out"),
        (["4"], "fairnas figure 4"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["figure", *arguments, "--help"])
        assert left.value.code == 0
        assert example in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "`fairnas figure` needs a number first (1, 4)"),
        (("--json",), "`fairnas figure` needs a number first (1, 4)"),
        (("7",), "unknown figure '7' (figures: 1, 4)"),
        (("1", "--models", "961"), "--models is 961; give a multiple of 6"),
        (("1", "--seeds", "0"), "--seeds is 0; give 1 or more"),
        (("1", "--epochs", "0"), "train.epochs is 0; give 1 or more"),
        (("1", "--train.strategy", "uniform"), "train.strategy is uniform, but the arms set it"),
        (("1", "--recipe", "digit"), "unknown recipe 'digit'; did you mean 'digits'?"),
        (("1", "--data", "folder:/nowhere"), "/nowhere"),
        (("1", "--data", "cifar10"), "data.root"),
        (("1", "--modles", "6"), "did you mean --models?"),
        (("4", "--repetitions", "5"), "--repetitions is 5; give 100 or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(fairnas, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = fairnas("figure", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("fairnas: ")
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_data_choose_the_recipe(monkeypatch, tmp_path, fairnas):
    seen = []
    monkeypatch.setattr("fairnas.pipeline.figure_1.draw_figure_1", lambda out, figure, *_: seen.append(figure) or {})
    for arguments in (("--data", "cifar10", "--data.root", "here"), ("--recipe", "cifar10"), ()):
        fairnas("figure", "1", "--json", *arguments)
    assert [figure.base.recipe for figure in seen] == ["cifar10", "cifar10", "digits"]
    assert (seen[0].base.data.root, seen[0].base.space) == ("here", "compact")
    assert (seen[2].seeds, seen[2].models, seen[2].base.train.epochs) == (3, 960, 50)


def test_a_killed_figure_goes_on_and_other_settings_are_refused(fairnas, tmp_path):
    out = tmp_path / "figure1"
    command = ("figure", "1", "--out", out, "--json", *TINY)
    process = start(*command)
    for line in process.stderr:
        if line.startswith("[2/5] EF k=6, seed 0"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "figure1.html").exists()
    outcome = fairnas(*command)
    assert outcome.code == 0
    assert "SF, seed 0: done before" in outcome.err
    found = outcome.json
    assert [arm["mean"]["n"] for arm in found["arms"]] == [1] * 5
    assert "--json" not in found["command"]
    assert (out / "figure1.html").exists()
    assert json.loads((out / "figure1.json").read_text())["arms"] == found["arms"]
    assert fairnas("audit", "--run", out / "strict-s0", "--json").json["strict_fair"]
    table = fairnas("figure", "1", "--out", out, *TINY).out
    assert "SPOS 6x epochs" in table
    assert "No winner" in table
    refused = fairnas(*command, "--seeds", "2")
    assert refused.code == 2
    assert f"{out} holds a figure with other settings (seeds is 1, given 2)" in refused.err
