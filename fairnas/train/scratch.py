"""Stand-alone training: one network from scratch, with the supernet's hyper-parameters (paper B.2)."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.data import Dataset
from fairnas.nets import StandAlone, build
from fairnas.space import Genome, SearchSpace
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.loop import Cosine, make_optimizer
from fairnas.train.step import Batch
from fairnas.train.supernet import weights_for

_OF_EVERY_ROW = ("epoch", "loss")


class StandAloneTraining:
    """Training of one network: a forward pass, a backward pass, an update."""

    kind = "stand-alone network"
    batches_per_step = 1

    def __init__(self, network: StandAlone, config: TrainConfig) -> None:
        self.network, self.config = network, config
        self.curve: list[dict[str, Any]] = []
        """Measurements after each epoch, appended by the caller; saved in the checkpoint."""
        self.optimizer = make_optimizer(network, config)
        self.schedule = Cosine(config, "stand_alone.lr")
        self._class_weights: Tensor | None = None

    def images(self, dataset: Dataset) -> Dataset:
        """The given data set: all of its images are used."""
        self._class_weights = weights_for(self.config, dataset, next(self.network.parameters()).device)
        return dataset

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Train on one mini-batch and return the loss."""
        images, labels = batches[0]
        self.optimizer.zero_grad(set_to_none=True)
        with arithmetic(self.config.precision, images.device):
            loss = loss_of(self.network(images), labels, self._class_weights)
        loss.backward()
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def extra_state(self) -> dict[str, Any]:
        """Curve so far."""
        return {"curve": self.curve}

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Restore the curve."""
        # pickle writes each string object only once: keys identical to those of later rows keep the file equal, byte
        # for byte, to that of an uninterrupted training
        self.curve = [
            {sys.intern(key) if key in _OF_EVERY_ROW else key: value for key, value in row.items()}
            for row in content.get("curve", ())
        ]


def stand_alone_training(
    space: SearchSpace, genome: Genome, config: TrainConfig, seed: int, device: torch.device
) -> StandAloneTraining:
    """Prepare the training of a new network of one genome (paper B.2).

    Args:
        space: resolved for the data.
        genome: one choice per layer.
        config: optimiser, batch size and epochs, as the supernet's.
        seed: of the initial weights; the order of the images depends on the seed given to `train`.
        device: device of the training.

    Raises:
        GenomeError: if the genome does not fit the space.
    """
    return StandAloneTraining(build(space, genome, seed=seed).to(device), config)
