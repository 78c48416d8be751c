"""The textbook computes what the project computes; otherwise their ratio means nothing."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.textbook import TextbookSupernet, textbook_of, textbook_optimizer, textbook_step, textbook_top1
from benchmarks.workload import channels_last, labelled_images, random_population, settled_supernet
from fairnas.config import TrainConfig
from fairnas.evaluate import score_genomes
from fairnas.fairness import StrictSampler
from fairnas.nets import Supernet
from fairnas.space import (
    Identity,
    InvertedResidual,
    SearchSpace,
    ShuffleUnit,
    ShuffleXception,
    Stage,
    Stem,
    chain_space,
)
from fairnas.train import StepContext, supernet_step
from fairnas.train.loop import make_optimizer

# every kind of block, in both kinds of layers: those that keep the shape and those that change it
SPACE = chain_space(
    "every_block",
    image_size=16,
    stem=Stem(8, stride=2),
    first=8,
    stages=(Stage(8, 1), Stage(12, 2, 2)),
    choices=(InvertedResidual(3, 2), InvertedResidual(5, 3), Identity()),
    head=24,
    num_classes=6,
)
SHUFFLE = chain_space(
    "shuffle",
    image_size=16,
    stem=Stem(8, stride=2),
    stages=(Stage(20, 2, 2), Stage(20, 1), Stage(48, 2, 2)),
    choices=(ShuffleUnit(3), ShuffleUnit(5), ShuffleXception()),
    head=24,
    num_classes=6,
    activation="relu",
    classifier_bias=False,
    bn_eps=1e-3,
)
RELU = chain_space("relu", image_size=8, stem=Stem(8, stride=1), stages=(Stage(8, 2),), head=16, activation="relu")


def sides(space: SearchSpace) -> tuple[Supernet, TextbookSupernet, Tensor, Tensor]:
    """Both supernets in double precision, and images with labels for them."""
    supernet = Supernet(space, seed=3).double().train()
    images, labels = labelled_images(space, 8, seed=1)
    return supernet, textbook_of(supernet), images.double(), labels


@pytest.mark.slow
@pytest.mark.parametrize("space", [SPACE, SHUFFLE, RELU], ids=lambda space: space.name)
def test_steps_give_equal_losses_gradients_weights_and_statistics(space: SearchSpace):
    supernet, textbook, images, labels = sides(space)
    config = TrainConfig(lr=0.05)
    ours = make_optimizer(supernet, config)
    theirs = textbook_optimizer(textbook, config.lr, config.momentum, config.weight_decay)
    context = StepContext(supernet, ours, config)
    for step in range(3):
        paths = StrictSampler(space.choices, seed=0).paths(step)
        loss = supernet_step(context, [((channels_last(images), labels), paths)]).loss.item()
        assert textbook_step(textbook, images, labels, paths, theirs) == pytest.approx(loss, rel=1e-12)
        for mine, other in zip(textbook.parameters(), supernet.parameters(), strict=True):
            assert mine.grad is not None
            assert other.grad is not None
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-9)
    for mine, other in zip(textbook.state_dict().values(), supernet.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-9)


def test_evaluation_gives_equal_top1():
    images, labels = labelled_images(SPACE, 48, seed=1)
    supernet = settled_supernet(SPACE, images, seed=0)
    genomes = random_population(SPACE, 12, seed=0)
    batches = list(zip(images.split(20), labels.split(20), strict=True))
    scores = score_genomes(supernet, genomes, [(channels_last(batch), marks) for batch, marks in batches])
    top1 = textbook_top1(textbook_of(supernet), genomes, batches)
    assert top1 == [score.top1 for score in scores]
    assert len(set(top1)) > 3  # networks that all say the same would agree by accident


def test_the_textbook_is_what_it_says_it_is():
    supernet, textbook, _, _ = sides(SPACE)
    assert all(parameter.is_contiguous() for parameter in textbook.parameters())
    ours = {type(part) for part in supernet.modules() if type(part).__module__.startswith("fairnas")}
    assert ours
    assert not ours & {type(part) for part in textbook.modules()}
    group = textbook_optimizer(textbook, 0.1, 0.9, 0).param_groups[0]
    assert (group["foreach"], group["fused"]) == (False, False)


def test_weights_are_copied_not_shared():
    supernet, textbook, images, _ = sides(SPACE)
    with torch.no_grad():
        before = textbook(images, (0, 1, 2))
        for parameter in supernet.parameters():
            parameter.zero_()
        torch.testing.assert_close(textbook(images, (0, 1, 2)), before)


def test_top1_counts_every_image_once():
    images, _ = labelled_images(RELU, 10, seed=0)
    supernet = settled_supernet(RELU, images, seed=0)
    textbook = textbook_of(supernet).eval()
    genome = (0, 5)
    with torch.no_grad():
        right = textbook(images, genome).argmax(dim=1)
    labels = right.clone()
    labels[7:] = (labels[7:] + 1) % RELU.num_classes
    batches = list(zip(images.split(4), labels.split(4), strict=True))  # 4, 4 and 2 images
    assert textbook_top1(textbook, [genome], batches) == [0.7]


def test_the_loss_is_the_mean_over_paths():
    _, textbook, images, labels = sides(RELU)
    paths = [(0, 1), (2, 3)]
    with torch.no_grad():
        expected = sum(functional.cross_entropy(textbook.train()(images, path), labels).item() for path in paths) / 2
    optimizer = textbook_optimizer(textbook, 0.0, 0.0, 0.0)
    assert textbook_step(textbook, images, labels, paths, optimizer) == pytest.approx(expected)
