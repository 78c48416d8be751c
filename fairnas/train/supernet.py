"""Supernet training: a strategy, a supernet and the ledger, for the loop."""

from typing import Any

import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.space import SearchSpace
from fairnas.train.loop import make_optimizer
from fairnas.train.strategies import make_strategy


class SupernetTraining:
    """Trains a supernet by a strategy and writes every update into the ledger."""

    kind = "supernet"

    def __init__(self, supernet: Supernet, config: TrainConfig, seed: int) -> None:
        self.network = supernet
        self.strategy = make_strategy(config, supernet.space.choices, seed)
        self.ledger = Ledger(config.strategy, supernet.space.choices)
        self.optimizer = make_optimizer(supernet, config)

    def step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """One supernet step. Raises `UnfairTraining` if a strict strategy leaves the ledger uneven."""
        result = self.strategy.step(self.network, images, labels, self.optimizer, step)
        self.ledger.record(result.paths, result.trained)
        if self.strategy.promise == "strict" and (step + 1) % self.strategy.cycle == 0:
            self.ledger.require_level()
        return result.loss

    def extra_state(self) -> dict[str, Any]:
        """The ledger."""
        return {"ledger": self.ledger.to_dict()}

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Take the ledger back."""
        self.ledger = Ledger.from_dict(content["ledger"])


def supernet_training(space: SearchSpace, config: TrainConfig, seed: int, device: torch.device) -> SupernetTraining:
    """A new supernet of a space, ready for `train`."""
    supernet = Supernet(space, seed=seed).to(device)
    return SupernetTraining(supernet, config, seed)
