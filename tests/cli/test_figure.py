"""`fairnas figure N`: what it takes, what it refuses, and that a killed figure goes on."""

import contextlib
import dataclasses
import json
import signal

import pytest

from fairnas.config import SearchConfig
from fairnas.recipes import get_recipe
from fairnas.rundir import RunDirectory
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
        (["6"], "fairnas figure 6 --truth"),
        (["11"], "fairnas figure 11 --run"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["figure", *arguments, "--help"])
        assert left.value.code == 0
        assert example in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "`fairnas figure` needs a number first (1, 4, 6, 8, 10, 11)"),
        (("--json",), "`fairnas figure` needs a number first (1, 4, 6, 8, 10, 11)"),
        (("7",), "unknown figure '7' (figures: 1, 4, 6, 8, 10, 11)"),
        (("1", "--models", "961"), "--models is 961; give a multiple of 6"),
        (("1", "--seeds", "0"), "--seeds is 0; give 1 or more"),
        (("1", "--epochs", "0"), "train.epochs is 0; give 1 or more"),
        (("1", "--train.strategy", "uniform"), "train.strategy is uniform, but the arms set it"),
        (("1", "--recipe", "digit"), "unknown recipe 'digit'; did you mean 'digits'?"),
        (("1", "--data", "folder:/nowhere"), "/nowhere"),
        (("1", "--data", "cifar10"), "data.root"),
        (("1", "--modles", "6"), "did you mean --models?"),
        (("4", "--repetitions", "5"), "--repetitions is 5; give 100 or more"),
        (("6",), "`fairnas figure 6` needs either --run DIR, with a trained supernet, or --truth FILE"),
        (("6", "--run", "nowhere"), "nowhere is not a run directory"),
        (("6", "--truth", "nowhere.json"), "cannot read nowhere.json (No such file or directory); give the JSON file"),
        (("6", "--truth", "x", "--seeds", "1"), "--seeds is 1; give 2 or more, because intervals need them"),
        (("6", "--truth", "x", "--searchers", "moremnass"), "unknown searcher 'moremnass'; did you mean 'moremnas'?"),
        (("6", "--truth", "x", "--search.searcher", "nsga2"), "search.searcher is nsga2, but --searchers names"),
        (("6", "--truth", "x", "--population", "2"), "search.population is 2; give 4 or more"),
        (("6", "--truth", "x", "--generations", "0"), "search.generations is 0; give 1 or more"),
        (("6", "--seedz", "5"), "did you mean --seeds?"),
        (("11",), "--run"),
        (("11", "--run", "nowhere"), "nowhere is not a run directory"),
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
    monkeypatch.setattr("fairnas.paper.figure_1_study.draw_figure_1", lambda out, figure, *_: seen.append(figure) or {})
    for arguments in (("--data", "cifar10", "--data.root", "here"), ("--recipe", "cifar10"), ()):
        fairnas("figure", "1", "--json", *arguments)
    assert [figure.base.recipe for figure in seen] == ["cifar10", "cifar10", "digits"]
    assert (seen[0].base.data.root, seen[0].base.space) == ("here", "compact")
    assert (seen[2].seeds, seen[2].models, seen[2].base.train.epochs) == (3, 960, 50)


@pytest.mark.slow
@pytest.mark.full  # of the next test's promises for another figure
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


@pytest.fixture
def truth(macro_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(macro_truth))
    return path


@pytest.mark.full
@pytest.mark.slow
def test_figure_6_killed_goes_on_and_ends_as_undisturbed(fairnas, truth, tmp_path):
    def command(out):
        return ("figure", "6", "--truth", truth, "--out", out, "--seeds", "3", "--population", "16", *flags)

    flags = ("--generations", "8", "--searchers", "nsga2", "moremnas")

    process = start(*command(tmp_path / "killed"), "--json")
    for line in process.stderr:
        if line.startswith("[2/3] seed 1: nsga2, moremnas (next: seed 2)"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    outcome = fairnas(*command(tmp_path / "killed"), "--json")
    assert "seed 0: done before" in outcome.err
    undisturbed = fairnas(*command(tmp_path / "whole"), "--json").json
    for key in ("searchers", "best", "duels", "verdicts"):
        assert outcome.json[key] == undisturbed[key]
    assert undisturbed["best"]["true"] is True
    printed = fairnas(*command(tmp_path / "whole")).out
    assert " of 3" in printed
    assert f"as the paper says? {undisturbed['verdicts'][0]['answer']}." in printed
    assert f"page      {tmp_path / 'whole' / 'figure6.html'}" in printed
    refused = fairnas(*command(tmp_path / "whole"), "--search.crossover", "0.5")
    assert refused.code == 2
    assert "other settings (search.crossover is 0.9, given 0.5)" in refused.err


def test_figure_6_compares_as_the_paper_does_within_the_bounds_of_the_run(fairnas, truth, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("fairnas.paper.figure_6_study.draw_figure_6", lambda out, figure, *_: seen.append(figure) or {})
    bounded = dataclasses.replace(get_recipe("digits"), search=SearchConfig(population=40, max_madds=400e3))
    run = RunDirectory.create(tmp_path / "run", bounded)
    opened = contextlib.nullcontext()
    monkeypatch.setattr("fairnas.paper.search_targets.trained_supernet", lambda *_: opened)
    fairnas("figure", "6", "--truth", truth, "--json")
    fairnas("figure", "6", "--run", run.path, "--json")
    fairnas("figure", "6", "--run", run.path, "--json", "--seeds", "7", "--search.hierarchy.controller-draws", "whole")
    assert [(each.search.population, each.search.generations, each.seeds) for each in seen] == [
        (64, 17, 20),
        (64, 17, 5),
        (64, 17, 7),
    ]
    assert [each.search.max_madds for each in seen] == [None, 400e3, 400e3]
    assert [each.search.hierarchy.controller_draws for each in seen] == ["layer", "layer", "whole"]
    assert seen[0].searchers == ("moremnas", "nsga2", "nsga2_reinforced", "random", "mnasnet_rl")


@pytest.mark.slow
def test_figures_6_and_11_of_a_run(fairnas, finished_run, tmp_path):
    path, _ = finished_run
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and "sqlite-" not in file.name}
    flags = ("--seeds", "2", "--searchers", "nsga2", "random", "--population", "8", "--generations", "3")
    found = fairnas("figure", "6", "--run", path, "--out", tmp_path / "six", *flags, "--json").json
    assert [len(each["searches"]) for each in found["searchers"].values()] == [2, 2]
    assert found["best"]["true"] is False
    assert found["verdicts"][0]["answer"] == "Nothing to judge"
    outcome = fairnas("figure", "11", "--run", path, "--out", tmp_path / "eleven")
    assert "Hypervolume rose from" in outcome.out
    assert f"page      {tmp_path / 'eleven' / 'figure11.html'}" in outcome.out
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and "sqlite-" not in file.name}
    assert after == before
