"""Classes of unequal size: the images of an epoch, and the weight of each image in the loss.

With either method all classes have equal total weight. The number of images of an epoch does not change, so plans in
steps stay valid.
"""

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Balance
from fairnas.randomness import generator


def epoch_order(labels: Tensor, balance: Balance, seed: int, epoch: int) -> np.ndarray:
    """Positions of the images of one epoch, in the order in which they are used, (N,).

    With `sampling`, all classes occur equally often, up to one image. The images of a class take turns over the epochs:
    none is repeated before all of its class were used. So a small class repeats, and a large one is spread over several
    epochs; repeated images get new augmentation.

    Args:
        labels: (N,) class indices, on the CPU.
        balance: `none` and `weights` use every image once.
        seed: the run's seed.
        epoch: number of the epoch.
    """
    order = generator(seed, "order", epoch).permutation(len(labels))
    if balance != "sampling":
        return order
    classes = _by_class(labels)
    # turns are numbered through all epochs: turn t belongs to class t mod K, and is number t div K of that class
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
    """Loss weights of the classes, (classes,) float32, inversely proportional to their sizes.

    Their mean over the images is 1, so that learning rates keep their meaning. A class without images has weight 0.

    Args:
        labels: (N,) class indices of the training images.
        classes: number of classes.
    """
    sizes = torch.bincount(labels, minlength=classes)
    met = int((sizes > 0).sum())
    return torch.where(sizes > 0, len(labels) / (met * sizes.clamp(min=1)), 0.0).float()


def _by_class(labels: Tensor) -> list[np.ndarray]:
    """Positions of the images of each class, for classes that have any."""
    plain = labels.numpy()
    order = np.argsort(plain, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(plain[order])) + 1)
