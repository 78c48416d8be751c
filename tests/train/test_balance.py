"""Balanced training: what weights and sampling do to losses, to every kind of training, and to the smallest class."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from benchmarks.unequal_classes import unequal_digits
from fairnas.config import RetrainConfig, TrainConfig
from fairnas.data import Dataset, class_weights, ordered_batches, training_batches
from fairnas.data.images import ResidentImages
from fairnas.evaluate import NetworkScore, score_network
from fairnas.train import STRATEGIES, LoopOptions, product_training, stand_alone_training, train
from fairnas.train.executors import loss_of
from fairnas.train.mixture import Mixture
from fairnas.train.product import distance
from fairnas.train.strategies.reward import accuracy
from tests.train.processes import CPU, SPACE, tiny_dataset

BATCHES = st.integers(0, 10_000).map(lambda seed: torch.Generator().manual_seed(seed))


def some(rng: torch.Generator, count: int = 12, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels, and weights of the classes."""
    logits = torch.randn(count, classes, generator=rng, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=rng), torch.rand(classes, generator=rng).double() + 0.1


# The loss -----------------------------------------------------------------------------------------------------


@given(BATCHES, st.sampled_from([0.0, 0.1, 0.4]))
def test_an_image_counts_by_its_own_class_and_halves_of_a_batch_average_to_the_whole(rng, smoothing) -> None:
    logits, labels, weights = some(rng)
    found = loss_of(logits, labels, weights, smoothing=smoothing)
    each = [
        float(weights[label] * functional.cross_entropy(row[None], label[None], label_smoothing=smoothing))
        for row, label in zip(logits, labels, strict=True)
    ]
    assert float(found) == pytest.approx(sum(each) / len(each))
    halves = [loss_of(logits[half], labels[half], weights, smoothing=smoothing) for half in (slice(6), slice(6, None))]
    assert float(sum(halves) / 2) == pytest.approx(float(found))
    assert torch.equal(loss_of(logits, labels), functional.cross_entropy(logits, labels))


@pytest.mark.slow
@given(BATCHES, st.floats(0, 1), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=25)
def test_the_product_weighs_mixed_images_by_what_they_show_and_what_the_teacher_says_too(rng, share, taught) -> None:
    logits, labels, weights = some(rng)
    others, teaching = labels.roll(1), torch.randn(logits.shape, generator=rng, dtype=torch.float64)
    settings_ = RetrainConfig("product", distillation=taught, temperature=2.0, label_smoothing=0.1)
    config, teacher = TrainConfig(balance="weights"), lambda images: teaching
    training = product_training(SPACE, (0, 0, 0), settings_, config, 0, CPU, teacher=teacher if taught else None)
    training._class_weights = weights
    found = training._loss(logits, Mixture(torch.zeros(12), labels, others, share))

    def of(row: int) -> float:
        one = slice(row, row + 1)
        parts = ((share, labels), (1 - share, others))
        hard = sum(
            part * weights[which[row]] * functional.cross_entropy(logits[one], which[one], label_smoothing=0.1)
            for part, which in parts
        )
        counts = sum(part * weights[which[row]] for part, which in parts)
        return float((1 - taught) * hard + taught * counts * distance(logits[one], teaching[one], 2.0))

    assert float(found) == pytest.approx(np.mean([of(row) for row in range(12)]))


# Every kind of training ---------------------------------------------------------------------------------------


def part_of(dataset: Dataset, sizes: dict[int, int]) -> Dataset:
    """The data set with these numbers of training images of some classes."""
    images = dataset.train
    assert isinstance(images, ResidentImages)
    kept = torch.cat(
        [torch.where(images.labels == each)[0][: sizes.get(each, len(images))] for each in range(len(dataset.classes))]
    )
    return dataclasses.replace(dataset, train=ResidentImages(images.pixels[kept], images.labels[kept], images.size))


def after_two_steps(make_training, strategy: str, dataset: Dataset, balance: str) -> torch.Tensor:
    """Weights of a supernet, and other learned values of its strategy, after training."""
    training, _ = make_training(strategy, balance=balance)
    own = training.images(dataset)
    batches = training_batches(own, batch_size=10, seed=0, epoch=0, device=CPU)
    for step in range(2):
        taken = [next(batches) for _ in range(training.batches_per_step)]
        training.step(taken, 10 + step, 20)  # past what only warms up
    return torch.cat([each.detach().flatten() for each in training.network.parameters()])


@pytest.fixture(scope="module")
def even() -> Dataset:
    """10 training images of each class."""
    return part_of(tiny_dataset(), dict.fromkeys(range(10), 10))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_weights_reach_every_strategy_and_change_nothing_where_classes_are_equal(strategy, make_training, even) -> None:
    def moved(dataset: Dataset) -> bool:
        found = [after_two_steps(make_training, strategy, dataset, balance) for balance in ("none", "weights")]
        return not torch.allclose(*found, rtol=1e-4, atol=1e-6)

    assert not moved(even)
    assert moved(part_of(even, {4: 4, 7: 2}))


def test_images_that_teach_an_architecture_are_drawn_class_by_class_and_rewarded_so(make_training, even) -> None:
    uneven = part_of(tiny_dataset(), dict.fromkeys(range(9), 4))  # 24 of the last class
    sizes = []
    for balance in ("none", "sampling"):
        training, _ = make_training("darts", balance=balance, batch_size=30)  # half of the images: a whole pass
        training.images(uneven)
        assert training.context.architecture_images is not None
        labels = torch.cat([training.context.architecture_images(number)[1] for number in range(4)])
        sizes.append(torch.bincount(labels, minlength=10).tolist())
    assert sizes == [[8] * 9 + [48], [12] * 10]

    training, _ = make_training("enas", balance="weights")
    training.images(uneven)
    images, labels = next(ordered_batches(uneven.train, uneven, batch_size=1000, device=CPU))
    weights = class_weights(labels, 10)
    training.context = dataclasses.replace(training.context, class_weights=weights)
    training.network.eval()
    answers = training.network(images, (0, 1, 2)).argmax(1)
    recalls = [(answers[labels == each] == each).float().mean() for each in range(10)]
    assert accuracy(training.context, (0, 1, 2), (images, labels)) == pytest.approx(float(sum(recalls) / 10), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_strict_fairness_holds_and_a_stopped_training_ends_where_an_undisturbed_one_does(
    balance, make_training, even, tmp_path
) -> None:
    uneven = part_of(even, {4: 3})
    whole, config = make_training(balance=balance, batch_size=20)
    train(whole, uneven, config, 0, LoopOptions())
    assert whole.ledger.audit().strict_fair

    stops = iter([False] * 5 + [True])
    first, _ = make_training(balance=balance, batch_size=20)
    options = LoopOptions(checkpoint=tmp_path / "checkpoint.pt", stop=lambda: next(stops))
    with pytest.raises(KeyboardInterrupt):
        train(first, uneven, config, 0, options)
    second, _ = make_training(balance=balance, batch_size=20)
    train(second, uneven, config, 0, dataclasses.replace(options, stop=lambda: False))
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


# What it is for -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unequal() -> Dataset:
    return unequal_digits()


def result_of(unequal: Dataset, balance: str, seed: int) -> NetworkScore:
    """A network trained by itself, on all images of the test."""
    config = TrainConfig(epochs=2, batch_size=40, lr=0.05, balance=balance)
    training = stand_alone_training(SPACE.for_data(num_classes=3), (0, 1, 0), config, seed, CPU)
    train(training, unequal, config, seed, LoopOptions())
    return score_network(training.network, ordered_batches(unequal.test, unequal, batch_size=500, device=CPU))


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 1])
def test_of_900_400_and_30_images_the_smallest_class_is_found_more_often(unequal, seed) -> None:
    """No coin toss: benchmarks/unequal_classes.py trains more of them, and of other kinds."""
    found = {balance: result_of(unequal, balance, seed) for balance in ("none", "sampling", "weights")}
    recall = {balance: score.class_hits[2] / score.class_images[2] for balance, score in found.items()}
    assert found["none"].class_images == (181, 142, 144)
    assert recall["sampling"] > recall["none"] + 0.3
    assert recall["weights"] > recall["none"] + 0.1
