"""A run on classes of unequal size: one measure of accuracy from the search to the report."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from fairnas.config import DataConfig, Resources, RetrainConfig, RunConfig, SearchConfig, StandAloneConfig, TrainConfig
from fairnas.data.digits import read_digits
from fairnas.errors import ConfigError
from fairnas.pipeline import Experiment, run_stage, search_stage
from fairnas.pipeline.candidate_table import read_candidates
from fairnas.pipeline.retrain_stage import teacher_of
from fairnas.pipeline.search_stage import front_and_selected
from fairnas.pipeline.summary import summarise
from fairnas.report.run_data import read_inputs
from fairnas.report.two_runs import TwoRuns
from fairnas.rundir import RunDirectory
from fairnas.search import MADDS, PARAMS, Archive, pareto_front
from fairnas.search.objectives import BALANCED_ACCURACY
from fairnas.space import parse_genome

SIZES = {"train": (60, 30, 6), "val": (24, 12, 3), "test": (30, 12, 4)}
"""Images of zeros, ones and twos."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of real handwritten digits."""
    folder, (known, _) = tmp_path_factory.mktemp("images"), read_digits()
    for digit in range(3):
        places = iter(np.flatnonzero(known.labels == digit).tolist() * 2)
        for split, sizes in SIZES.items():
            (folder / split / f"digit{digit}").mkdir(parents=True)
            for number in range(sizes[digit]):
                picture = Image.fromarray(known.pixels[next(places), :, :, 0])
                picture.save(folder / split / f"digit{digit}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run as far as the report; not to be changed."""
    config = RunConfig(
        recipe="folder",
        space="digits",
        data=DataConfig(f"folder:{images}", image_size=8, augmentation="shift"),
        train=TrainConfig(epochs=2, batch_size=24, lr=0.05, balance="sampling"),
        search=SearchConfig(population=8, generations=2, select=2),
        stand_alone=StandAloneConfig(epochs=1, models=3, seeds=1),
        retrain=RetrainConfig("product", epochs=3, average=0.5),
        resources=Resources(processes=1),
    )
    run = RunDirectory.create(tmp_path_factory.mktemp("balanced") / "run", config)
    with run.locked():
        for stage in ("train", "search", "retrain", "rank", "report"):
            run_stage(Experiment(run), stage)
    return run


def balanced(result):
    return np.mean(np.array(result["class_hits"]) / np.array(result["class_images"]))


def test_the_balance_decides_the_measure_and_a_setting_can_say_otherwise(finished):
    config = finished.config
    assert config.measure == "balanced_accuracy"
    assert dataclasses.replace(config, train=TrainConfig()).measure == "top1"
    images_alone = dataclasses.replace(config.evaluate, measure="top1")
    assert dataclasses.replace(config, evaluate=images_alone).measure == "top1"
    other = dataclasses.replace(config.search, objectives=("madds", "top1"))
    with pytest.raises(ConfigError, match=r"^search.objectives has top1 first, but this run measures accuracy as bal"):
        dataclasses.replace(config, search=other)
    dataclasses.replace(config, search=dataclasses.replace(other, objectives=("accuracy", "top1")))


def test_the_front_is_that_of_balanced_accuracy_over_all_that_was_scored(finished):
    search = finished.read_json("search.json")
    assert search["measure"] == "balanced_accuracy"
    assert [each["name"] for each in search["objectives"]] == ["balanced_accuracy", "madds", "params"]
    with Archive(finished.path / "archive.sqlite", search["setting"], read_only=True) as archive:
        every = archive.candidates()
    assert any(abs(each.value("top1") - each.value("balanced_accuracy")) > 0.01 for each in every)
    assert any(abs(each.value("loss") - each.value("balanced_loss")) > 0.01 for each in every)
    best = {each.genome for each in pareto_front(every, (BALANCED_ACCURACY, MADDS, PARAMS))}
    front, selected = front_and_selected(Experiment(finished))
    assert {each.genome for each in front} == best
    assert {each.genome for each in selected} <= best
    taught = max(every, key=lambda each: each.value("balanced_accuracy"))
    assert dict((each.genome, each) for each in every)[teacher_of(Experiment(finished))].value(
        "balanced_accuracy"
    ) == taught.value("balanced_accuracy")
    assert {"top1", "balanced_accuracy"} <= read_candidates(finished).columns.keys()


@pytest.mark.slow
def test_a_search_by_the_other_measure_scores_nothing_anew_and_takes_its_own_front(finished, tmp_path, monkeypatch):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(finished.path, copy)
    run = RunDirectory.open(copy)
    evaluate = dataclasses.replace(run.config.evaluate, measure="top1")
    first_front = run.read_json("search.json")["front"]
    with run.locked():
        experiment = Experiment(run, config=dataclasses.replace(run.config, evaluate=evaluate))
        monkeypatch.setattr(search_stage, "evaluator_of", None)
        asked = []

        def refuse(genomes):
            asked.extend(genomes)
            return [{"top1": 0.5, "balanced_accuracy": 0.5, "top5": 1.0, "loss": 1.0, "balanced_loss": 1.0}] * len(
                genomes
            )

        search_stage.search(experiment, refuse)
        run.write_config(experiment.config)
        run.finish_stage("search", ("search.json",))
    known = {parse_genome(row) for row in read_candidates(finished).columns["genome"]}
    assert not known & set(asked)
    found = run.read_json("search.json")
    assert (found["measure"], found["objectives"][0]["name"]) == ("top1", "top1")
    assert all({"top1", "balanced_accuracy"} <= row.keys() for row in (*found["front"], *first_front))
    page = TwoRuns(read_inputs(finished), dataclasses.replace(read_inputs(run), config=run.config), ("a", "b"))
    assert not page.same_measure
    assert (page.volumes(), page.beaten()) == (None, None)
    assert page.numbers()["measure"] == ["balanced_accuracy", "top1"]


def test_trainings_keep_and_count_what_the_run_measures(finished):
    for path in sorted((finished.path / "retrained").glob("*.json")):
        result = finished.read_json(f"retrained/{path.name}")
        assert result["test"]["class_images"] == list(SIZES["test"])
        assert result["validation"]["class_images"] == list(SIZES["val"])
        for part in ("validation", "test"):
            assert result[part]["balanced_accuracy"] == pytest.approx(balanced(result[part]))
            assert result[part]["top1"] == pytest.approx(sum(result[part]["class_hits"]) / result[part]["images"])
        seen = [row["validation_balanced_accuracy"] for row in result["curve"]]
        assert seen[result["best_epoch"] - 1] == max(seen) == result["validation"]["balanced_accuracy"]
        assert all(row["validation_top1"] is not None for row in result["curve"])


def test_the_ranking_study_orders_by_the_same_measure_on_both_sides(finished):
    study = finished.read_json("ranking.json")
    scored = {row["genome"]: row for row in zip_rows(read_candidates(finished).columns)}
    assert study["measure"] == "balanced_accuracy"
    for model in study["models"]:
        trained = finished.read_json(f"stand_alone/{model['genome']}-s0.json")["test"]
        assert model["stand_alone"] == [trained["balanced_accuracy"]] == [pytest.approx(balanced(trained))]
        assert model["one_shot"] == pytest.approx(scored[model["genome"]]["balanced_accuracy"])
        assert model["loss"] == pytest.approx(scored[model["genome"]]["balanced_loss"])


def zip_rows(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_summary_curve_and_report_say_balanced_accuracy(finished):
    found = summarise(finished).to_dict()
    assert (found["measure"], found["units"]) == ("balanced_accuracy", {})
    for row in found["selected"]:
        result = finished.read_json(f"retrained/{row['genome']}-s0.json")["test"]
        assert row["stand_alone_balanced_accuracy"] == result["balanced_accuracy"]
        assert row["stand_alone_top1"] == result["top1"]
        assert (row["class_images"], row["class_hits"]) == (result["class_images"], result["class_hits"])
        assert row["one_shot_balanced_accuracy"] is not None
    last = finished.metrics("train")[-1]
    inputs = read_inputs(finished)
    assert inputs.epochs[-1].accuracy_mean == last["one_shot_balanced_accuracy_mean"] != last["one_shot_top1_mean"]
    page = (finished.path / "report.html").read_text()
    for said in ("one-shot balanced accuracy, validation", "stand-alone balanced accuracy, test", "; top-1 "):
        assert said in page
    assert "one-shot top-1" not in page
