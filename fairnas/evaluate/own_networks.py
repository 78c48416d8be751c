"""Scores of genomes whose weights are generated for each of them: there is no prefix tree to share."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from fairnas.config import Precision
from fairnas.evaluate.eval_supernet import EvaluationCopy
from fairnas.nets import Supernet
from fairnas.space import Genome


class OwnNetworks(EvaluationCopy):
    """Networks in inference form, generated when they are needed."""

    def __init__(
        self,
        supernet: Supernet,
        network_of: Callable[[Genome], nn.Module],
        statistics: Literal["running", "batch"] = "running",
        *,
        precision: Precision = "float32",
        activation_mib: float | None = None,
    ) -> None:
        """Arguments as `EvaluationCopy`; `network_of` gives the network of a genome, from images to logits."""
        super().__init__(supernet, statistics, precision=precision, activation_mib=activation_mib)
        self._network_of = network_of

    def logits(self, ordered: Sequence[Genome], images: Tensor, on_logits: Callable[[Genome, Tensor], object]) -> None:
        """See `EvaluationCopy`."""
        for genome in ordered:
            self.kept([genome], images.shape)  # raises if the memory bound is too small
            network = self._copied(self._network_of(genome), classifies=True)
            on_logits(genome, network(images.to(self.dtype)))
