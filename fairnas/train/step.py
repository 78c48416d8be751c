"""Supernet step: several backward passes and the single parameter update after them (Algorithm 1)."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.fairness import count_passes
from fairnas.fairness.ledger import Counts
from fairnas.nets import Supernet
from fairnas.space import Genome
from fairnas.train.all_reduce import PathShare
from fairnas.train.executors import Executor, Sequential
from fairnas.train.gradients import SupernetGradients
from fairnas.train.process_group import Group

Batch = tuple[Tensor, Tensor]
"""Images (B, C, S, S), normalised, and labels (B,), class indices."""


@dataclass(frozen=True)
class StepResult:
    """Result of one supernet step."""

    loss: Tensor
    """Mean loss over the paths, a scalar on the device."""
    passes: Counts
    """Number of paths that each choice block was on."""
    updates: Counts
    """Number of parameter updates for which each choice block's weights had a gradient."""
    backward_passes: int
    """Number of paths that were trained."""
    gradient_norms: Tensor
    """Norm of each choice block's gradient, summed over the updates; on the device."""
    architecture_passes: int = 0
    """Backward passes for the architecture, which updated no weights."""
    architecture_runs: int = 0
    """Choice blocks run by these passes, and by forward passes that only gave the architecture a score."""

    def with_architecture(self, passes: int, runs: int) -> "StepResult":
        """Same step with `passes` backward passes through `runs` blocks that trained the architecture."""
        return dataclasses.replace(self, architecture_passes=passes, architecture_runs=runs)


@dataclass(frozen=True, eq=False)
class StepContext:
    """Context of a strategy: supernet, optimiser, executor, processes and extra data."""

    supernet: Supernet
    optimizer: torch.optim.Optimizer
    """Optimiser of all parameters of the supernet."""
    config: TrainConfig = field(default_factory=TrainConfig)
    executor: Executor = field(default_factory=Sequential)
    group: Group = field(default_factory=Group)
    """The processes that share the work."""
    architecture_images: Callable[[int], Batch] | None = None
    """Mini-batches of the images that train the architecture, by number; None if the strategy needs none."""
    class_weights: Tensor | None = None
    """(classes,), loss weights of the classes (`loss_of`); None: equal weights."""

    @functools.cached_property
    def gradients(self) -> SupernetGradients:
        """Gradients of the supernet, block by block."""
        return SupernetGradients(self.supernet)


def supernet_step(context: StepContext, work: Sequence[tuple[Batch, Sequence[Genome]]]) -> StepResult:
    """Train every path on its mini-batch, then update once.

    Gradients are summed over the paths. So a choice block gets the gradient of its one path, and stem and head get the
    sum over all paths; `shared_gradient = "mean"` divides theirs by the number of paths. Blocks on no path keep `None`
    as gradient, so that neither momentum nor decay changes them, unless `idle_blocks` enables it.

    Args:
        context: the supernet, which is trained in place, and its settings.
        work: mini-batches, each with the genomes to train on it. Under strict fairness one mini-batch has all paths,
            and each choice block is on exactly one (or equally many).
    """
    context.optimizer.zero_grad(set_to_none=True)
    shares = context.group.paths_of_each([paths for _, paths in work])
    before = context.group.statistics(context.supernet)
    loss = torch.zeros((), dtype=torch.float64, device=work[0][0][0].device)
    for ((images, labels), _), paths in zip(work, shares[context.group.path_rank], strict=True):
        if paths:
            loss += context.executor.backward(context.supernet, images, labels, paths, context.class_weights)
    choices = context.supernet.space.choices
    counted = [[path for paths in share for path in paths] for share in shares]
    return finish_step(
        context, loss, before, [PathShare(count_passes(paths, choices), len(paths)) for paths in counted]
    )


def finish_step(context: StepContext, loss: Tensor, before: Tensor | None, shares: Sequence[PathShare]) -> StepResult:
    """Second half of a step: combine the results of the processes, clip, update.

    Args:
        context: the supernet, with gradients.
        loss: sum of the losses of this process.
        before: the BN statistics before the step, if there are several processes.
        shares: the work of each path rank.
    """
    supernet, gradients, config = context.supernet, context.gradients, context.config
    loss = context.group.join(supernet, gradients, loss, before, shares)
    passes, backward_passes = np.sum([share.passes for share in shares], axis=0), sum(share.runs for share in shares)
    if config.shared_gradient == "mean":
        gradients.scale_shared(1 / backward_passes)
    updates = gradients.present(passes)
    norms = gradients.norms()
    if config.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(supernet.parameters(), config.clip_norm)
    with gradients.idle_blocks_moved(config, context.optimizer):
        context.optimizer.step()
    return StepResult(loss / backward_passes, passes, updates, backward_passes, norms)


def several(results: Sequence[StepResult]) -> StepResult:
    """Combine several updates into the result of one step."""
    backward_passes = sum(result.backward_passes for result in results)
    return StepResult(
        sum((result.loss * result.backward_passes for result in results), torch.zeros(())) / backward_passes,
        np.sum([result.passes for result in results], axis=0),
        np.sum([result.updates for result in results], axis=0),
        backward_passes,
        torch.stack([result.gradient_norms for result in results]).sum(0),
        sum(result.architecture_passes for result in results),
        sum(result.architecture_runs for result in results),
    )
