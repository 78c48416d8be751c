"""A copy of the supernet for evaluation. The supernet is not touched.

With running statistics, every BN is folded into the convolution before it: exact algebra that halves the operations of
a block. With the statistics of each batch, BN stays.
"""

import copy
from typing import Literal

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fairnas.nets import Supernet, batch_norms

Statistics = Literal["running", "batch"]
"""What BN normalises by at evaluation: its running statistics, or those of the batch that is evaluated."""


class EvaluationCopy:
    """Blocks of a supernet in inference form; a choice block is copied when it is first asked for."""

    def __init__(self, supernet: Supernet, statistics: Statistics = "running") -> None:
        self._supernet = supernet
        self._copied = folded if statistics == "running" else normalised_by_batch
        self._blocks: dict[tuple[int, int], nn.Module] = {}
        self.stem = self._copied(supernet.stem)
        self.head = self._copied(supernet.head)

    def block(self, layer: int, choice: int) -> nn.Module:
        """The copy of one choice block."""
        key = (layer, choice)
        if key not in self._blocks:
            self._blocks[key] = self._copied(self._supernet.block(layer, choice))
        return self._blocks[key]


def normalised_by_batch(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose BN uses the statistics of each batch."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for norm in batch_norms(module):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = None
    return module


def folded(module: nn.Module) -> nn.Module:
    """A copy in eval mode in which convolution and BN, wherever they follow each other, are one convolution."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for part in [module, *module.modules()]:
        if isinstance(part, nn.Sequential):
            _fold_in_place(part)
    return module


def _fold_in_place(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        first, second = sequence[index], sequence[index + 1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            sequence[index] = fuse_conv_bn_eval(first, second)
            sequence[index + 1] = nn.Identity()
