"""Moving average of a network in training: of its weights and of its BN statistics."""

# pyright: reportPrivateImportUsage=false
# Foreach operations, one call for all tensors, as in `rmsprop.py`.

import copy

import torch
from torch import nn


class MovingAverage:
    """Copy of a network whose numbers are an exponential moving average of the trained ones.

    Early in a training the initial weights would dominate the average; so its decay is at most (1 + n) / (10 + n) at
    update n, as in TensorFlow, and the average covers the last tenth of a short training.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start with the network's current numbers.

        Args:
            network: on its device; its tensors must be updated in place from now on.
            decay: share of the average that an update keeps.
        """
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        ours, theirs = _tensors(self.network), _tensors(network)
        pairs = [(ours[name], theirs[name]) for name in theirs]
        self._moving = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]  # BN's counters of mini-batches

    def kept_at(self, update: int) -> float:
        """Share of the average that update number `update`, from 1, keeps."""
        return min(self.decay, (1 + update) / (10 + update))

    @torch.no_grad()
    def follow(self, update: int) -> None:
        """Move towards the network after its update number `update`, from 1."""
        ours, theirs = zip(*self._moving, strict=True)
        torch._foreach_lerp_(ours, theirs, 1 - self.kept_at(update))
        for own, other in self._counts:
            own.copy_(other)


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
