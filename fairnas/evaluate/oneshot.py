"""One-shot accuracy of many genomes (paper 3.2), over a prefix tree.

Genomes in the order of their text forms walk a tree depth first: two neighbours share the activations of their
common prefix, so every node of the tree is computed once per batch of images and at most L + 1 activations are held.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.evaluate.copies import EvaluationCopy, Statistics
from fairnas.nets import Supernet
from fairnas.space import Genome

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Score:
    """How well one network classifies a set of images. Accuracies are fractions of `images`."""

    top1: float
    top5: float
    loss: float
    """Mean cross-entropy."""
    images: int


def score_genomes(
    supernet: Supernet,
    genomes: Sequence[Genome],
    batches: Batches,
    on_progress: Callable[[int], None] = lambda images: None,
    *,
    statistics: Statistics = "running",
) -> list[Score]:
    """Score genomes with the supernet's weights. Never changes the supernet.

    Equal genomes, and genomes that compute the same network (`SearchSpace.canonical`), are evaluated once.

    Args:
        supernet: trained.
        genomes: to score.
        batches: images (B, C, S, S) normalised and labels (B,), on the supernet's device.
        on_progress: called after each batch with the number of images seen.
        statistics: of BN. With those of each batch, scores depend on which images share a batch.

    Returns:
        One score per genome, in order. Sums are exact integers and float64, so that scores don't depend on which
        other genomes are scored with them.
    """
    canonical = [supernet.space.canonical(genome) for genome in genomes]
    ordered = sorted(set(canonical))
    shared = [0, *(_common_prefix(a, b) for a, b in itertools.pairwise(ordered))]
    device = next(supernet.parameters()).device
    tally = _Tally(len(ordered), device)
    copied = EvaluationCopy(supernet, statistics)
    activations: list[Tensor] = []  # after the stem, after layer 0, after layer 1, ...
    with torch.inference_mode():
        for images, labels in batches:
            activations.clear()  # before the stem makes the first of the new ones
            activations.append(copied.stem(images))
            for row, genome in enumerate(ordered):
                del activations[shared[row] + 1 :]
                for layer in range(shared[row], len(genome)):
                    activations.append(copied.block(layer, genome[layer])(activations[-1]))
                tally.add(row, copied.head(activations[-1]), labels)
            tally.images += len(labels)
            on_progress(tally.images)
    scores = dict(zip(ordered, tally.scores(), strict=True))
    return [scores[genome] for genome in canonical]


def score_network(network: nn.Module, batches: Batches) -> Score:
    """Score one ordinary network in inference mode. Its training mode is put back afterwards."""
    was_training = network.training
    network.eval()
    tally = _Tally(1, next(network.parameters()).device)
    try:
        with torch.inference_mode():
            for images, labels in batches:
                tally.add(0, network(images), labels)
                tally.images += len(labels)
    finally:
        network.train(was_training)
    return tally.scores()[0]


class _Tally:
    """Sums over images, kept on the device until the end."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.images = 0
        self._sums = torch.zeros(rows, 3, dtype=torch.float64, device=device)  # hits, hits in the top 5, loss

    def add(self, row: int, logits: Tensor, labels: Tensor) -> None:
        best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = functional.cross_entropy(logits.double(), labels, reduction="sum")
        self._sums[row] += torch.stack((best[:, 0].sum(), best.sum(), loss))

    def scores(self) -> list[Score]:
        assert self.images > 0, "scored over no images"
        rows = (self._sums / self.images).tolist()
        return [Score(top1, top5, loss, self.images) for top1, top5, loss in rows]


def _common_prefix(a: Genome, b: Genome) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))
