"""Scores of genomes whose weights are made for them, one network after another: no tree of prefixes to share."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from fairnas.config import Precision
from fairnas.evaluate.eval_supernet import EvaluationCopy
from fairnas.nets import Supernet
from fairnas.space import Genome


class OwnNetworks(EvaluationCopy):
    """Networks in inference form, made when they are asked for."""

    def __init__(
        self,
        supernet: Supernet,
        network_of: Callable[[Genome], nn.Module],
        statistics: Literal["running", "batch"] = "running",
        *,
        precision: Precision = "float32",
        activation_mib: float | None = None,
    ) -> None:
        """As `EvaluationCopy`; `network_of` gives the network of a genome, images to logits."""
        super().__init__(supernet, statistics, precision=precision, activation_mib=activation_mib)
        self._network_of = network_of

    def logits(self, ordered: Sequence[Genome], images: Tensor, on_logits: Callable[[Genome, Tensor], object]) -> None:
        """See `EvaluationCopy`."""
        for genome in ordered:
            self.kept([genome], images.shape)  # raises if memory does not suffice
            network = self._copied(self._network_of(genome), classifies=True)
            on_logits(genome, network(images.to(self.dtype)))
