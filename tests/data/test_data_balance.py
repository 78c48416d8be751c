"""Classes of unequal size: which images an epoch takes, and how much each class counts."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairnas.data import class_weights, training_batches
from fairnas.data.balance import epoch_order
from fairnas.data.images import ResidentImages
from fairnas.randomness import generator
from tests.train.processes import tiny_dataset

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@pytest.mark.slow
@given(LABELS, st.integers(0, 9), st.integers(1, 6))
def test_sampling_takes_classes_equally_often_and_the_images_of_a_class_in_turns(labels, seed, epochs) -> None:
    orders = [epoch_order(labels, "sampling", seed, epoch) for epoch in range(epochs)]
    present = labels.unique().tolist()
    for order in orders:
        assert len(order) == len(labels)
        taken = np.bincount(labels.numpy()[order], minlength=5)
        assert np.ptp(taken[present]) <= 1
    for end in range(1, epochs + 1):  # at the end of every epoch, over all until then
        times = np.bincount(np.concatenate(orders[:end]), minlength=len(labels))
        assert np.ptp(np.bincount(labels.numpy(), weights=times)[present]) <= 1
        for each in present:
            assert np.ptp(times[(labels == each).numpy()]) <= 1
    again = epoch_order(labels, "sampling", seed, epochs - 1)
    assert (again == orders[-1]).all(), "an epoch is a function of the seed and its number"


@given(LABELS, st.integers(0, 9))
def test_without_sampling_every_image_is_taken_once_as_ever(labels, seed) -> None:
    for balance in ("none", "weights"):
        order = epoch_order(labels, balance, seed, 3)
        assert (order == generator(seed, "order", 3).permutation(len(labels))).all()


@given(LABELS)
def test_weights_make_every_class_count_alike_and_the_mean_image_as_before(labels) -> None:
    weights = class_weights(labels, 5)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    shares = torch.bincount(labels, weights[labels].double(), minlength=5)
    present = labels.unique()
    assert shares[present].tolist() == pytest.approx([len(labels) / len(present)] * len(present), rel=1e-5)
    assert (weights > 0).tolist() == [each in present for each in range(5)]


def test_a_repeated_image_is_augmented_anew_and_halves_make_the_whole() -> None:
    whole = tiny_dataset()
    images = whole.train
    assert isinstance(images, ResidentImages)
    few = torch.cat([torch.where(images.labels == 3)[0][:1], torch.where(images.labels == 5)[0][:19]])
    uneven = ResidentImages(images.pixels[few], images.labels[few], images.size)
    dataset = dataclasses.replace(whole, train=uneven)

    def batches(part: tuple[int, int]):
        return training_batches(
            dataset, batch_size=20, seed=0, epoch=0, balance="sampling", part=part, device=torch.device("cpu")
        )

    pixels, labels = next(batches((0, 1)))
    assert labels.tolist().count(3) == 10
    lone = pixels[labels == 3]
    assert not all(torch.equal(a, b) for a, b in itertools.pairwise(lone))
    halves = [next(batches((number, 2))) for number in range(2)]
    assert torch.equal(torch.cat([half[0] for half in halves]), pixels)
    assert torch.equal(torch.cat([half[1] for half in halves]), labels)
