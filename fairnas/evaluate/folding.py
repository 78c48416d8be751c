"""A copy of the supernet for evaluation, with every BN folded into the convolution before it.

Folding is exact algebra with running statistics; it halves the operations of a block. The supernet is not touched.
"""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fairnas.nets import Supernet


class FoldedSupernet:
    """Blocks of a supernet in inference form; a choice block is folded when it is first asked for."""

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = supernet
        self._blocks: dict[tuple[int, int], nn.Module] = {}
        self.stem = folded(supernet.stem)
        self.head = folded(supernet.head)

    def block(self, layer: int, choice: int) -> nn.Module:
        """The folded copy of one choice block."""
        key = (layer, choice)
        if key not in self._blocks:
            self._blocks[key] = folded(self._supernet.block(layer, choice))
        return self._blocks[key]


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
