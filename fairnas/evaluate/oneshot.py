"""One-shot accuracy of many genomes (paper 3.2): every node of their prefix tree is run once per batch of images.

Where memory is bounded, some are run again (`keeping.py`). Either way the scores are those of one genome after another.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.evaluate.copies import EvaluationCopy
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


@dataclass(frozen=True)
class NetworkScore(Score):
    """The same of an ordinary network, class by class."""

    class_hits: tuple[int, ...]
    """Per class, how many of its images have it as their best answer."""


def score_genomes(
    supernet: Supernet | EvaluationCopy,
    genomes: Sequence[Genome],
    batches: Batches,
    on_progress: Callable[[int], None] = lambda images: None,
    *,
    statistics: Literal["running", "batch"] = "running",
) -> list[Score]:
    """Score genomes with the supernet's weights. Never changes the supernet.

    Equal genomes, and genomes that compute the same network (`SearchSpace.canonical`), are evaluated once.

    Args:
        supernet: trained; or a copy of it for evaluation, which whoever scores often makes once.
        genomes: to score.
        batches: images (B, C, S, S) normalised and labels (B,), on the supernet's device.
        on_progress: called after each batch with the number of images seen.
        statistics: of BN, where a supernet is given. With those of each batch, scores depend on which images share one.

    Returns:
        One score per genome, in order. Sums are exact integers and float64, so that scores don't depend on which
        other genomes are scored with them.
    """
    copied = supernet if isinstance(supernet, EvaluationCopy) else EvaluationCopy(supernet, statistics)
    canonical = [copied.space.canonical(genome) for genome in genomes]
    ordered = sorted(set(canonical))
    place = {genome: row for row, genome in enumerate(ordered)}
    copied.prepare(ordered)
    tally = _Tally(len(ordered), copied.device)
    with torch.inference_mode():
        for images, labels in batches:

            def count(genome: Genome, logits: Tensor, labels: Tensor = labels) -> None:
                tally.add(place[genome], logits, labels)

            copied.logits(ordered, images, count)
            tally.images += len(labels)
            on_progress(tally.images)
    scores = dict(zip(ordered, tally.scores(), strict=True))
    return [scores[genome] for genome in canonical]


def score_network(network: nn.Module, batches: Batches) -> NetworkScore:
    """Score one ordinary network in inference mode. Its training mode is put back afterwards."""
    was_training = network.training
    network.eval()
    tally, right = _Tally(1, next(network.parameters()).device), list[Tensor]()
    try:
        with torch.inference_mode():
            for images, labels in batches:
                logits = network(images)
                right.append(torch.bincount(labels[tally.add(0, logits, labels)], minlength=logits.shape[1]))
                tally.images += len(labels)
    finally:
        network.train(was_training)
    score = tally.scores()[0]
    return NetworkScore(score.top1, score.top5, score.loss, score.images, tuple(torch.stack(right).sum(0).tolist()))


class _Tally:
    """Sums over images, kept on the device until the end."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.images = 0
        self._sums = torch.zeros(rows, 3, dtype=torch.float64, device=device)  # hits, hits in the top 5, loss

    def add(self, row: int, logits: Tensor, labels: Tensor) -> Tensor:
        """Count a batch; return which of its images have their class as best answer, (B,)."""
        best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = functional.cross_entropy(logits.double(), labels, reduction="sum")
        self._sums[row] += torch.stack((best[:, 0].sum(), best.sum(), loss))
        return best[:, 0]

    def scores(self) -> list[Score]:
        assert self.images > 0, "scored over no images"
        rows = (self._sums / self.images).tolist()
        return [Score(top1, top5, loss, self.images) for top1, top5, loss in rows]
