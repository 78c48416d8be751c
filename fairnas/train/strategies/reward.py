"""Reward of systems that learn by REINFORCE: the accuracy of a path on a few images, without a gradient."""

import torch

from fairnas.space import Genome
from fairnas.train.executors import arithmetic
from fairnas.train.step import Batch, StepContext


def accuracy(context: StepContext, genome: Genome, batch: Batch) -> float:
    """Share of a mini-batch that the path of a genome classifies correctly, with the supernet's current BN mode.

    Images are weighted as in the loss.
    """
    images, labels = batch
    with torch.no_grad(), arithmetic(context.config.precision, images.device):
        found = context.supernet(images, genome).argmax(1)
    right = (found == labels).float()
    return float((right if context.class_weights is None else right * context.class_weights[labels]).mean())
