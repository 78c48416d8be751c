"""Copy of the supernet for evaluation. The supernet itself is never changed.

With running statistics, every BN is folded into the convolution before it, which is exact and halves the operations of
a block. With statistics of each batch, or recalibrated ones, BN is also merged with the convolution before it, but
computed when it runs (`normalised.py`).
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fairnas.config import Precision
from fairnas.evaluate.activation_checkpointing import kept_within
from fairnas.evaluate.folding import folded, normalised_by_batch
from fairnas.evaluate.normalised import NormalisedConvolution
from fairnas.evaluate.tree import Kept, walk
from fairnas.nets import Supernet
from fairnas.space import Genome

Statistics = Literal["running", "batch", "recalibrated"]
"""Statistics of BN at evaluation: the running ones, those of the batch that is evaluated, or those that the genome's
own path has on some training images.
"""


class EvaluationCopy:
    """Blocks of a supernet in inference form; a choice block is copied at first use."""

    def __init__(
        self,
        supernet: Supernet,
        statistics: Literal["running", "batch"] = "running",
        *,
        precision: Precision = "float32",
        activation_mib: float | None = None,
    ) -> None:
        """Copy stem and head.

        Args:
            supernet: trained.
            statistics: of BN.
            precision: `float32` keeps the supernet's numbers; `bfloat16` is used for all convolutions and activations,
                but not for unfolded BN and the classifier, so that logits do not tie.
            activation_mib: bound in MiB on the activations between layers for a batch of images; the need grows with
                the batch. Default: at most one activation per layer. Running blocks need memory in addition.
        """
        self._supernet = supernet
        self._precision = precision
        self._activation_mib = activation_mib
        self._planned: tuple[list[Genome], torch.Size, Kept] | None = None
        self._statistics = statistics
        self.space = supernet.space
        example = next(supernet.parameters())
        self.device = example.device
        self.dtype = torch.bfloat16 if precision == "bfloat16" else example.dtype
        self._blocks: dict[tuple[int, int], nn.Module] = {}
        self.stem = self._copied(supernet.stem)
        self.head = self._copied(supernet.head, classifies=True)

    def _copied(self, module: nn.Module, *, classifies: bool = False) -> nn.Module:
        """Module in inference form; one that classifies ends in a linear layer, which gives logits."""
        made = folded(module) if self._statistics == "running" else normalised_by_batch(module)
        if self._precision == "bfloat16":
            _convert(made, _last_linear(made) if classifies else None)
        return made

    def block(self, layer: int, choice: int) -> nn.Module:
        """Copy of a choice block."""
        key = (layer, choice)
        if key not in self._blocks:
            self._blocks[key] = self._copied(self._supernet.block(layer, choice))
        return self._blocks[key]

    def part(self, prefix: Genome) -> nn.Module:
        """Module of a node of the prefix tree: the last block of a prefix; () is the stem."""
        return self.block(len(prefix) - 1, prefix[-1]) if prefix else self.stem

    def run(self, prefix: Genome, features: Tensor) -> Tensor:
        """Output of the last layer of a prefix, given the output of the layer before; () takes images."""
        return self.part(prefix)(features if prefix else features.to(self.dtype))

    def finish(self, genome: Genome, features: Tensor) -> Tensor:
        """Logits, given the output of a genome's last layer."""
        return self.head(features)

    def prepare(self, ordered: Sequence[Genome]) -> None:
        """Prepare for scoring genomes, which are canonical, distinct and in order."""

    def logits(self, ordered: Sequence[Genome], images: Tensor, on_logits: Callable[[Genome, Tensor], object]) -> None:
        """Compute the logits of prepared genomes for a batch of images, and call `on_logits` with each.

        Raises:
            ConfigError: if the memory bound is too small.
        """
        walk(
            ordered,
            images,
            self.run,
            lambda genome, features: on_logits(genome, self.finish(genome, features)),
            self.kept(ordered, images.shape),
        )

    def kept(self, ordered: Sequence[Genome], shape: torch.Size) -> Kept:
        """Activations to hold for a batch of images of this shape (B, C, S, S)."""
        planned = self._planned
        if planned is None or planned[0] != ordered or planned[1][0] < shape[0] or planned[1][1:] != shape[1:]:
            plan = kept_within(ordered, self.space, shape, self.dtype.itemsize, self._activation_mib)
            self._planned = planned = (list(ordered), shape, plan)
        return planned[2]


def _convert(module: nn.Module, classifier: nn.Linear | None) -> None:
    """Convert weights to bfloat16, except a classifier's: logits of three digits would tie.

    A normalised convolution keeps float32 weights, because it derives the weights that it uses from them.
    """
    for part in module.modules():
        if part is not classifier and not isinstance(part, NormalisedConvolution):
            for weight in part.parameters(recurse=False):
                weight.data = weight.data.to(torch.bfloat16)
    if classifier is not None:
        dtype = classifier.weight.dtype
        classifier.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))


def _last_linear(module: nn.Module) -> nn.Linear:
    *_, last = (part for part in module.modules() if isinstance(part, nn.Linear))
    return last
