"""Statements of the plan about classes of unequal size."""

from types import SimpleNamespace

import pytest
import torch

from fairnas.config import EvaluateConfig, RunConfig, TrainConfig
from fairnas.pipeline.balancing import balance_lines

NAMES = ("cat", "dog", "owl")


def lines(balance="none", measure="auto", train=(800, 300, 22), validation=(50, 50, 4), test=(50, 50, 40)):
    config = RunConfig(recipe="", train=TrainConfig(balance=balance), evaluate=EvaluateConfig(measure=measure))
    splits = {
        name: SimpleNamespace(labels=torch.repeat_interleave(torch.arange(3), torch.tensor(sizes)))
        for name, sizes in (("train", train), ("validation", validation), ("test", test))
    }
    return balance_lines(config, SimpleNamespace(classes=NAMES, **splits))


def test_alike_classes_need_no_word():
    assert lines(train=(100, 100, 10)) == ()


def test_unequal_classes_that_nothing_balances_are_pointed_at():
    said = lines()
    assert said[0] == (
        "balance    none: every image is drawn once in an epoch; 'cat' has 800 images to learn from, 'owl' 22"
    )
    assert said[1] == "measure    top-1, the share of all images that are right"
    assert "--train.balance sampling" in said[2]
    assert "--evaluate.measure balanced_accuracy" in said[2]


@pytest.mark.parametrize(
    ("balance", "told"),
    [
        ("sampling", "sampling: every class is drawn equally often in an epoch; 'cat' has 800 images to learn"),
        ("weights", "weights: an image of 'owl' counts 36.4 times one of 'cat'; 'cat' has 800"),
    ],
)
def test_a_balance_is_told_with_the_measure_and_how_little_it_rests_on(balance, told):
    said = lines(balance)
    assert said[0].startswith(f"balance    {told}")
    assert said[1].startswith("measure    balanced accuracy, the mean over the classes")
    assert said[2:] == (
        "note       'owl' has only 4 validation images: each is 8.3% of the balanced accuracy, "
        "so take small differences for chance",
    )
    assert lines(balance, "top1")[1].startswith("measure    top-1")


def test_a_class_without_test_images_and_one_with_one():
    said = lines("sampling", validation=(50, 1, 50), test=(50, 0, 50))
    assert "'dog' has only 1 validation image: each is 33.3% of" in said[2]
    assert said[3] == "note       'dog' has no test images, so balanced accuracy leaves it out there"


def test_equal_classes_may_be_balanced_too():
    assert "all have equally many images" in lines("sampling", train=(5, 5, 5))[0]
