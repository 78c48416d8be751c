"""Moving average of a network in training: of its weights and of its BN statistics."""

# pyright: reportPrivateImportUsage=false
# Foreach operations, one call for all tensors, as in `rmsprop.py`.

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """Copy of a network whose numbers are an exponential moving average of the trained ones.

    Early in a training the initial weights would dominate the average; so its decay is at most (1 + n) / (10 + n) at
    update n, as in TensorFlow, and the average covers the last tenth of a short training.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start with the network's current numbers.

        Args:
            network: on its device.
            decay: share of the average that an update keeps.
        """
        super().__init__(network, multi_avg_fn=self._move, use_buffers=True)
        self.requires_grad_(False).eval()
        self.n_averaged += 1  # otherwise the first update would copy the network's weights instead of averaging
        self.decay = decay
        self._kept = decay

    def kept_at(self, update: int) -> float:
        """Share of the average that update number `update`, from 1, keeps."""
        return min(self.decay, (1 + update) / (10 + update))

    def follow(self, network: nn.Module, update: int) -> None:
        """Move towards the network after its update number `update`, from 1."""
        self._kept = self.kept_at(update)
        self.update_parameters(network)

    @torch.no_grad()
    def _move(
        self, ours: tuple[Tensor, ...] | list[Tensor], theirs: tuple[Tensor, ...] | list[Tensor], _: object
    ) -> None:
        """Average tensors of one type, given in the same order."""
        if ours[0].is_floating_point():
            torch._foreach_lerp_(ours, theirs, 1 - self._kept)
        else:
            torch._foreach_copy_(ours, theirs)  # BN's counts of mini-batches
