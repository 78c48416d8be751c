"""Recalibrated BN: every path uses its own statistics on some training images (as SPOS scores genomes).

The statistics of a layer depend only on the choices up to it, so paths with a common prefix share them if all use the
same images: one walk over the prefix tree recalibrates all genomes. If every genome has its own images, nothing can be
shared.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fairnas.config import Precision
from fairnas.evaluate.eval_supernet import EvaluationCopy
from fairnas.evaluate.normalised import PartStatistics, measure, run_with
from fairnas.evaluate.tree import walk
from fairnas.nets import Supernet
from fairnas.space import Genome


class RecalibratedCopy(EvaluationCopy):
    """Copy whose BN statistics are those of the running path on images given beforehand.

    They are computed with all images in one batch. Statistics of a prefix are kept while genomes that are scored
    together share it: a search meets too many prefixes to keep all. Memory holds the activations of all images at most
    once per layer, or less if bounded.
    """

    def __init__(
        self,
        supernet: Supernet,
        images: Tensor,
        *,
        precision: Precision = "float32",
        activation_mib: float | None = None,
    ) -> None:
        """Copy a supernet.

        Args:
            supernet: trained.
            images: (n, C, S, S), of the training set, on the supernet's device; 2 or more.
            precision: as for `EvaluationCopy`.
            activation_mib: as for `EvaluationCopy`; it holds for these images, too.
        """
        super().__init__(supernet, "batch", precision=precision, activation_mib=activation_mib)
        self._images = images
        self._known: dict[tuple[Genome, bool], PartStatistics] = {}  # keyed by prefix, and True for the head

    def prepare(self, ordered: Sequence[Genome]) -> None:
        """Compute the statistics of every prefix of these genomes that is not known yet; forget all others."""
        nodes = {(genome[:depth], False) for genome in ordered for depth in range(len(genome) + 1)}
        wanted = nodes | {(genome, True) for genome in ordered}
        self._known = {key: known for key, known in self._known.items() if key in wanted}
        if len(self._known) == len(wanted):
            return
        with torch.inference_mode():
            walk(
                ordered,
                self._images.to(self.dtype),
                lambda prefix, features: self._measured(self.part(prefix), (prefix, False), features),
                lambda genome, features: self._measured(self.head, (genome, True), features),
                self.kept(ordered, self._images.shape),
            )

    def _measured(self, part: nn.Module, key: tuple[Genome, bool], features: Tensor) -> Tensor:
        """Run a part with the statistics of these features, and keep these statistics.

        Known parts run with their stored statistics in the same way, so that later statistics are bit-identical.
        """
        if key in self._known:
            return part(features)
        output, self._known[key] = measure(part, features)
        return output

    def run(self, prefix: Genome, features: Tensor) -> Tensor:
        """See `EvaluationCopy`; the prefix was prepared."""
        return run_with(self.part(prefix), self._known[prefix, False], features if prefix else features.to(self.dtype))

    def finish(self, genome: Genome, features: Tensor) -> Tensor:
        """See `EvaluationCopy`."""
        return run_with(self.head, self._known[genome, True], features)


class OwnImagesCopy(EvaluationCopy):
    """Copy in which every genome is recalibrated on its own images, as in the protocol of SPOS.

    No two genomes share an activation then: each is run separately from stem to head.
    """

    def __init__(
        self,
        supernet: Supernet,
        draw: Callable[[Genome], Tensor],
        *,
        precision: Precision = "float32",
        activation_mib: float | None = None,
    ) -> None:
        """Copy a supernet.

        Args:
            supernet: trained.
            draw: returns a genome's images (n, C, S, S), always the same ones, on the supernet's device; 2 or more.
            precision: as for `EvaluationCopy`.
            activation_mib: as for `EvaluationCopy`; it holds for these images, too.
        """
        super().__init__(supernet, "batch", precision=precision, activation_mib=activation_mib)
        self._draw = draw
        self._known: dict[Genome, tuple[PartStatistics, ...]] = {}  # statistics of stem, layers, head

    def prepare(self, ordered: Sequence[Genome]) -> None:
        """Recalibrate every genome that is not known yet; forget all others."""
        known = {genome: self._known[genome] for genome in ordered if genome in self._known}
        with torch.inference_mode():
            for genome in ordered:
                if genome not in known:
                    known[genome] = self._recalibrated(genome)
        self._known = known

    def _recalibrated(self, genome: Genome) -> tuple[PartStatistics, ...]:
        features = self._draw(genome).to(self.dtype)
        self.kept([genome], features.shape)  # raises if the memory bound is too small
        found = []
        for part in self._parts(genome):
            features, statistics = measure(part, features)
            found.append(statistics)
        return tuple(found)

    def _parts(self, genome: Genome) -> list[nn.Module]:
        return [*(self.part(genome[:depth]) for depth in range(len(genome) + 1)), self.head]

    def logits(self, ordered: Sequence[Genome], images: Tensor, on_logits: Callable[[Genome, Tensor], object]) -> None:
        """See `EvaluationCopy`."""
        for genome in ordered:
            self.kept([genome], images.shape)
            features = images.to(self.dtype)
            for part, statistics in zip(self._parts(genome), self._known[genome], strict=True):
                features = run_with(part, statistics, features)
            on_logits(genome, features)
