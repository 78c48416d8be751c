"""Supernet training: a strategy, a supernet and the ledger, for the loop."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Resources, TrainConfig
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.space import SearchSpace
from fairnas.train.execution import choose_execution
from fairnas.train.executors import Executor, Sequential
from fairnas.train.group import Group
from fairnas.train.loop import make_optimizer
from fairnas.train.step import Batch, Bench
from fairnas.train.strategies import make_strategy

AGREEMENT_STEPS = 50
"""Processes compare their weights and ledgers after so many steps."""


class SupernetTraining:
    """Trains a supernet by a strategy and writes every update into the ledger."""

    kind = "supernet"

    def __init__(
        self,
        supernet: Supernet,
        config: TrainConfig,
        seed: int,
        executor: Executor | None = None,
        group: Group | None = None,
    ) -> None:
        choices = supernet.space.choices
        self.network = supernet
        self.strategy = make_strategy(config, choices, seed)
        self.batches_per_step = self.strategy.batches_per_step
        level_every = self.strategy.cycle if self.strategy.promise == "strict" else 1
        self.ledger = Ledger(config.strategy, choices, level_every)
        self.optimizer = make_optimizer(supernet, config)
        executor = executor or Sequential(config.precision)
        self.bench = Bench(supernet, self.optimizer, config, executor, group or Group())
        device = next(supernet.parameters()).device
        self._gradient_norms = torch.zeros(sum(choices), dtype=torch.float64, device=device)

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """One supernet step.

        Raises:
            UnfairTraining: if a strict strategy leaves the ledger uneven.
            LostProcessError: if another process ended.
            ProcessesDisagree: if it has other weights.
        """
        result = self.strategy.step(self.bench, batches, step, total)
        self.ledger.record(result.passes, result.updates, result.backward_passes)
        self._gradient_norms += result.gradient_norms
        if self.strategy.promise == "strict" and (step + 1) % self.strategy.cycle == 0:
            self.ledger.require_level()
        group = self.bench.group
        if group.size > 1 and ((step + 1) % AGREEMENT_STEPS == 0 or step + 1 == total):
            group.require_agreement(self.network, self.extra_state(), step + 1)
        return result.loss

    def extra_state(self) -> dict[str, Any]:
        """The ledger."""
        self.ledger.set_gradient_norms(self._gradient_norms.cpu().numpy())
        return {"ledger": self.ledger.to_dict()}

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Take the ledger back."""
        self.ledger = Ledger.from_dict(content["ledger"])
        sums = torch.from_numpy(np.concatenate(self.ledger.gradient_norms))
        self._gradient_norms = sums.to(self._gradient_norms.device)


def new_supernet(space: SearchSpace, config: TrainConfig, seed: int) -> Supernet:
    """A supernet as a configuration wants it, with new weights, on the CPU."""
    return Supernet(space, seed=seed, bn_affine=config.bn_affine, bn_momentum=config.bn_momentum)


def supernet_training(
    space: SearchSpace,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    resources: Resources | None = None,
    group: Group | None = None,
) -> SupernetTraining:
    """A new supernet of a space, ready for `train`, executed as the resources allow."""
    group = group or Group()
    execution = choose_execution(space, config, resources or Resources(), device, group)
    return SupernetTraining(new_supernet(space, config, seed).to(device), config, seed, execution.executor, group)
