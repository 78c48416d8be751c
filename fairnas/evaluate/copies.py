"""A copy of the supernet for evaluation. The supernet is not touched.

With running statistics, every BN is folded into the convolution before it: exact algebra that halves the operations of
a block. With the statistics of each batch, or recalibrated ones, BN stays.
"""

import copy
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fairnas.nets import Supernet, batch_norms
from fairnas.space import Genome

Statistics = Literal["running", "batch", "recalibrated"]
"""What BN normalises by at evaluation: its running statistics, those of the batch that is evaluated, or those that the
genome's own path has on some training images."""


class EvaluationCopy:
    """Blocks of a supernet in inference form; a choice block is copied when it is first asked for."""

    def __init__(self, supernet: Supernet, statistics: Literal["running", "batch"] = "running") -> None:
        self._supernet = supernet
        self.space = supernet.space
        self.device = next(supernet.parameters()).device
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

    def run(self, prefix: Genome, features: Tensor) -> Tensor:
        """The output of the last layer of a prefix, for the output of the layer before; () is the stem."""
        return self.block(len(prefix) - 1, prefix[-1])(features) if prefix else self.stem(features)

    def finish(self, genome: Genome, features: Tensor) -> Tensor:
        """Logits, for the output of a genome's last layer."""
        return self.head(features)

    def prepare(self, ordered: Sequence[Genome]) -> None:
        """Called before genomes are scored, which are canonical, distinct and in order."""


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
