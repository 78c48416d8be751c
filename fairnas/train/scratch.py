"""Stand-alone training: one network from scratch, with the supernet's hyper-parameters (paper B.2)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fairnas.config import TrainConfig
from fairnas.nets import StandAlone, build
from fairnas.space import Genome, SearchSpace
from fairnas.train.loop import make_optimizer


class StandAloneTraining:
    """Trains one network: a forward pass, a backward pass, an update."""

    kind = "stand-alone network"

    def __init__(self, network: StandAlone, config: TrainConfig) -> None:
        self.network = network
        self.optimizer = make_optimizer(network, config)

    def step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """Train on one mini-batch and return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def extra_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Nothing."""


def stand_alone_training(
    space: SearchSpace, genome: Genome, config: TrainConfig, seed: int, device: torch.device
) -> StandAloneTraining:
    """A new network of one genome, ready for `train`."""
    return StandAloneTraining(build(space, genome, seed=seed).to(device), config)
