"""Classes of unequal size: which images an epoch takes, and how much the loss of an image counts.

Either way a class as a whole counts as much as any other. An epoch has as many images as it would have otherwise, so
nothing that is planned in steps changes.
"""

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Balance
from fairnas.randomness import generator


def epoch_order(labels: Tensor, balance: Balance, seed: int, epoch: int) -> np.ndarray:
    """Places of the images of one epoch, in the order in which they are taken, (N,).

    With `sampling`, each class has equally many of them, up to one. Epoch after epoch, the images of a class take
    turns: none is taken again before all of its class were. So a small class repeats, and a large one is spread over
    several epochs; each time an image is augmented anew.

    Args:
        labels: (N,) class indices, on the CPU.
        balance: `none` and `weights` take every image once.
        seed: the run's seed.
        epoch: which pass.
    """
    order = generator(seed, "order", epoch).permutation(len(labels))
    if balance != "sampling":
        return order
    classes = _by_class(labels)
    # turns go on through the epochs: number t is of class t mod K, and the (t div K)-th of that class
    turns = epoch * len(labels) + np.arange(len(labels))
    taken = np.empty(len(labels), dtype=np.int64)
    for number, places in enumerate(classes):
        own = turns % len(classes) == number
        wanted = turns[own] // len(classes)  # consecutive
        if len(wanted) == 0:
            continue
        first, last = int(wanted[0]) // len(places), int(wanted[-1]) // len(places)
        passes = [
            generator(seed, "order of a class", number, each).permutation(len(places))
            for each in range(first, last + 1)
        ]
        taken[own] = places[np.concatenate(passes)[wanted - first * len(places)]]
    return taken[order]


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """How much the loss of an image of each class counts, (classes,) float32: one over its size.

    Their mean over the images is 1, so that learning rates mean what they mean without weights. A class without images
    has 0.

    Args:
        labels: (N,) class indices of the training images.
        classes: how many there are.
    """
    sizes = torch.bincount(labels, minlength=classes)
    met = int((sizes > 0).sum())
    return torch.where(sizes > 0, len(labels) / (met * sizes.clamp(min=1)), 0.0).float()


def _by_class(labels: Tensor) -> list[np.ndarray]:
    """The places of the images of each class that has any."""
    plain = labels.numpy()
    order = np.argsort(plain, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(plain[order])) + 1)
