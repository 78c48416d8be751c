"""One supernet step: several backward passes and the single parameter update after them (Algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.nets import Supernet
from fairnas.space import Genome


@dataclass(frozen=True)
class StepResult:
    """What one supernet step did."""

    loss: Tensor
    """Mean loss over the paths, a scalar on the device."""
    paths: tuple[Genome, ...]
    """The genomes that had a backward pass."""
    trained: tuple[tuple[bool, ...], ...]
    """Per layer and choice, whether the block's weights received a gradient."""


def supernet_step(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Genome],
    optimizer: torch.optim.Optimizer,
    shared_gradient: Literal["sum", "mean"] = "sum",
) -> StepResult:
    """Train every path on one mini-batch, then update once.

    Gradients add up over the paths. So a choice block gets the gradient of the one path it is on, and stem and head
    get the sum over all paths; `shared_gradient = "mean"` divides theirs by the number of paths. Blocks on no path
    keep `None` as gradient, so that neither momentum nor decay moves them.

    Args:
        supernet: trained in place.
        images: (B, C, S, S), normalised.
        labels: (B,), class indices.
        paths: genomes to train; under strict fairness, each choice block is on exactly one (or equally many).
        optimizer: over all parameters of the supernet.
        shared_gradient: what tensors on every path get.
    """
    optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=images.device)
    for genome in paths:
        loss = functional.cross_entropy(supernet(images, genome), labels)
        loss.backward()
        total += loss.detach()
    if shared_gradient == "mean":
        for shared in (supernet.stem, supernet.head):
            for parameter in shared.parameters():
                assert parameter.grad is not None
                parameter.grad /= len(paths)
    trained = _blocks_with_gradient(supernet, paths)
    optimizer.step()
    return StepResult(total / len(paths), tuple(paths), trained)


def _blocks_with_gradient(supernet: Supernet, paths: Sequence[Genome]) -> tuple[tuple[bool, ...], ...]:
    """Look at the weights themselves. A block without weights (an identity) counts as trained if it is on a path."""

    def has_gradient(block: nn.Module, layer: int, choice: int) -> bool:
        first = next(block.parameters(), None)
        return first.grad is not None if first is not None else any(path[layer] == choice for path in paths)

    return tuple(
        tuple(has_gradient(supernet.block(layer, choice), layer, choice) for choice in range(count))
        for layer, count in enumerate(supernet.space.choices)
    )
