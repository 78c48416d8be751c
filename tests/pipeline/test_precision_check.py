"""A search in bfloat16 begins with a proof that it ranks networks as float32 does; scores know how they were made."""

import dataclasses
import json

import pytest
import torch

from fairnas.config import EvaluateConfig
from fairnas.data.images import ResidentImages
from fairnas.errors import ConfigError
from fairnas.evaluate import OwnImagesCopy
from fairnas.nets import Supernet
from fairnas.pipeline import precision_check
from fairnas.pipeline.calibration import CalibrationImages
from fairnas.pipeline.experiment import Experiment, pick_device
from fairnas.pipeline.precision_check import FILE, require_ranks_of_float32
from fairnas.pipeline.scoring import evaluation_setting, score_on_validation, validation_batches
from fairnas.pipeline.search_stage import search
from fairnas.progress import SilentNarrator
from fairnas.recipes import get_recipe
from fairnas.rundir import RunDirectory

FEW = 12
"""Validation images per class that are enough to compare by: many CPUs compute in bfloat16 slowly."""


class Listening(SilentNarrator):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def begin(tmp_path, make_lively):
    """Begin a run with a supernet at hand."""

    def make(supernet=None, seed=0, images=30, **evaluate) -> Experiment:
        config = get_recipe("digits")
        config = dataclasses.replace(
            config,
            seed=seed,
            data=dataclasses.replace(config.data, validation_per_class=images),
            search=dataclasses.replace(config.search, population=4, generations=2),
            evaluate=EvaluateConfig(**evaluate),
            resources=dataclasses.replace(config.resources, device="cpu"),
        )
        run = RunDirectory.create(tmp_path / str(len(list(tmp_path.iterdir()))), config)
        experiment = Experiment(run, Listening())
        experiment.__dict__["supernet"] = supernet or make_lively(Supernet(experiment.space)).eval()
        return experiment

    return make


def test_in_float32_nothing_is_compared(begin) -> None:
    experiment = begin()
    require_ranks_of_float32(experiment)
    assert not (experiment.run.path / FILE).exists()
    assert experiment.narrator.lines == []


@pytest.mark.slow
def test_agreement_is_told_recorded_and_not_looked_for_again(begin, monkeypatch) -> None:
    monkeypatch.setattr(precision_check, "LEAST_TAU", 0.5)  # untrained networks differ little
    experiment = begin(precision="bfloat16", bn="batch", images=FEW)
    search(experiment)
    known = experiment.run.read_json(FILE)
    assert known["n"] == 32
    assert known["images"] == len(experiment.dataset.validation)
    assert known["distinct"] > 10
    assert 0.5 <= known["tau"] <= 1
    assert known["interval"][0] <= known["tau"] <= known["interval"][1]
    assert 0 < known["largest_difference"] < 0.1
    assert known["setting"] == evaluation_setting(experiment)
    (line,) = [line for line in experiment.narrator.lines if "bfloat16" in line]
    assert f"tau {known['tau']:.3f}" in line
    assert "n = 32" in line
    monkeypatch.setattr(precision_check, "compared", lambda experiment: pytest.fail("compared again"))
    require_ranks_of_float32(experiment)
    other = begin(precision="bfloat16", bn="batch", images=FEW, supernet=Supernet(experiment.space, seed=3).eval())
    other.run.write_json(FILE, known)
    monkeypatch.setattr(precision_check, "compared", lambda experiment: {**known, "tau": 1.0})
    require_ranks_of_float32(other)  # of another supernet nothing is known
    assert json.loads((other.run.path / FILE).read_text())["tau"] == 1.0


@pytest.mark.slow
def test_disagreement_refuses_the_search_before_anything_is_scored(begin, monkeypatch) -> None:
    # without bn="batch" untrained networks take one class for every image
    experiment = begin(precision="bfloat16", bn="batch", images=FEW)
    half = experiment.scorer
    with torch.no_grad():  # a bfloat16 that gets something wrong
        for layer, count in enumerate(experiment.space.choices):
            for choice in range(0, count, 2):
                for weight in half.block(layer, choice).parameters():
                    weight.mul_(0)
    for _ in range(2):  # also when it is known already
        with pytest.raises(ConfigError) as caught:
            search(experiment)
        message = str(caught.value)
        assert "\n" not in message
        assert all(part in message for part in ("tau ", "n = 32", "0.9", "evaluate.precision 'float32'"))
        assert not (experiment.run.path / "archive.sqlite").exists()
        monkeypatch.setattr(precision_check, "compared", lambda experiment: pytest.fail("compared again"))


@pytest.mark.parametrize("equal", [True, False])
def test_networks_that_all_score_the_same_have_no_tau(begin, monkeypatch, equal) -> None:
    experiment = begin(precision="bfloat16")
    found = iter(([0.5] * 32, [0.5] * 32 if equal else [0.25] * 32))
    monkeypatch.setattr(
        precision_check, "score_genomes", lambda *_: [type("", (), {"top1": each}) for each in next(found)]
    )
    known = precision_check.compared(experiment)
    assert (known["tau"], known["interval"]) == (float(equal), None)
    assert "tau" in precision_check.described(known)


def test_a_search_with_someone_elses_scores_is_not_asked(begin, monkeypatch) -> None:
    monkeypatch.setattr(precision_check, "compared", lambda experiment: pytest.fail("compared"))
    search(begin(precision="bfloat16"), lambda genomes: [{"top1": 0.5, "top5": 1.0, "loss": 1.0} for _ in genomes])


# What a score is known by --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_everything_that_changes_a_score_is_part_of_its_identity(begin) -> None:
    supernet = begin().supernet
    settings = [
        {},
        {"precision": "bfloat16"},
        {"bn": "batch"},
        {"bn": "recalibrated"},
        {"bn": "recalibrated", "calibration_images": 20},
        {"bn": "recalibrated", "calibration": "own", "calibration_images": 20},
        {"bn": "recalibrated", "calibration": "own", "calibration_images": 20, "precision": "bfloat16"},
    ]
    experiments = [begin(supernet, **each) for each in settings]
    assert len({evaluation_setting(each) for each in experiments}) == len(settings)
    scores = [score_on_validation(each, [(0,) * 8])[0]["loss"] for each in experiments]
    assert len(set(scores)) == len(settings)
    same = begin(supernet, activation_mib=1.0, batch_size=7)  # memory and speed only
    assert evaluation_setting(same) == evaluation_setting(experiments[0])
    assert evaluation_setting(begin(supernet, calibration_images=5)).startswith("weights ")


@pytest.mark.slow
def test_batches_that_statistics_are_taken_from_are_as_equal_as_can_be_and_the_setting_says_so(begin) -> None:
    def batched(batch_size, images=300, bn="batch"):
        """Sizes of the batches, and their description, with this number of the 300 validation images."""
        experiment = begin(bn=bn, batch_size=batch_size)
        whole = experiment.dataset.validation
        assert isinstance(whole, ResidentImages)
        assert len(whole) == 300
        few = ResidentImages(whole.pixels[:images], whole.labels[:images], whole.size)
        experiment.__dict__["_opened"] = experiment.space, dataclasses.replace(experiment.dataset, validation=few)
        batches = list(validation_batches(experiment))
        assert torch.equal(torch.cat([labels for _, labels in batches]), few.labels)
        return [len(labels) for _, labels in batches], evaluation_setting(experiment).rsplit(", ", 1)[1]

    assert batched(16, images=257) == ([16] * 2 + [15] * 15, "BN statistics of batches of 16 and 15")
    assert batched(16, images=257, bn="running") == ([16] * 16 + [1], "running BN statistics")
    assert batched(125) == ([100] * 3, "BN statistics of batches of 125"), "as archives have it"
    assert batched(50) == ([50] * 6, "BN statistics of batches of 50")
    assert batched(110, images=299) == ([100, 100, 99], "BN statistics of batches of 100 and 99")
    assert batched(300, images=2) == ([2], "BN statistics of batches of 300")


def test_own_images_are_a_function_of_seed_and_genome(begin) -> None:
    experiment = begin(bn="recalibrated", calibration="own", calibration_images=20)
    assert isinstance(experiment.scorer, OwnImagesCopy)
    train = experiment.dataset.train

    def images(seed=0, wanted=20):
        return CalibrationImages(experiment.dataset, wanted, seed, torch.device("cpu"))

    first, second = (0,) * 8, (1,) * 8
    assert images().of(first).shape == (20, 1, 8, 8)
    assert torch.equal(images().of(first), images().of(first))
    assert not torch.equal(images().of(first), images().of(second))
    assert not torch.equal(images().of(first), images(seed=1).of(first))
    everything = images(wanted=10**6).shared()
    assert everything.shape[0] == len(train)
    assert torch.equal(images().shared(), everything[:20])
    rows = {tuple(image.flatten().tolist()) for image in everything}
    assert all(tuple(image.flatten().tolist()) in rows for image in images().of(first))
    some = images().of(first)
    assert len({tuple(image.flatten().tolist()) for image in some}) >= 19  # without replacement


def test_own_images_without_recalibration_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.bn 'recalibrated'"):
        EvaluateConfig(calibration="own")
    with pytest.raises(ConfigError, match=r"evaluate\.activation_mib is 0; give a number above 0"):
        EvaluateConfig(activation_mib=0)
    with pytest.raises(ConfigError, match=r"evaluate\.precision"):
        EvaluateConfig(precision="bfloat61")  # pyright: ignore[reportArgumentType]


def test_single_precision_is_no_tf32_where_a_command_picks_its_device(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    pick_device("cpu")
    assert not torch.backends.cudnn.allow_tf32
