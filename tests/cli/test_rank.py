"""`fairnas rank` and the figures of its study, on copies of a tiny finished run."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch

from fairnas.analysis import RankingRecord, StudiedModel, study_ranking
from fairnas.cli.main import main
from fairnas.pipeline import Experiment
from fairnas.pipeline.reselection import reselect
from fairnas.pipeline.scoring import score_on_validation
from fairnas.rundir import RunDirectory
from fairnas.space import format_genome, get_space
from tests.cli.process import TINY
from tests.rewriting import rewrite_text


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run[0], tmp_path / "run")


@pytest.fixture(scope="module")
def uniform_run(tmp_path_factory):
    """A supernet trained uniformly on the same images; tests must not change it."""
    path = tmp_path_factory.mktemp("other") / "uniform"
    assert main(["train", "digits", "--out", str(path), "--train.strategy", "uniform", *TINY]) == 0
    return path


def files_of(path):
    left_out = (".lock", "archive.sqlite-shm", "archive.sqlite-wal")
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name not in left_out}


def record_again(path, stage):
    """Record the files of a finished stage as they are now."""
    files = json.loads((path / "stages.json").read_text())["stages"][stage]["files"]
    RunDirectory.open(path).finish_stage(stage, tuple(files))


def ranking_of(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((path / "ranking.json").read_text(), parse_constant=refuse)


def test_the_study_is_shown_without_training_and_is_complete(finished_run, fairnas):
    path, _ = finished_run
    before = files_of(path)
    study = ranking_of(path)
    assert fairnas("rank", "--run", path, "--show", "--json").json == study
    outcome = fairnas("rank", "--run", path, "--show")
    for said in ("Who predicts the stand-alone order?", "Choosing by an order", "accuracy gap", "noise ceiling"):
        assert said in outcome.out
    assert all(model["genome"] in outcome.out for model in study["models"])
    assert files_of(path) == before
    constant = {"tau": None, "interval": [None, None], "n": 4, "p_value": None, "spearman": None}
    assert study["predictors"]["depth"] == constant
    assert "constant, n = 4" in next(line for line in outcome.out.splitlines() if "layers that are no skips" in line)
    assert [each["name"] for each in study["statistics"]] == ["batch", "recalibrated"]
    assert study["scored_by"] == "running"
    assert study["ceiling"]["seeds"] == 2
    assert all(math.isfinite(model["loss"]) for model in study["models"])
    assert outcome.out.count("one-shot cross-entropy") == 2  # among the predictors, and for choosing
    assert (study["corrected"], study["second_choice"]) == (None, None)  # of 4 networks nothing can be left out


@pytest.mark.slow
def test_the_fitted_sum_and_the_second_choice_are_shown(copied_run, fairnas):
    study = ranking_of(copied_run)
    rng = np.random.default_rng(0)
    space = get_space("digits")
    made = [
        StudiedModel(space.sample(rng), 0.5, (0.5 - 0.1 * x + 0.01 * k,), 100 + k, 10, 8, x)
        for k, x in enumerate(map(float, rng.random(12)))
    ]
    judged = study_ranking(made)
    assert judged.sum_is_better
    chosen = reselect(Experiment(RunDirectory.open(copied_run)), judged)
    assert chosen is not None
    record = dataclasses.replace(RankingRecord.from_dict(study), study=judged, second_choice=chosen)
    rewrite_text(copied_run / "ranking.json", json.dumps(record.to_dict()))
    record_again(copied_run, "rank")
    outcome = fairnas("rank", "--run", copied_run, "--show")
    assert "cross-entropy and multiply-adds, fitted to the others" in outcome.out, outcome.err
    assert f"Second choice: of {chosen.looked_at} networks that the search scored" in outcome.out
    assert fairnas("report", "--run", copied_run).code == 0
    page = (copied_run / "report.html").read_text()
    assert page.count("cross-entropy and multiply-adds, fitted to the others") == 2
    assert f"Second choice: the front of {chosen.looked_at} networks" in page
    assert all(format_genome(each.genome) in outcome.out for each in chosen.networks)


@pytest.mark.slow
def test_scores_by_other_statistics_are_those_of_a_run_with_that_setting(copied_run):
    study = ranking_of(copied_run)
    config = (copied_run / "config.toml").read_text()
    (copied_run / "config.toml").write_text(config.replace('bn = "auto"', 'bn = "recalibrated"'))
    experiment = Experiment(RunDirectory.open(copied_run))
    assert experiment.config.evaluate.bn == "recalibrated"
    genomes = [experiment.space.parse(model["genome"]) for model in study["models"]]
    assert study["statistics"][1]["scores"] == [each["top1"] for each in score_on_validation(experiment, genomes)]


@pytest.mark.slow
def test_another_supernet_judges_the_same_networks(copied_run, uniform_run, fairnas, tmp_path):
    before = files_of(uniform_run)
    outcome = fairnas("rank", "--run", copied_run, "--against", uniform_run)
    assert outcome.code == 0, outcome.err
    assert "supernet of uniform" in outcome.out
    study = ranking_of(copied_run)
    experiment = Experiment(RunDirectory.open(uniform_run))
    genomes = [experiment.space.parse(model["genome"]) for model in study["models"]]
    scores = [each["top1"] for each in score_on_validation(experiment, genomes)]
    assert study["against"]["scores"] == scores
    assert (study["against"]["name"], study["against_run"]) == ("uniform", str(uniform_run))
    assert study["against"]["difference"]["n"] == 4
    assert files_of(uniform_run) == before

    assert fairnas("report", "--run", copied_run).code == 0
    assert "the supernet of uniform" in (copied_run / "report.html").read_text()
    found = fairnas("figure", "8", "--run", copied_run, "--out", tmp_path / "eight", "--sample", "5", "--json").json
    assert [each["name"] for each in found["supernets"]] == ["run", "uniform"]
    assert found["supernets"][1]["one_shot"] == scores
    assert found["difference"] == study["against"]["difference"]
    assert [len(each["sample"]) for each in found["supernets"]] == [5, 5]
    names = {path.name for path in (tmp_path / "eight").iterdir()}
    assert names == {"figure8.html", "figure8.json", "figure8-gap.png", "figure8-gap.svg", "figure8.png", "figure8.svg"}
    assert "tau = " in (tmp_path / "eight" / "figure8.html").read_text()

    assert fairnas("rank", "--run", copied_run, "--against", "none").code == 0
    assert ranking_of(copied_run)["against"] is None


@pytest.mark.slow
def test_figure_8_scores_with_another_run_and_changes_neither(finished_run, uniform_run, fairnas, tmp_path):
    path, _ = finished_run
    before = files_of(path)
    outcome = fairnas("figure", "8", "--run", path, "--against", uniform_run, "--out", tmp_path / "eight")
    assert outcome.code == 0, outcome.err
    assert "The supernet of uniform orders the networks with tau = " in outcome.out
    assert "lambda = " in outcome.out
    assert files_of(path) == before


@pytest.mark.slow
def test_figure_10_has_the_curves_of_all_trainings(finished_run, fairnas, tmp_path):
    path, _ = finished_run
    found = fairnas("figure", "10", "--run", path, "--out", tmp_path / "ten", "--json").json
    study = ranking_of(path)
    assert [each["one_shot"] for each in found["networks"]] == sorted(m["one_shot"] for m in study["models"])[::-1]
    first = found["networks"][0]
    trainings = [json.loads((path / "stand_alone" / f"{first['genome']}-s{seed}.json").read_text()) for seed in (0, 1)]
    assert first["loss"] == [[1, pytest.approx(sum(each["curve"][0]["loss"] for each in trainings) / 2)]]
    assert first["top1"] == [[1, pytest.approx(sum(each["validation"]["top1"] for each in trainings) / 2)]]
    assert [each["n"] for each in found["order"]] == [4]
    assert {"figure10.png", "figure10.svg", "figure10.html"} < {file.name for file in (tmp_path / "ten").iterdir()}


def test_trainings_of_an_earlier_version_have_no_curve_which_is_said(copied_run, fairnas, tmp_path):
    genome = ranking_of(copied_run)["models"][0]["genome"]
    file = copied_run / "stand_alone" / f"{genome}-s1.json"
    result = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in result.items() if key != "curve"}))
    record_again(copied_run, "rank")
    outcome = fairnas("figure", "10", "--run", copied_run, "--out", tmp_path / "ten")
    assert outcome.code == 2
    assert f"{file} holds no training curve, because an earlier fairnas wrote it; delete it, and `" in outcome.err


@pytest.mark.slow
def test_networks_of_ones_own(copied_run, fairnas, tmp_path):
    known = [model["genome"] for model in ranking_of(copied_run)["models"]]
    file = tmp_path / "networks.txt"
    file.write_text(f"# trained before\n{known[0]}\n\n  {known[1]}  # the second\n")
    outcome = fairnas("rank", "--run", copied_run, "--genomes", file, "--genome", known[2], "--json")
    assert outcome.code == 0, outcome.err
    study = ranking_of(copied_run)
    assert [model["genome"] for model in study["models"]] == [known[2], known[0], known[1]]
    assert study["choose"] == "named"
    assert outcome.json["ranking"] == study
    assert fairnas("rank", "--run", copied_run, "--choose", "front", "--json").code == 0
    assert [model["genome"] for model in ranking_of(copied_run)["models"]] == known


@pytest.mark.slow
def test_a_diverged_training_is_shown_and_in_no_tau(copied_run, fairnas, tmp_path):
    genome = ranking_of(copied_run)["models"][1]["genome"]
    file = copied_run / "stand_alone" / f"{genome}-s1.json"
    result = json.loads(file.read_text())
    lost = {key: result[key] for key in ("genome", "seed", "identity", "epochs", "curve")}
    file.write_text(json.dumps(lost | {"status": "diverged", "reason": "the loss is nan at step 3"}))
    record_again(copied_run, "rank")
    outcome = fairnas("rank", "--run", copied_run)
    assert outcome.code == 0, outcome.err
    assert f"{genome} diverged with seed 1: the loss is nan at step 3" in outcome.err
    found = ranking_of(copied_run)
    assert found["diverged"] == 1
    assert found["models"][1]["stand_alone"][1] is None
    assert found["models"][1]["mean"] is None
    assert {found[part]["n"] for part in ("tau", "gap", "ceiling", "best")} == {3}
    assert "1 of them left out because a training diverged" in outcome.out
    assert any(line.startswith(f" {genome} ") and "diverged" in line for line in outcome.out.splitlines())
    assert fairnas("report", "--run", copied_run).code == 0
    assert f"1 network left out, because a training diverged: {genome}." in (copied_run / "report.html").read_text()
    eight = fairnas("figure", "8", "--run", copied_run, "--out", tmp_path / "eight")
    assert f"1 network diverged in training and is in no number: {genome}." in eight.out
    ten = fairnas("figure", "10", "--run", copied_run, "--out", tmp_path / "ten")
    assert f"in no number: {genome}." in ten.out


@pytest.mark.slow
def test_a_supernet_with_nan_weights_is_refused_before_anything_is_trained(copied_run, fairnas):
    path = copied_run / "supernet" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    name, weight = next((name, w) for name, w in content["network"].items() if w.is_floating_point())
    weight.view(-1)[0] = float("nan")
    torch.save(content, path)
    record_again(copied_run, "train")
    shutil.rmtree(copied_run / "stand_alone")
    outcome = fairnas("rank", "--run", copied_run)
    assert outcome.code == 2
    said = outcome.err.splitlines()[-1]
    assert said.startswith(f"fairnas: the supernet's weights {name} are NaN or infinite ({path}): its training")
    assert not (copied_run / "stand_alone").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--genomes", "FILE"], "FILE, line 2: genome 'zz' has 2 choices; space 'digits' has 8 layers"),
        (["--genomes", "MISSING"], "cannot read MISSING (No such file or directory); give a text file with one genome"),
        (["--genome", "00000000", "0000000x"], "genome '0000000x'"),
        (["--genome", "00000000", "00000001"], "stand_alone.study names 2 of at least 3 networks"),
        (["--genome", "00000000", "00000001", "00000000"], "00000000 and 00000000 are the same network"),
        (["--genome", "00000000", "--models", "3"], "leave --models and --choose out"),
        (["--models", "2"], "stand_alone.models is 2; give 3 or more"),
        (["--models", "0"], "--models is 0, which is no study; give 3 or more"),
        (["--against", "RUN"], "is this run itself; give another run to compare it against"),
        (["--against", "MISSING"], "MISSING is not a run directory"),
        (["--show", "--seeds", "3"], "leave --show out to make another one"),
    ],
)
def test_bad_input_is_one_line(copied_run, fairnas, tmp_path, flags, says):
    names = {"FILE": tmp_path / "networks.txt", "MISSING": tmp_path / "missing", "RUN": copied_run}
    names["FILE"].write_text("00000000\nzz\n")
    outcome = fairnas("rank", "--run", copied_run, *(names.get(flag, flag) for flag in flags))
    assert outcome.code == 2
    for name, path in names.items():
        says = says.replace(name, str(path))
    assert says in outcome.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("file", "key", "says"),
    [
        ("space.json", "name", "has search space 'other' or other layers than"),
        ("data.json", "fingerprint", "has other images than"),
    ],
)
def test_a_run_of_another_space_or_data_is_no_rival(copied_run, uniform_run, fairnas, tmp_path, file, key, says):
    other = shutil.copytree(uniform_run, tmp_path / "other")
    (other / file).write_text(json.dumps(json.loads((other / file).read_text()) | {key: "other"}))
    record_again(other, "train")
    before = (copied_run / "config.toml").read_text()
    for command in (["rank"], ["figure", "8", "--out", tmp_path / "eight"]):
        outcome = fairnas(*command, "--run", copied_run, "--against", other)
        assert outcome.code == 2
        assert says in outcome.err.splitlines()[-1]
    assert (copied_run / "config.toml").read_text() == before


def test_what_is_not_there_is_said(fairnas, uniform_run, tmp_path):
    for command in (["rank", "--show"], ["figure", "8"], ["figure", "10"]):
        outcome = fairnas(*command, "--run", uniform_run)
        assert outcome.code == 2
        assert f"`fairnas rank --run {uniform_run}`" in outcome.err
