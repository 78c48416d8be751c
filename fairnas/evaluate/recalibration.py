"""Recalibrated BN: every path normalises by its own statistics on some training images (as SPOS scores genomes).

The statistics of a layer depend on the choices up to it and no further, so paths with a common prefix share them: one
walk over the prefix tree recalibrates all genomes, where one after another would run every layer of every genome.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairnas.evaluate.copies import EvaluationCopy
from fairnas.evaluate.tree import walk
from fairnas.nets import Supernet, batch_norms
from fairnas.space import Genome


@dataclass(frozen=True, eq=False)
class PathStatistics:
    """Mean and variance of every BN of one part of a path."""

    means: tuple[Tensor, ...]
    variances: tuple[Tensor, ...]


class RecalibratedCopy(EvaluationCopy):
    """A copy whose BN statistics are those of the path that is run, on images given beforehand.

    They are found with all images in one batch, so every layer normalises by exact means and unbiased variances. What
    is known of a prefix is kept as long as genomes that are scored together have it: a search meets too many prefixes
    to keep all. Memory holds the activations of all images at most once per layer.
    """

    def __init__(self, supernet: Supernet, images: Tensor) -> None:
        """Args: `images` (n, C, S, S), of the training set, on the supernet's device; 2 or more."""
        super().__init__(supernet, "batch")
        self._images = images
        self._known: dict[tuple[Genome, bool], PathStatistics] = {}  # by prefix, and whether the head is meant

    def prepare(self, ordered: Sequence[Genome]) -> None:
        """Find the statistics of every prefix that is not known yet; forget those of others."""
        nodes = {(genome[:depth], False) for genome in ordered for depth in range(len(genome) + 1)}
        wanted = nodes | {(genome, True) for genome in ordered}
        self._known = {key: known for key, known in self._known.items() if key in wanted}
        if len(self._known) == len(wanted):
            return
        with torch.inference_mode():
            walk(
                ordered,
                self._images,
                lambda prefix, features: self._measured(self._part(prefix), (prefix, False), features),
                lambda genome, features: self._measured(self.head, (genome, True), features),
            )

    def _part(self, prefix: Genome) -> nn.Module:
        return self.block(len(prefix) - 1, prefix[-1]) if prefix else self.stem

    def _measured(self, part: nn.Module, key: tuple[Genome, bool], features: Tensor) -> Tensor:
        """Run a part with the statistics of these features, and keep them."""
        if key in self._known:
            return self._applied(part, key, features)
        found: list[tuple[Tensor, Tensor]] = []

        def note(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
            variance, mean = torch.var_mean(given[0].double(), dim=(0, 2, 3))  # unbiased, as running statistics are
            found.append((mean.to(given[0].dtype), variance.to(given[0].dtype)))

        hooks = [norm.register_forward_pre_hook(note) for norm in batch_norms(part)]
        output = part(features)
        for hook in hooks:
            hook.remove()
        self._known[key] = PathStatistics(tuple(mean for mean, _ in found), tuple(variance for _, variance in found))
        return output

    def _applied(self, part: nn.Module, key: tuple[Genome, bool], features: Tensor) -> Tensor:
        """Run a part with known statistics."""
        norms, known = batch_norms(part), self._known[key]
        for norm, mean, variance in zip(norms, known.means, known.variances, strict=True):
            norm.running_mean, norm.running_var = mean, variance
        output = part(features)
        for norm in norms:
            norm.running_mean = norm.running_var = None
        return output

    def run(self, prefix: Genome, features: Tensor) -> Tensor:
        """See `EvaluationCopy`; the prefix was prepared."""
        return self._applied(self._part(prefix), (prefix, False), features)

    def finish(self, genome: Genome, features: Tensor) -> Tensor:
        """See `EvaluationCopy`."""
        return self._applied(self.head, (genome, True), features)
