"""Supernet training: combines a strategy, a supernet and the ledger for the loop."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Balance, Resources, TrainConfig
from fairnas.data import Dataset, class_weights, split_for_architecture, steps_per_epoch, training_batches
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.randomness import derived_seed
from fairnas.space import SearchSpace
from fairnas.train.execution import choose_execution
from fairnas.train.executors import Executor, Sequential
from fairnas.train.loop import make_optimizer
from fairnas.train.process_group import Group
from fairnas.train.step import Batch, StepContext
from fairnas.train.strategies import Strategy, StrategyFacts, make_strategy


class SupernetTraining:
    """Training of a supernet by a strategy, with every update counted in the ledger."""

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
        self.network, self.config = supernet, config
        self.strategy = make_strategy(config, choices, seed)
        self.batches_per_step = self.strategy.batches_per_step
        level_every = self.strategy.fairness_period if self.strategy.fairness == "strict" else 1
        self.ledger = Ledger(config.strategy, choices, level_every)
        self.optimizer = make_optimizer(supernet, config)
        executor = executor or Sequential(config.precision)
        self.context = StepContext(supernet, self.optimizer, config, executor, group or Group())
        self.seed = seed
        device = next(supernet.parameters()).device
        self._gradient_norms = torch.zeros(sum(choices), dtype=torch.float64, device=device)
        self.strategy.begin(self.context)

    def images(self, dataset: Dataset) -> Dataset:
        """All training images, or those that the strategy does not reserve for the architecture."""
        for_weights, for_architecture = parts_of(dataset, self.strategy)
        device = next(self.network.parameters()).device
        self.context = dataclasses.replace(self.context, class_weights=weights_for(self.config, for_weights, device))
        if for_architecture is not None:
            given = ArchitectureImages(for_architecture, self.config.batch_size, self.seed, device, self.config.balance)
            self.context = dataclasses.replace(self.context, architecture_images=given)
        return for_weights

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Do one supernet step.

        Raises:
            UnfairTraining: if a strict strategy leaves the ledger uneven.
            LostProcessError: if another process ended.
        """
        result = self.strategy.step(self.context, batches, step, total)
        self.ledger.record(
            result.passes,
            result.updates,
            result.backward_passes,
            result.architecture_passes,
            result.architecture_runs,
        )
        self._gradient_norms += result.gradient_norms
        if self.strategy.fairness == "strict" and (step + 1) % self.strategy.fairness_period == 0:
            self.ledger.require_level()
        return result.loss

    def seal_ledger(self) -> None:
        """Record in the ledger, after an epoch, that its counts belong to the present weights."""
        self.ledger.set_gradient_norms(self._gradient_norms.cpu().numpy())
        self.ledger.seal(weights_digest(self.network.state_dict()))

    def extra_state(self) -> dict[str, Any]:
        """Ledger, and the state of the strategy."""
        self.ledger.set_gradient_norms(self._gradient_norms.cpu().numpy())
        return {"ledger": self.ledger.to_dict(), "strategy": self.strategy.state()}

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Restore ledger and strategy."""
        self.strategy.restore(content["strategy"])
        self.ledger = Ledger.from_dict(content["ledger"])
        sums = torch.from_numpy(np.concatenate(self.ledger.gradient_norms))
        self._gradient_norms = sums.to(self._gradient_norms.device)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a network's parameters and buffers: names, types, shapes and values, on any device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        numbers = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {numbers.dtype} {tuple(numbers.shape)}\n".encode())
        digest.update(numbers.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def parts_of(dataset: Dataset, strategy: Strategy | StrategyFacts) -> tuple[Dataset, Dataset | None]:
    """Data sets for the weights and for the architecture; None if the strategy reserves no images."""
    if not strategy.architecture_share:
        return dataset, None
    return split_for_architecture(dataset, strategy.architecture_share)


def weights_for(config: TrainConfig, dataset: Dataset, device: torch.device) -> Tensor | None:
    """Loss weights of the classes, (classes,); None if a configuration does not use them."""
    if config.balance != "weights":
        return None
    return class_weights(dataset.train.labels, len(dataset.classes)).to(device)


class ArchitectureImages:
    """Images that train the architecture, batch after batch over many epochs, each a function of its number."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        device: torch.device,
        balance: Balance = "none",
    ) -> None:
        self._dataset, self._device = dataset, device
        self._balance: Balance = balance
        self._size = min(batch_size, len(dataset.train))
        self._seed = derived_seed(seed, "architecture images")
        self._per_pass = steps_per_epoch(dataset, self._size)
        self._next = -1
        self._batches: Iterator[Batch] = iter(())

    def __call__(self, number: int) -> Batch:
        """Mini-batch `number`, from 0; access in order is cheapest."""
        epoch, first = divmod(number, self._per_pass)
        if number != self._next or first == 0:
            self._batches = training_batches(
                self._dataset,
                batch_size=self._size,
                seed=self._seed,
                epoch=epoch,
                first=first,
                balance=self._balance,
                device=self._device,
            )
        self._next = number + 1
        return next(self._batches)


def new_supernet(space: SearchSpace, config: TrainConfig, seed: int) -> Supernet:
    """Supernet as configured, with new weights, on the CPU.

    Args:
        space: resolved for the data.
        config: settings of BN.
        seed: of the initial weights.
    """
    return Supernet(space, seed=seed, bn_affine=config.bn_affine, bn_momentum=config.bn_momentum)


def supernet_training(
    space: SearchSpace,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    resources: Resources | None = None,
    group: Group | None = None,
) -> SupernetTraining:
    """Prepare the training of a new supernet, executed as the resources allow (paper 3.1, stage one).

    Args:
        space: resolved for the data.
        config: strategy, optimiser, batch size and epochs.
        seed: of the initial weights and of the paths.
        device: device of the training.
        resources: executor, compilation, memory; default: the fastest executor that fits.
        group: the processes that train together; default: this process alone.

    Raises:
        UnknownNameError: for an unknown strategy.
        ConfigError: if the strategy cannot train this space, or the executor cannot run the strategy.
    """
    group = group or Group()
    resources = resources or Resources()
    execution = choose_execution(space, config, resources, device, group)
    supernet = new_supernet(space, config, seed).to(device)
    return SupernetTraining(supernet, config, seed, execution.executor, group)
